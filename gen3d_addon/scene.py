"""Arrays to Blender data and back: a Result becomes one object, an object becomes a Mesh.

Arrays enter through `foreach_set` on attributes, where Blender copies whole buffers: a million vertices take well under
a second (benchmarks/scene_import.py). `Mesh.vertices.foreach_set("co")` and its kin convert element by element in some
versions, so the attributes below are used instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from . import materials, placement, viewpoints
from .backend.mesh import Mesh
from .backend.recipe import InputError, Recipe, Result

RECIPE_PROPERTY = "gen3d_recipe"
VIEWPOINT_PROPERTY = "gen3d_viewpoint"
VIEW_PROPERTY = "gen3d_view_"
"""Begins the names of the properties that point to the pictures which were made on the way."""
IN_PLACE = ("shape_completion",)
"""Tasks whose results belong to where their input is, and not to the 3D cursor."""
FRAMES_BETWEEN = 12
"""Two steps of a morph, half a second at Blender's usual rate."""
LONGEST_NAME = 60  # characters that leave Blender room for its ".001"


def add_result(target: bpy.types.Scene | bpy.types.Context, result: Result) -> bpy.types.Object:
    """Add `result` to a scene as one object: upright at the 3D cursor, front to -Y, at real size, recipe stored on it.

    A completion is put to the right of the shape that it completes, at the same height. Variations (recipes that differ
    only in their seed) line up to the right of the first. The object's origin is the
    middle of its foot and its scale is 1. The caller pushes the undo step. When anything fails, nothing stays behind.
    """
    scene = target if isinstance(target, bpy.types.Scene) else target.scene
    name = object_name(result.recipe)
    vertices = placement.to_scene_units(result.mesh.vertices, result.transform, scene)
    start = scene.cursor.location
    if result.recipe.task in IN_PLACE:
        vertices, start = placement.beside_its_place(vertices)
    made: list[bpy.types.ID] = []
    try:
        mesh = bpy.data.meshes.new(name)
        made.append(mesh)
        fill_mesh(mesh, result.mesh, vertices)
        image = None
        if result.mesh.texture is not None and result.mesh.uvs is not None:
            image = materials.add_image(name, result.mesh.texture)
            made.append(image)
        material = materials.add_material(name, result.mesh, image)
        made.append(material)
        mesh.materials.append(material)
        item = bpy.data.objects.new(name, mesh)
        made.append(item)
        item[RECIPE_PROPERTY] = result.recipe.to_json()
        if result.viewpoint is not None:
            item[VIEWPOINT_PROPERTY] = viewpoints.stored(result.viewpoint, result.transform, scene)
        if result.views is not None:
            views = [
                materials.add_view(f"{name} view {number:02}", view) for number, view in enumerate(result.views, 1)
            ]
            made += views
            for number, view in enumerate(views, 1):
                item[f"{VIEW_PROPERTY}{number:02}"] = view
        if result.shape_keys is not None:
            add_shape_keys(item, [placement.to_scene_units(key, result.transform, scene) for key in result.shape_keys])
            if result.recipe.parameters.get("output") == "keyframes":
                play_shape_keys(item, scene)
        earlier = [other for other in scene.objects if RECIPE_PROPERTY in other]
        row = [placement.world_box(other) for other in earlier if is_variation(recipe_of(other), result.recipe)]
        place = placement.free_place(vertices.min(axis=0), vertices.max(axis=0), start, row)
        item.matrix_world = Matrix.Translation(place)  # `location` alone would show in the matrix only after an update
        link(item, scene)
        if not earlier:
            materials.show_colors_in_solid(scene)
    except BaseException:
        bpy.data.batch_remove(made)
        raise
    return item


def add_results(target: bpy.types.Scene | bpy.types.Context, result: Result) -> list[bpy.types.Object]:
    """Add all meshes of `result` as `add_result` does, a series from left to right; all of them or none."""
    made: list[bpy.types.Object] = []
    try:
        for mesh in result.meshes:
            made.append(add_result(target, dataclasses.replace(result, mesh=mesh, following=())))
    except BaseException:
        for item in made:
            bpy.data.objects.remove(item)
        raise
    return made


