"""Latent interpolation from the selection to the objects in the scene, with a real worker process."""

from __future__ import annotations

import itertools
import json

import bpy
import numpy as np
import pytest
from mathutils import Matrix


@pytest.fixture
def finish(session, until):
    def work() -> None:
        def idle() -> bool:
            session.tick()
            return not session.queue.busy and not session.placing

        until(idle)

    return work


@pytest.fixture(autouse=True)
def shapes_folder(session, addon, monkeypatch, tmp_path):
    """Keeps the inputs of the recipes in the test's own folder."""
    monkeypatch.setattr(addon("extension"), "shapes_folder", lambda: tmp_path / "shapes")
    return tmp_path / "shapes"


def add_cube(name, matrix=None, select=True):
    bpy.ops.mesh.primitive_cube_add(size=2)
    item = bpy.context.object
    item.name = name
    if matrix is not None:
        item.matrix_world = matrix
        bpy.context.view_layer.update()
    item.select_set(select)
    return item


def select(*items):
    bpy.context.view_layer.update()
    for item in bpy.context.view_layer.objects:
        item.select_set(item in items)
    bpy.context.view_layer.objects.active = items[-1] if items else None


def saved_meshes(addon):
    return addon("partial_shape").save_each(bpy.context)


def read_vertices(path):
    from backend.data.mesh_reading import read_mesh

    return read_mesh(path)


def test_steps_become_a_row_of_objects_with_one_recipe(session, finish):
    a, b = add_cube("Chair"), add_cube("Sofa")
    select(a, b)
    bpy.context.scene.gen3d_interpolation.steps = 3
    assert bpy.ops.gen3d.interpolate() == {"FINISHED"}
    finish()
    made = [item for item in bpy.data.objects if "gen3d_recipe" in item]
    assert len(made) == 3 and session.error == ""
    recipe = json.loads(made[0]["gen3d_recipe"])
    assert recipe["task"] == "latent_interpolation" and recipe["parameters"]["steps"] == 3
    assert all(item["gen3d_recipe"] == made[0]["gen3d_recipe"] for item in made)
    assert [item.name.partition(".")[0] for item in made] == ["Chair to Sofa"] * 3
    places = sorted(item.location.x for item in made)
    assert all(after - before > made[0].dimensions.x for before, after in itertools.pairwise(places))
    assert session.notes == ["Given back to within 1.0 % of its size on average."]


def test_shape_keys_become_one_object_that_plays_through_them(session, finish):
    select(add_cube("Chair"), add_cube("Sofa"))
    settings = bpy.context.scene.gen3d_interpolation
    settings.steps, settings.output = 4, "shape keys"
    bpy.ops.gen3d.interpolate()
    finish()
    (item,) = (item for item in bpy.data.objects if "gen3d_recipe" in item)
    keys = item.data.shape_keys
    assert [key.name for key in keys.key_blocks] == ["Step 1", "Step 2", "Step 3", "Step 4"] and not keys.use_relative

    def height(frame):
        bpy.context.scene.frame_set(frame)
        return item.evaluated_get(bpy.context.evaluated_depsgraph_get()).dimensions.z

    # The fake worker grows its tetrahedron by half of its height a step, and steps are 12 frames apart.
    first = height(1)
    assert height(13) == pytest.approx(1.5 * first, rel=0.2)
    assert height(37) == pytest.approx(2.5 * first, rel=1e-4)
    assert height(60) == pytest.approx(2.5 * first, rel=1e-4), "it stops at the last step"


def test_the_active_object_comes_last_and_the_same_selection_gives_the_same_recipe(session, addon):
    a, b, c = (add_cube(name) for name in ("C", "B", "A"))
    select(a, b, c)
    paths = saved_meshes(addon)
    assert [path.stem for path in paths] == ["B", "C", "A"]
    assert saved_meshes(addon) == paths


def test_meshes_are_taken_as_they_are_seen(session, addon):
    """Modifiers, a mirroring uneven scale, a rotation and a parent all reach the file."""
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.location.z = 5
    plain, odd = add_cube("Plain"), add_cube("Odd", Matrix.Diagonal((-1, 2, 3, 1)))
    odd.parent = parent
    odd.modifiers.new("Subdivision", "SUBSURF").levels = 2
    bpy.context.view_layer.update()
    select(plain, odd)
    mesh = read_vertices(saved_meshes(addon)[-1])
    assert len(mesh.vertices) > 8
    corners = mesh.vertices[mesh.faces].astype(float)
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 0, "a mirror does not turn the surface inside out"
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert (low[2] + high[2]) / 2 == pytest.approx(5, abs=1e-4)
    np.testing.assert_allclose((high - low) / (high - low)[0], [1, 2, 3], rtol=1e-4)


def camera():
    item = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(item)
    return item


def mesh_object(name, vertices, faces=()):
    data = bpy.data.meshes.new(name)
    data.from_pydata(vertices, [], faces)
    item = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(item)
    return item


TRIANGLE = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ((), "none is selected"),
        ((lambda: add_cube("One"),), "one is selected"),
        ((lambda: add_cube("One"), camera), '"Camera" is no mesh but a camera'),
        ((lambda: add_cube("One"), lambda: mesh_object("Points", TRIANGLE)), '"Points" has no faces'),
        (
            (lambda: add_cube("One"), lambda: mesh_object("Broken", [(float("nan"), 0, 0), *TRIANGLE], [(0, 1, 2)])),
            "not finite",
        ),
    ],
    ids=["nothing", "one", "camera", "points", "NaN"],
)
def test_a_selection_that_cannot_be_used_is_refused_in_one_sentence(session, others, words):
    made = [make() for make in others]
    select(*made)
    before = len(bpy.data.objects)
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.gen3d.interpolate()
    assert words in session.error and session.queue.jobs == [] and len(bpy.data.objects) == before


def test_the_settings_are_the_methods_parameters(session, addon):
    properties = addon("properties")
    settings = bpy.context.scene.gen3d_interpolation
    recipe = properties.interpolation_recipe(settings, ["a.glb", "b.glb"])
    expected = addon("backend.recipe").Recipe.create(
        "latent_interpolation", "latent interpolation", meshes=("a.glb", "b.glb")
    )
    assert recipe == expected
    settings.path, settings.texture, settings.steps = "spherical", True, 5
    changed = properties.interpolation_recipe(settings, ["a.glb", "b.glb"])
    assert (changed.parameters["path"], changed.parameters["texture"], changed.parameters["steps"]) == (
        "spherical",
        True,
        5,
    )


def test_nothing_stays_behind_when_a_step_cannot_be_added(session, addon, monkeypatch):
    recipe, mesh = addon("backend.recipe"), addon("backend.mesh")
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    good = mesh.Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]))
    bad = mesh.Mesh(vertices, np.array([[0, 1, 1]]))
    asked = recipe.Recipe.create("latent_interpolation", "latent interpolation", meshes=("a.glb", "b.glb"))
    result = recipe.Result(good, np.eye(4), asked, {}, [], following=(bad,))
    with pytest.raises(recipe.InputError):
        addon("scene").add_results(bpy.context.scene, result)
    assert len(bpy.data.objects) == 0
