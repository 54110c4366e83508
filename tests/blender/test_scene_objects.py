from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector


def test_arrays_arrive_whole_and_come_back(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    result = vase()
    item = addon("scene").add_result(scene, result)
    assert item.data.validate(verbose=True) is False, "Blender found something to repair"
    back = addon("scene").mesh_of(item)
    in_metres = result.mesh.vertices.astype(np.float64) @ result.transform[:3, :3].T + result.transform[:3, 3]
    np.testing.assert_array_equal(back.vertices, in_metres.astype(np.float32))
    for name in ("faces", "colors", "uvs", "texture"):
        np.testing.assert_array_equal(getattr(back, name), getattr(result.mesh, name))


def test_mesh_has_all_its_edges_and_smooth_faces_that_look_outwards(
    addon: Any, scene: Any, vase: Callable[..., Any]
) -> None:
    item = addon("scene").add_result(scene, vase())
    data = item.data
    assert len(data.vertices) - len(data.edges) + len(data.polygons) == 2  # Euler's formula for a closed surface
    assert all(polygon.use_smooth for polygon in data.polygons)
    center = sum((vertex.co for vertex in data.vertices), Vector()) / len(data.vertices)
    top = max(data.polygons, key=lambda polygon: polygon.center.z)
    assert top.normal.dot(top.center - center) > 0.0


def test_object_stands_upright_on_the_cursor_at_real_size(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    scene.cursor.location = (1.0, -2.0, 3.0)
    scene.cursor.rotation_euler = (0.4, 0.2, 0.9)  # a turned cursor does not turn the object
    item = addon("scene").add_result(scene, vase())
    assert tuple(item.location) == (1.0, -2.0, 3.0)
    assert tuple(item.scale) == (1.0, 1.0, 1.0) and tuple(item.rotation_euler) == (0.0, 0.0, 0.0)
    low, high = addon("placement").world_box(item)
    assert low[2] == pytest.approx(3.0, abs=1e-6)
    assert high[2] - low[2] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize(
    ("system", "scale", "height"), [("METRIC", 0.01, 90.0), ("IMPERIAL", 1.0, 0.9), ("NONE", 0.5, 0.9)]
)
def test_real_size_in_the_units_of_the_scene(
    addon: Any, scene: Any, vase: Callable[..., Any], system: str, scale: float, height: float
) -> None:
    scene.unit_settings.system, scene.unit_settings.scale_length = system, scale
    item = addon("scene").add_result(scene, vase())
    assert item.dimensions.z == pytest.approx(height, rel=1e-5)


def test_variations_line_up_and_other_prompts_stay_at_the_cursor(
    addon: Any, scene: Any, vase: Callable[..., Any]
) -> None:
    add = addon("scene").add_result
    row = [add(scene, vase(seed)) for seed in range(4)]
    boxes = [addon("placement").world_box(item) for item in row]
    assert tuple(row[0].location) == (0.0, 0.0, 0.0)
    for (_, left), (right, _) in itertools.pairwise(boxes):
        assert right[0] > left[0]
    assert all(item.location.y == item.location.z == 0.0 for item in row)
    other = add(scene, vase(prompt="a cup"))
    assert tuple(other.location) == (0.0, 0.0, 0.0)
    place = tuple(row[1].location)
    bpy.data.objects.remove(row[1])
    assert tuple(add(scene, vase(1)).location) == pytest.approx(place), "the gap is filled"


def test_variation_above_the_first_one_is_not_moved(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    addon("scene").add_result(scene, vase(0))
    scene.cursor.location = (0.0, 0.0, 2.0)
    assert tuple(addon("scene").add_result(scene, vase(1)).location) == (0.0, 0.0, 2.0)


def test_recipe_is_stored_and_read(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    result = vase(seed=7)
    item = addon("scene").add_result(scene, result)
    assert json.loads(item["gen3d_recipe"])["seed"] == 7
    assert addon("scene").recipe_of(item) == result.recipe
    item["gen3d_recipe"] = '{"task": "text_to_3d", "made": "by a later version"}'
    assert addon("scene").recipe_of(item) is None
    assert addon("scene").recipe_of(None) is None


def test_new_object_is_the_selected_and_active_one(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    first = addon("scene").add_result(scene, vase(0))
    second = addon("scene").add_result(scene, vase(1))
    assert bpy.context.view_layer.objects.active == second
    assert second.select_get() and not first.select_get()


def test_object_that_is_being_edited_stays_active(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    first = addon("scene").add_result(scene, vase(0))
    bpy.ops.object.mode_set(mode="EDIT")
    addon("scene").add_result(scene, vase(1))
    assert bpy.context.view_layer.objects.active == first and first.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")


def test_object_appears_even_when_the_active_collection_is_hidden(
    addon: Any, scene: Any, vase: Callable[..., Any]
) -> None:
    hidden = bpy.data.collections.new("Hidden")
    scene.collection.children.link(hidden)
    layer = bpy.context.view_layer.layer_collection.children["Hidden"]
    bpy.context.view_layer.active_layer_collection = layer
    layer.exclude = True
    item = addon("scene").add_result(scene, vase())
    assert item.name in bpy.context.view_layer.objects


def test_result_goes_to_the_scene_that_it_is_given(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    other = bpy.data.scenes.new("Other")
    item = addon("scene").add_result(other, vase())
    assert item.name in other.objects and item.name not in scene.objects


def test_failure_leaves_nothing_behind(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    faces = vase().mesh.faces.copy()
    faces[5, 2] = faces[5, 0]
    with pytest.raises(addon("backend.recipe").InputError, match="repair"):
        addon("scene").add_result(scene, vase(faces=faces))
    assert not len(bpy.data.meshes) and not len(bpy.data.objects)
    assert not len(bpy.data.materials) and not len(bpy.data.images)


def test_names_are_short_and_whole_words(addon: Any) -> None:
    create = addon("backend.recipe").Recipe.create
    name = addon("scene").object_name
    assert name(create(prompt="  a   wooden armchair ")) == "A wooden armchair"
    long = name(create(prompt="word " * 40))
    assert len(long) <= 60 and not long.endswith(" ") and long.endswith("word")
    assert 0 < len(name(create(prompt="x" * 200))) <= 60


def test_colours_show_in_every_view(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    item = addon("scene").add_result(scene, vase())
    material = item.data.materials[0]
    nodes = {node.bl_idname: node for node in material.node_tree.nodes}
    link = nodes["ShaderNodeBsdfPrincipled"].inputs["Base Color"].links[0]
    assert link.from_node == nodes["ShaderNodeTexImage"]  # EEVEE and Cycles
    assert material.node_tree.nodes.active == nodes["ShaderNodeTexImage"]  # Solid, "Texture"
    assert item.data.color_attributes.active_color.name == "Color"  # Solid, "Attribute"
    red, _, blue, _ = material.diffuse_color  # Solid, "Material"
    assert 0.1 < red < 0.9 and 0.1 < blue < 0.9
    image = nodes["ShaderNodeTexImage"].image
    assert image.packed_file is not None and image.colorspace_settings.name == "sRGB"
    top = np.array(image.pixels[:], dtype=np.float32).reshape(128, 128, 4)[-1, 0]
    np.testing.assert_allclose(top * 255, (40, 60, 220, 255), atol=0.5)


def test_mesh_without_texture_shows_its_colour_attribute(addon: Any, scene: Any, vase: Callable[..., Any]) -> None:
    item = addon("scene").add_result(scene, vase(uvs=None, texture=None))
    nodes = {node.bl_idname: node for node in item.data.materials[0].node_tree.nodes}
    link = nodes["ShaderNodeBsdfPrincipled"].inputs["Base Color"].links[0]
    assert link.from_node.bl_idname == "ShaderNodeVertexColor" and link.from_node.layer_name == "Color"


def test_mean_colour_is_by_area(addon: Any) -> None:
    mesh = addon("backend.mesh").Mesh
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [9, 9, 9], [10, 9, 9], [9, 11, 9]], np.float32)
    colors = np.array([[1, 0, 0]] * 3 + [[0, 0, 1]] * 3, np.float32)
    made = mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32), colors)
    np.testing.assert_allclose(addon("materials").mean_color(made), (0.75, 0.0, 0.25))


def test_ghost_is_lit_from_above_and_needs_a_window(addon: Any, vase: Callable[..., Any]) -> None:
    mesh = vase(colors=None).mesh
    rgba = addon("preview").ghost_colors(mesh)
    assert rgba.shape == (len(mesh.vertices), 4) and rgba.dtype == np.float32
    assert np.all((rgba >= 0.0) & (rgba <= 1.0))
    assert rgba[-1, 0] > rgba[-2, 0], "the middle of the top is lighter than the middle of the foot"
    addon("preview").show(mesh)  # tests run without a window: nothing happens
    addon("preview").show(None)