def add_shape_keys(item: bpy.types.Object, keys: Sequence[np.ndarray]) -> None:
    """Give a mesh object one shape key for each step, (V, 3) float32 in scene units.

    The keys are absolute: *Evaluation Time* runs through them in order.
    """
    for number, positions in enumerate(keys, start=1):
        key = item.shape_key_add(name=f"Step {number}", from_mix=False)
        key.interpolation = "KEY_LINEAR"
        key.data.foreach_set("co", np.ascontiguousarray(positions).ravel())
    steps = item.data.shape_keys
    steps.use_relative = False
    steps.eval_time = steps.key_blocks[0].frame


def play_shape_keys(item: bpy.types.Object, within: bpy.types.Scene) -> None:
    """Keyframe an object's shape keys, one after the other from the first frame of the scene on, which is made long
    enough to show them all."""
    steps = item.data.shape_keys
    last = within.frame_start + FRAMES_BETWEEN * (len(steps.key_blocks) - 1)
    for frame, key in ((within.frame_start, steps.key_blocks[0]), (last, steps.key_blocks[-1])):
        steps.eval_time = key.frame
        steps.keyframe_insert("eval_time", frame=frame)
    steps.eval_time = steps.key_blocks[0].frame
    for curve in _curves(steps):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"  # the steps are even, so the morph is
    within.frame_end = max(within.frame_end, last)


def _curves(animated: Any) -> list[Any]:
    """The animation curves of a data block: Blender 4.4 and later keep them in the layers of an action's slot."""
    action = animated.animation_data.action
    if bpy.app.version < (4, 4, 0):
        return list(action.fcurves)
    slot = animated.animation_data.action_slot
    bags = [strip.channelbag(slot) for layer in action.layers for strip in layer.strips]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def object_name(recipe: Recipe) -> str:
    """A short name for the object: the recipe's title."""
    words = " ".join(recipe.title.split())
    if len(words) > LONGEST_NAME:
        words = words[:LONGEST_NAME].rsplit(" ", 1)[0]
    return words[:1].upper() + words[1:]


def fill_mesh(target: bpy.types.Mesh, mesh: Mesh, vertices: np.ndarray) -> None:
    """Fill an empty Blender mesh from arrays, with `vertices` ((V, 3) float32, scene units) as positions.

    Blender computes the smooth normals itself: stored ones would stay behind when the artist sculpts or deforms.

    Raises:
        InputError: a face names a vertex twice; Blender cannot hold such a face.
    """
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
    first, second, third = faces.T
    if np.any((first == second) | (second == third) | (third == first)):
        raise InputError("The mesh has faces without area; repair it before adding it to the scene.")
    target.vertices.add(len(vertices))
    target.loops.add(faces.size)
    target.polygons.add(len(faces))
    target.attributes["position"].data.foreach_set("vector", vertices.ravel())
    corners = target.attributes.get(".corner_vert") or target.attributes.new(".corner_vert", "INT", "CORNER")
    corners.data.foreach_set("value", faces.ravel())
    target.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    if mesh.uvs is not None:
        layer = target.attributes.new(materials.UV_LAYER, "FLOAT2", "CORNER")
        layer.data.foreach_set("vector", np.ascontiguousarray(mesh.uvs, dtype=np.float32).ravel())
    if mesh.colors is not None:
        rgba = np.ones((len(vertices), 4), dtype=np.float32)
        rgba[:, :3] = mesh.colors
        layer = target.attributes.new(materials.COLOR_ATTRIBUTE, "FLOAT_COLOR", "POINT")
        layer.data.foreach_set("color", rgba.ravel())
        target.attributes.active_color_name = layer.name
        target.attributes.default_color_name = layer.name
    target.update(calc_edges=True)


