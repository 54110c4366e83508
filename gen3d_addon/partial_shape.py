"""What the user selected as a file that the worker can read, and the box of what is unknown.

The file holds the evaluated objects (modifiers, parents, rotation and scale applied) in world space and metres, so that
results come back to where the part is. It lies in a folder named by its content: the same selection gives the same
recipe, and a recipe keeps its input however the scene changes later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from . import extension, placement, scene
from .backend.data.mesh_encodings import ply_bytes
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


def save_each(context: bpy.types.Context) -> list[Path]:
    """Write each selected mesh as a file of its own, the active object's last, the others' by name.

    Raises InputError when fewer than two are selected or one is no mesh with faces, MachineError when a file cannot be
    written.
    """
    active = context.active_object
    items = sorted(context.selected_objects, key=lambda item: (item == active, item.name))
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
    """Write the evaluated objects as one PLY file in a folder named by its content; raises as `save_selection`."""
    shape = world_shape(items, context)
    content = ply_bytes(shape)
    folder = extension.shapes_folder() / hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"{_file_name(items[0].name)}.ply"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error
        write_files({path: content})
    return path


def world_shape(items: Sequence[bpy.types.Object], context: bpy.types.Context) -> Mesh:
    """The evaluated objects as one Mesh in world space and metres; without faces when none has any."""
    metres = 1.0 / placement.units_per_metre(extension.open_scene(context))
    depsgraph = context.evaluated_depsgraph_get()
    parts = [_world_part(item.evaluated_get(depsgraph), metres) for item in items]
    if any(len(part.faces) for part in parts):
        parts = [part for part in parts if len(part.faces)]
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    colors = [part.colors for part in parts]
    shape = Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=True)]),
        None if any(color is None for color in colors) else np.concatenate(colors),
    )
    if not len(shape.vertices):
        raise InputError(f'"{items[0].name}" has no vertices: there is nothing to complete.')
    return shape


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


def _world_part(item: bpy.types.Object, metres: float) -> Mesh:
    data = item.data
    if isinstance(data, bpy.types.Mesh) and len(data.polygons):
        part = scene.mesh_of(item)
        colors = part.colors if part.colors is not None else _material_colors(data, part)
    else:
        part, colors = scene.points_of(item), None
    matrix = np.array(item.matrix_world, dtype=np.float64)
    vertices = (part.vertices.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]) * metres
    faces = part.faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else part.faces  # a mirror turns faces inside out
    return Mesh(vertices, faces, colors)


def _material_colors(data: bpy.types.Mesh, part: Mesh) -> np.ndarray | None:
    """Linear colour at each vertex from the base colours of the materials around it; None without materials."""
    if not data.materials or not len(part.faces):
        return None
    palette = np.array([_base_color(material) for material in data.materials], dtype=np.float64)
    slots = np.empty(len(data.loop_triangles), dtype=np.int32)
    data.loop_triangles.foreach_get("material_index", slots)
    of_corner = np.repeat(palette[slots.clip(0, len(palette) - 1)], 3, axis=0)
    corners, count = part.faces.ravel(), len(part.vertices)
    sums = np.stack([np.bincount(corners, channel, count) for channel in of_corner.T], axis=1)
    return sums / np.maximum(np.bincount(corners, minlength=count), 1)[:, None]


def _base_color(material: bpy.types.Material | None) -> tuple[float, ...]:
    if material is None:
        return (0.8, 0.8, 0.8)
    nodes = material.node_tree.nodes if material.node_tree is not None else ()
    shader = next((node for node in nodes if node.bl_idname == "ShaderNodeBsdfPrincipled"), None)
    # The stubs know neither a socket's value nor that Blender's arrays have elements.
    color = shader.inputs["Base Color"].default_value if shader is not None else material.diffuse_color  # type: ignore[attr-defined]
    return tuple(min(max(color[channel], 0.0), 1.0) for channel in range(3))  # type: ignore[index]


def _file_name(name: str) -> str:
    return re.sub(r"[^\w .-]+", "_", name).strip(" .")[:LONGEST_NAME] or "shape"
