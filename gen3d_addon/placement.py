"""Where a generated object stands: at the 3D cursor, at real size, variations side by side.

Everything here is in Blender's frame (right-handed, Z up, front -Y). "Metres" are real ones; "units" are the scene's.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Vector

GAP = 0.2  # of the new object's width, left free between two variations


def units_per_metre(scene: bpy.types.Scene) -> float:
    """How many Blender units make a metre in `scene`; 1 when the scene has no unit system."""
    settings = scene.unit_settings
    return 1.0 if settings.system == "NONE" else 1.0 / settings.scale_length


def to_scene_units(vertices: np.ndarray, transform: np.ndarray, scene: bpy.types.Scene) -> np.ndarray:
    """Take (V, 3) model-space vertices through `transform` (4, 4: model space to metres) to (V, 3) float32 units.

    The arithmetic is done in float64 and rounded once.
    """
    metres = vertices.astype(np.float64) @ transform[:3, :3].T + transform[:3, 3]
    return np.ascontiguousarray(metres * units_per_metre(scene), dtype=np.float32)


def beside_its_place(vertices: np.ndarray) -> tuple[np.ndarray, Vector]:
    """Take (V, 3) vertices in world space to around their own foot (middle in x and y, lowest in z), and tell where the
    foot is to stand: a width and a gap to the right (+X) of where it was."""
    low, high = vertices.min(axis=0).astype(np.float64), vertices.max(axis=0).astype(np.float64)
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    aside = np.array([(1 + GAP) * (high[0] - low[0]), 0.0, 0.0])
    return (vertices - foot).astype(np.float32), Vector(foot + aside)


def free_place(
    low: np.ndarray, high: np.ndarray, start: Vector, neighbours: list[tuple[np.ndarray, np.ndarray]]
) -> Vector:
    """The first place at or to the right (+X) of `start` where a box meets none of its neighbours.

    low, high: (3,) corners of the box around the object's own origin; neighbours: such corner pairs in world space.
    """
    place = np.array(start, dtype=np.float64)
    gap = GAP * float(high[0] - low[0])
    for other_low, other_high in sorted(neighbours, key=lambda box: float(box[0][0])):
        ahead = place[0] + low[0] - gap < other_high[0] and place[0] + high[0] + gap > other_low[0]
        level = np.all(place[1:] + low[1:] < other_high[1:]) and np.all(place[1:] + high[1:] > other_low[1:])
        if ahead and level:
            place[0] = other_high[0] + gap - low[0]
    return Vector(place)


def world_box(item: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """The two corners, (3,) each, of the object's axis-aligned bounding box in world space."""
    corners = np.array([item.matrix_world @ Vector(corner) for corner in item.bound_box])
    return corners.min(axis=0), corners.max(axis=0)