def link(item: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Link the object where the user works, and select it unless another object is being edited."""
    context = bpy.context
    view_layer = context.view_layer if context.scene == scene else scene.view_layers[0]
    active = view_layer.active_layer_collection
    usable = not active.exclude and active.collection.library is None
    (active.collection if usable else scene.collection).objects.link(item)
    edited = view_layer.objects.active
    if edited is None or edited.mode == "OBJECT":
        for other in view_layer.objects.selected:
            other.select_set(False, view_layer=view_layer)
        item.select_set(True, view_layer=view_layer)
        view_layer.objects.active = item


def recipe_of(item: bpy.types.Object | None) -> Recipe | None:
    """The recipe that made the object; None when it carries none that this version can read."""
    stored = item.get(RECIPE_PROPERTY) if item is not None else None
    if not isinstance(stored, str):
        return None
    try:
        return Recipe.from_json(stored)
    except InputError:
        return None


def is_variation(recipe: Recipe | None, of: Recipe) -> bool:
    """Whether two recipes ask for the same thing, seeds aside."""
    if recipe is None:
        return False
    return (recipe.task, recipe.method, recipe.inputs, recipe.parameters) == (
        of.task,
        of.method,
        of.inputs,
        of.parameters,
    )


def viewpoint_of(item: bpy.types.Object | None) -> str | None:
    """What is stored of the camera that reproduces the picture which the object was made from; None where it is not
    from a picture."""
    stored = item.get(VIEWPOINT_PROPERTY) if item is not None else None
    return stored if isinstance(stored, str) else None


def views_of(item: bpy.types.Object | None) -> list[bpy.types.Image]:
    """The pictures of other sides that were kept when the object was made, those that are still there, in order."""
    if item is None:
        return []
    kept = [item[name] for name in sorted(item.keys()) if name.startswith(VIEW_PROPERTY)]
    return [image for image in kept if isinstance(image, bpy.types.Image)]


def siblings(item: bpy.types.Object | None, within: bpy.types.Scene) -> list[bpy.types.Object]:
    """The other objects of a scene whose recipes differ from this one's in their seed alone."""
    recipe = recipe_of(item)
    if recipe is None:
        return []
    return [other for other in within.objects if other != item and is_variation(recipe_of(other), recipe)]


def positions_of(data: Any) -> np.ndarray:
    """(V, 3) float32: vertices of a mesh, or points of a point cloud, in their own coordinates (scene units)."""
    positions = data.attributes["position"].data
    vertices = np.empty(len(positions) * 3, dtype=np.float32)
    positions.foreach_get("vector", vertices)
    return vertices.reshape(-1, 3)


def triangles_of(data: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a mesh's triangles, (F, 3) int32 each: which vertex, and which of the mesh's loops. Faces with
    more than three corners are triangulated."""
    data.calc_loop_triangles()
    loops = np.empty(len(data.loop_triangles) * 3, dtype=np.int32)
    data.loop_triangles.foreach_get("loops", loops)
    vertex_of_loop = np.empty(len(data.loops), dtype=np.int32)
    data.attributes[".corner_vert"].data.foreach_get("value", vertex_of_loop)
    return vertex_of_loop[loops].reshape(-1, 3), loops.reshape(-1, 3)


def mesh_of(item: bpy.types.Object) -> Mesh:
    """The mesh of an object that Gen3D made as arrays, in its own coordinates (scene units), with its colours, UVs and
    texture; as stored, modifiers aside."""
    data = item.data
    faces, loops = triangles_of(data)
    return Mesh(positions_of(data), faces, _colors(data), None, _uvs(data, loops), _texture(data))


def _colors(data: bpy.types.Mesh) -> np.ndarray | None:
    layer = data.color_attributes.active_color
    if layer is None or layer.domain != "POINT":
        return None
    rgba = np.empty(len(data.vertices) * 4, dtype=np.float32)
    layer.data.foreach_get("color", rgba)
    return np.ascontiguousarray(rgba.reshape(-1, 4)[:, :3])


def _uvs(data: bpy.types.Mesh, loops: np.ndarray) -> np.ndarray | None:
    layer = data.uv_layers.active
    if layer is None:
        return None
    uvs = np.empty(len(data.loops) * 2, dtype=np.float32)
    data.attributes[layer.name].data.foreach_get("vector", uvs)
    return uvs.reshape(-1, 2)[loops]


def _texture(data: bpy.types.Mesh) -> np.ndarray | None:
    material = data.materials[0] if data.materials else None
    tree = material.node_tree if material is not None else None
    image = next((node.image for node in tree.nodes if node.bl_idname == "ShaderNodeTexImage"), None) if tree else None
    if image is None:
        return None
    width, height = image.size
    pixels = np.empty(width * height * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    rows = pixels.reshape(height, width, 4)[::-1, :, :3]
    return np.ascontiguousarray(np.rint(rows * 255.0).astype(np.uint8))
