"""Shape completion in Blender: what is selected, where results stand, keeping one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Matrix


@pytest.fixture(autouse=True)
def shapes(addon, monkeypatch, tmp_path):
    monkeypatch.setattr(addon("extension"), "shapes_folder", lambda: tmp_path / "shapes")
    return tmp_path / "shapes"


@pytest.fixture
def finish(session, until):
    def work() -> None:
        until(lambda: (session.tick(), not session.queue.busy and not session.placing)[1])

    return work


@pytest.fixture
def cube(session):
    bpy.ops.mesh.primitive_cube_add(size=2)
    return bpy.context.active_object


@pytest.fixture
def box(cube):
    """An empty around what is below the cube's middle; the cube is selected."""
    empty = bpy.data.objects.new("Unknown", None)
    empty.empty_display_type, empty.empty_display_size = "CUBE", 1.5
    empty.location = (0, 0, -1.5)
    bpy.context.scene.collection.objects.link(empty)
    bpy.context.view_layer.update()
    bpy.context.scene.gen3d_completion.box = empty
    return empty


def stored(session) -> list[dict]:
    return [job.recipe.inputs for job in session.queue.jobs]


def shape_in(path: str):
    rows = Path(path).read_bytes()
    header, body = rows.split(b"end_header\n", 1)
    count = int(header.split(b"element vertex ")[1].split()[0])
    width = header.count(b"property float") * 4 + header.count(b"property uchar")
    table = np.frombuffer(body[: count * width], np.uint8).reshape(count, width)
    return np.ascontiguousarray(table[:, :12]).view("<f4")


def test_samples_stand_in_a_row_beside_the_input(session, cube, box, finish):
    bpy.context.scene.cursor.location = (9, 9, 9)
    assert bpy.ops.gen3d.complete() == {"FINISHED"}
    (inputs,) = {json.dumps(entry) for entry in stored(session)}
    assert json.loads(inputs)["unknown"] == [-1.5, -1.5, -3, 1.5, 1.5, 0]
    assert [job.recipe.seed for job in session.queue.jobs] == [0, 1, 2, 3]
    finish()
    made = sorted((item for item in bpy.data.objects if "gen3d_recipe" in item), key=lambda item: item.location.x)
    lefts = [item.location.x - item.dimensions.x / 2 for item in made]
    assert len(made) == 4 and lefts[0] > 0
    assert all(later >= before + made[0].dimensions.x for before, later in itertools.pairwise(lefts))
    assert {round(item.location.y, 4) for item in made} == {0}


def test_keep_this_one_removes_the_other_samples_only(session, cube, box, finish):
    bpy.context.scene.gen3d_completion.variations = 3
    bpy.ops.gen3d.complete()
    finish()
    kept = bpy.context.active_object
    assert bpy.ops.gen3d.keep() == {"FINISHED"}
    assert {item.name for item in bpy.data.objects} == {kept.name, cube.name, box.name}
    assert not bpy.ops.gen3d.keep.poll()


def test_the_evaluated_mesh_is_taken_to_world_space_in_metres(session, cube, box):
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.matrix_world = Matrix.Translation((5, 0, 0)) @ Matrix.Rotation(0.5, 4, "Z")
    cube.parent = parent
    cube.scale = (-2, 1, 0.5)
    cube.modifiers.new("Array", "ARRAY")
    bpy.context.scene.unit_settings.scale_length = 0.1
    bpy.context.view_layer.update()
    evaluated = cube.evaluated_get(bpy.context.evaluated_depsgraph_get())
    expected = np.array([cube.matrix_world @ vertex.co for vertex in evaluated.data.vertices]) * 0.1
    bpy.ops.gen3d.complete()
    found = shape_in(stored(session)[0]["shape"])
    np.testing.assert_allclose(np.sort(found, 0), np.sort(expected, 0), atol=1e-5)
    np.testing.assert_allclose(stored(session)[0]["unknown"], [-0.15, -0.15, -0.3, 0.15, 0.15, 0], atol=1e-6)


def test_a_kept_original_stands_beside_itself_with_its_own_corners(addon, session, cube):
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.matrix_world = Matrix.Translation((5, -1, 2)) @ Matrix.Rotation(0.5, 4, "X")
    cube.parent = parent
    cube.scale = (-2, 1, 0.5)
    bpy.context.scene.unit_settings.scale_length = 0.1
    bpy.context.view_layer.update()
    recipe = addon("backend.recipe")
    asked = recipe.Recipe.create("shape_completion", shape="cube.ply", unknown="scan", keep_original=True)
    mesh = addon("partial_shape").world_shape([cube], bpy.context)
    item = addon("scene").add_result(bpy.context.scene, recipe.Result(mesh, np.eye(4), asked, {}, []))
    found = np.array([item.matrix_world @ vertex.co for vertex in item.data.vertices])
    expected = np.array([cube.matrix_world @ vertex.co for vertex in cube.data.vertices])
    expected[:, 0] += 1.2 * np.ptp(expected[:, 0])
    np.testing.assert_allclose(np.sort(found, 0), np.sort(expected, 0), atol=1e-4)
    assert item.data.polygons[0].normal.length > 0.9 and bpy.context.active_object == item


