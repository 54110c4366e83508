"""What the user selected as a file that the worker can read, and the box of what is unknown.

The file holds the evaluated objects (modifiers, parents, rotation and scale applied) in world space and metres, so that
results come back to where the part is, and their colours: a GLB where these need a texture, else a PLY. It lies in a
folder named by its content: the same selection gives the same recipe, and a recipe keeps its input however the scene
changes later.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from . import appearance, extension, placement, scene
from .backend.data.mesh_encodings import glb_bytes, ply_bytes
from .backend.data.mesh_files import write_files
from .backend.mesh import Mesh
from .backend.recipe import InputError, MachineError

TAKEN = ("MESH", "POINTCLOUD")
LONGEST_NAME = 48


def save_selection(context: bpy.types.Context, leave_out: bpy.types.Object | None) -> Path:
    """Write the selected meshes and point clouds, `leave_out` aside, as one PLY file and return its path.

    Raises InputError when there is nothing of the kind or no place of a vertex is known, MachineError when the file
    cannot be written.
    """
    items = [item for item in context.selected_objects if item != leave_out]
    taken = [item for item in items if item.type in TAKEN]
    if not items:
        raise InputError("Nothing is selected: select the mesh or the point cloud that is to be completed.")
    if not taken:
        kind = items[0].type.replace("_", " ").lower()
        raise InputError(f'"{items[0].name}" is no mesh but a {kind}: select a mesh or a point cloud.')
    return save_objects(taken, context)


def in_order(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The selected objects: the active one last, the others by name."""
    active = context.active_object
    return sorted(context.selected_objects, key=lambda item: (item == active, item.name))


def save_each(context: bpy.types.Context) -> list[Path]:
    """Write each selected mesh as a file of its own, in the order of `in_order`.

    Raises InputError when fewer than two are selected or one is no mesh with faces, MachineError when a file cannot be
    written.
    """
    items = in_order(context)
    for item in items:
        if item.type != "MESH":
            kind = item.type.replace("_", " ").lower()
            raise InputError(f'"{item.name}" is no mesh but a {kind}: select meshes only.')
    if len(items) < 2:
        count = "one is" if items else "none is"
        raise InputError(f"Select two or more meshes to interpolate between: {count} selected.")
    depsgraph = context.evaluated_depsgraph_get()
    for item in items:
        if not len(item.evaluated_get(depsgraph).data.polygons):
            raise InputError(f'"{item.name}" has no faces: select meshes with a surface.')
    return [save_objects([item], context) for item in items]


def save_objects(items: Sequence[bpy.types.Object], context: bpy.types.Context) -> Path:
    """Write the evaluated objects as one file in a folder named by its content; raises as `save_selection`."""
    shape = world_shape(items, context)
    content, ending = (ply_bytes(shape), "ply") if shape.texture is None else (glb_bytes(shape), "glb")
    folder = extension.shapes_folder() / hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"{_file_name(items[0].name)}.{ending}"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error
        write_files({path: content})
    return path


def world_shape(items: Sequence[bpy.types.Object], context: bpy.types.Context) -> Mesh:
    """The evaluated objects as one Mesh in world space and metres, with their colours; without faces when none has any.

    Raises InputError when there is no vertex, or one whose place is not known.
    """
    metres = 1.0 / placement.units_per_metre(extension.open_scene(context))
    depsgraph = context.evaluated_depsgraph_get()
    parts = [_world_part(item.evaluated_get(depsgraph), metres) for item in items]
    if any(len(part.faces) for part in parts):
        parts = [part for part in parts if len(part.faces)]
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    vertices = np.concatenate([part.vertices for part in parts])
    if not len(vertices):
        raise InputError(f'"{items[0].name}" has no vertices: there is nothing to complete.')
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=True)])
    return appearance.painted(vertices, faces, [part.paint for part in parts if part.paint is not None])


def box_corners(box: bpy.types.Object | None, context: bpy.types.Context) -> tuple[float, ...]:
    """x0, y0, z0, x1, y1, z1 in metres of the box around `box`, along the world's axes. Raises InputError."""
    if box is None:
        raise InputError("Choose the object whose box tells what is unknown, or switch to Scan.")
    if box.type == "EMPTY":
        size = box.empty_display_size
        corners = [Vector([size * (2 * end - 1) for end in corner]) for corner in np.ndindex(2, 2, 2)]
    else:
        corners = [Vector(corner) for corner in box.evaluated_get(context.evaluated_depsgraph_get()).bound_box]
    world = np.array([box.matrix_world @ corner for corner in corners], dtype=np.float64)
    world /= placement.units_per_metre(extension.open_scene(context))
    low, high = world.min(axis=0), world.max(axis=0)
    if not (high > low).all():
        raise InputError(f'"{box.name}" is flat: what is unknown needs a box with a width, a depth and a height.')
    return tuple(float(f"{value:.7g}") for value in (*low, *high))


@dataclass(frozen=True)
class _Part:
    """One object in world space and metres: vertices (V, 3), faces (F, 3), and what these look like."""

    vertices: np.ndarray
    faces: np.ndarray
    paint: appearance.Paint | None


def _world_part(item: bpy.types.Object, metres: float) -> _Part:
    data: Any = item.data
    vertices, faces, paint = scene.positions_of(data), np.zeros((0, 3), np.int32), None
    if not np.isfinite(vertices).all():
        raise InputError(f'"{item.name}" has vertices whose coordinates are not finite numbers: remove or move them.')
    if isinstance(data, bpy.types.Mesh) and len(data.polygons):
        faces, loops = scene.triangles_of(data)
        paint = appearance.paint_of(item, faces, loops)
    matrix = np.array(item.matrix_world, dtype=np.float64)
    vertices = (vertices.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]) * metres
    if np.linalg.det(matrix[:3, :3]) < 0:  # a mirror turns faces inside out
        faces = faces[:, ::-1]
        paint = None if paint is None else dataclasses.replace(paint, uvs=paint.uvs[:, ::-1])
    return _Part(vertices, faces, paint)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w .-]+", "_", name).strip(" .")[:LONGEST_NAME] or "shape"