def test_a_million_faces_are_taken(addon, session, box, cube):
    bpy.ops.object.select_all(action="DESELECT")
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=708, y_subdivisions=708, size=2)
    grid = bpy.context.active_object
    assert bpy.ops.gen3d.complete() == {"FINISHED"}
    assert Path(stored(session)[0]["shape"]).stem == grid.name
    assert b"element face 1002528" in Path(stored(session)[0]["shape"]).read_bytes()[:500]


def test_a_mirrored_object_does_not_turn_inside_out(addon, session, cube):
    volume = []
    for scale in (1, -1):
        cube.scale.x = scale
        bpy.context.view_layer.update()
        mesh = addon("partial_shape").world_shape([cube], bpy.context)
        corners = mesh.vertices[mesh.faces].astype(np.float64)
        volume.append(np.linalg.det(corners).sum() / 6)
    np.testing.assert_allclose(volume, 8)


def test_vertices_without_faces_are_points_and_a_scan_needs_no_box(session):
    mesh = bpy.data.meshes.new("Points")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 1)], [], [])
    item = bpy.data.objects.new("Points", mesh)
    bpy.context.scene.collection.objects.link(item)
    item.select_set(True)
    bpy.context.scene.gen3d_completion.known = "SCAN"
    assert bpy.ops.gen3d.complete() == {"FINISHED"}
    assert stored(session)[0]["unknown"] == "scan"
    np.testing.assert_array_equal(shape_in(stored(session)[0]["shape"]), [[0, 0, 0], [1, 0, 0], [0, 1, 1]])


def test_the_same_selection_is_the_same_recipe_and_another_is_not(session, cube, box):
    bpy.ops.gen3d.complete()
    bpy.ops.gen3d.complete()
    cube.location.x = 0.25
    bpy.context.view_layer.update()
    bpy.ops.gen3d.complete()
    names = [entry["shape"] for entry in stored(session)]
    assert names[0] == names[4] != names[8]
    assert Path(names[0]).stem == cube.name


def test_material_colours_come_along(addon, session, cube):
    material = bpy.data.materials.new("Red")
    material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1, 0.25, 0, 1)
    cube.data.materials.append(material)
    shape = addon("partial_shape").world_shape([cube], bpy.context)
    np.testing.assert_allclose(shape.colors, np.tile([1, 0.25, 0], (8, 1)))


def refused(session, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.gen3d.complete()
    assert session.queue.jobs == []


def test_what_cannot_be_completed_is_refused(session, cube, box):
    settings = bpy.context.scene.gen3d_completion
    bpy.ops.object.select_all(action="DESELECT")
    refused(session, "Nothing is selected")
    box.select_set(True)
    refused(session, "Nothing is selected")
    camera = bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
    bpy.context.scene.collection.objects.link(camera)
    camera.select_set(True)
    refused(session, '"Eye" is no mesh but a camera')
    camera.select_set(False)
    cube.select_set(True)
    settings.box = None
    refused(session, "Choose the object")
    box.scale.z = 0
    bpy.context.view_layer.update()
    settings.box = box
    refused(session, "is flat")
    box.scale.z = 1
    cube.data.vertices[0].co.x = float("nan")
    bpy.context.view_layer.update()
    refused(session, "not finite")
    cube.data.clear_geometry()
    bpy.context.view_layer.update()
    refused(session, "has no vertices")


def test_each_method_has_its_own_settings_in_its_recipe(session, addon, tmp_path):
    settings = bpy.context.scene.gen3d_completion
    settings.variations, settings.prompt, settings.mirror = 1, "a chair", False
    settings.temperature = 0.5
    properties, create = addon("properties"), addon("backend.recipe").Recipe.create
    asked = {"shape": "part.ply", "unknown": "scan", "mirror": False}

    def made():
        (recipe,) = properties.completion_recipes(settings, "part.ply", "scan")
        return recipe

    assert made() == create("shape_completion", prompt="a chair", **asked)
    settings.method = "autoregressive"
    assert made() == create("shape_completion", "autoregressive", temperature=0.5, **asked)
    settings.method = "points"
    assert made() == create("shape_completion", "points", **asked)
    settings.checkpoint = str(tmp_path / "pointr.pth")
    assert made().inputs["checkpoint"] == str(tmp_path / "pointr.pth")


def test_the_settings_make_the_default_recipe(session, addon):
    settings = bpy.context.scene.gen3d_completion
    settings.variations = 1
    (recipe,) = addon("properties").completion_recipes(settings, "part.ply", "scan")
    assert recipe == addon("backend.recipe").Recipe.create("shape_completion", shape="part.ply", unknown="scan")
    settings.keep_original = True
    (recipe,) = addon("properties").completion_recipes(settings, "part.ply", "scan")
    assert recipe.parameters["keep_original"] is True
    settings.prompt = " a chair "
    (recipe,) = addon("properties").completion_recipes(settings, "part.ply", "scan")
    assert recipe.inputs["prompt"] == "a chair"
