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


def make_morph(finish, output, steps=4):
    select(add_cube("Chair"), add_cube("Sofa"))
    settings = bpy.context.scene.gen3d_interpolation
    settings.steps, settings.output = steps, output
    bpy.ops.gen3d.interpolate()
    finish()
    (item,) = (item for item in bpy.data.objects if "gen3d_recipe" in item)
    return item


def height(item):
    return item.evaluated_get(bpy.context.evaluated_depsgraph_get()).dimensions.z


def test_shape_keys_are_set_by_hand(session, finish):
    item = make_morph(finish, "shape keys")
    keys = item.data.shape_keys
    assert [key.name for key in keys.key_blocks] == ["Step 1", "Step 2", "Step 3", "Step 4"] and not keys.use_relative
    assert keys.animation_data is None
    first = height(item)
    for key, times in zip(keys.key_blocks, (1, 1.5, 2, 2.5), strict=True):
        keys.eval_time = key.frame
        assert height(item) == pytest.approx(times * first, rel=1e-4)


def test_keyframes_play_through_the_steps_from_the_scene_s_first_frame_on(session, finish):
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 10, 20
    item = make_morph(finish, "keyframes")
    assert (scene.frame_start, scene.frame_end) == (10, 46)

    def height_at(frame):
        scene.frame_set(frame)
        return height(item)

    # The fake worker grows its tetrahedron by half of its height a step, and steps are 12 frames apart.
    first = height_at(10)
    for frame, times in ((16, 1.25), (22, 1.5), (34, 2), (46, 2.5), (60, 2.5)):
        assert height_at(frame) == pytest.approx(times * first, rel=1e-3)


@pytest.fixture
def shown(addon, monkeypatch):
    """The ghosts that were shown, in order; a test has no window to look into."""
    ghosts = []
    monkeypatch.setattr(addon("preview"), "show", ghosts.append)
    return ghosts


def wait_for_preview(session, until):
    until(lambda: (session.tick(), not session.queue.previewing)[1])


def test_the_slider_shows_a_ghost_and_leaves_nothing_else_behind(session, addon, shown, until):
    select(add_cube("Chair"), add_cube("Sofa"))
    before = len(bpy.data.objects), len(bpy.data.meshes)
    bpy.context.scene.gen3d_interpolation.share = 0.25
    assert session.queue.previewing and session.error == ""
    wait_for_preview(session, until)
    (ghost,) = shown
    assert np.ptp(ghost.vertices[:, 2]) == pytest.approx(1.8 * 1.25, rel=1e-5)
    assert session.queue.jobs == [] and session.previews and not session.queue.busy
    assert (len(bpy.data.objects), len(bpy.data.meshes)) == before
    bpy.ops.gen3d.hide_preview()
    assert shown[-1] is None and not session.previews


def test_only_the_newest_place_of_the_slider_is_served(session, shown, until, addon):
    select(add_cube("Chair"), add_cube("Sofa"))
    settings = bpy.context.scene.gen3d_interpolation
    asked = []
    start = session.queue.start_worker

    def watched():
        worker = start()
        generate = worker.generate
        worker.generate = lambda job, recipe: (asked.append(recipe.parameters["blend"]), generate(job, recipe))
        return worker

    session.queue.start_worker = watched
    for share in (0.1, 0.2, 0.3):
        settings.share = share
    session.tick()  # the worker begins with what was the newest then
    for share in (0.6, 0.7, 0.8):
        settings.share = share
    wait_for_preview(session, until)
    assert asked == [(0.7, 0.3), (0.2, 0.8)]
    assert np.ptp(shown[-1].vertices[:, 2]) == pytest.approx(1.8 * 1.8, rel=1e-5)


def test_one_drag_writes_the_objects_once_and_the_next_sees_what_changed(session, addon, monkeypatch, shown):
    module = addon("operators.interpolation")
    written = []
    monkeypatch.setattr(module, "save_each", lambda context: written.append(1) or ["a.glb", "b.glb"])
    monkeypatch.setattr(module, "_drag", module._Drag())
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    a, b, c = (add_cube(name) for name in "ABC")
    settings = bpy.context.scene.gen3d_interpolation
    select(a, b)
    for share in (0.1, 0.2, 0.3):
        clock[0] += 1
        settings.share = share
    assert len(written) == 1
    clock[0] += 10
    settings.share = 0.4
    assert len(written) == 2
    select(a, c)
    settings.share = 0.5
    assert len(written) == 3


def test_a_blend_of_two_becomes_an_object(session, finish, shown):
    select(add_cube("Chair"), add_cube("Sofa"))
    settings = bpy.context.scene.gen3d_interpolation
    settings.share, settings.output = 0.75, "keyframes"
    assert bpy.ops.gen3d.blend() == {"FINISHED"}
    finish()
    (item,) = (item for item in bpy.data.objects if "gen3d_recipe" in item)
    recipe = json.loads(item["gen3d_recipe"])
    assert recipe["parameters"]["blend"] == [0.25, 0.75] and recipe["parameters"]["detail"] == settings.detail
    assert item.dimensions.z == pytest.approx(1.8 * 1.75, rel=1e-4) and item.data.shape_keys is None


def test_more_than_two_have_a_weight_each(session, finish, shown):
    select(*(add_cube(name) for name in "CAB"))
    settings = bpy.context.scene.gen3d_interpolation
    settings.shares[:3] = (1.0, 0.5, 0.25)
    bpy.ops.gen3d.blend()
    finish()
    (item,) = (item for item in bpy.data.objects if "gen3d_recipe" in item)
    assert json.loads(item["gen3d_recipe"])["parameters"]["blend"] == [1.0, 0.5, 0.25]


def test_a_slider_with_nothing_to_blend_says_so_in_the_panel(session, shown):
    select(add_cube("One"))
    bpy.context.scene.gen3d_interpolation.share = 0.3
    assert "one is selected" in session.error and not session.queue.previewing


def test_the_panel_has_sliders_for_what_is_selected(session, addon):
    from tests.addon.test_panels import Layout, stand_in

    session.health._health = addon("runtime").Health(True, "Ready: Python 3.11 on cpu.")

    def drawn():
        layout = Layout()
        panel = stand_in(addon("panels").GEN3D_PT_interpolation)
        panel.layout = layout
        panel.draw(bpy.context)
        return layout

    select(add_cube("One"))
    assert drawn().operators() == ["gen3d.interpolate"]
    select(*(item for item in bpy.data.objects), add_cube("Two"))
    assert drawn().of("prop")[-1] == "share" and drawn().operators() == ["gen3d.interpolate", "gen3d.blend"]
    select(*(item for item in bpy.data.objects), add_cube("Three"))
    assert drawn().of("prop")[-3:] == ["shares"] * 3
    session.previews = True
    assert drawn().operators() == ["gen3d.interpolate", "gen3d.blend", "gen3d.hide_preview"]


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


def test_a_rotated_parent_turns_what_is_written(session, addon):
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(0.7, 4, "X")
    plain, child = add_cube("Plain"), add_cube("Child")
    child.parent, child.scale = parent, (-0.5, 1, 2)
    select(plain, child)
    expected = np.array([child.matrix_world @ vertex.co for vertex in child.data.vertices])
    found = np.unique(read_vertices(saved_meshes(addon)[-1]).vertices, axis=0)
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-5)


def test_a_million_faces_and_two_objects_of_one_mesh_are_taken(session, addon):
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=708, y_subdivisions=708, size=2)
    grid = bpy.context.object
    twin = grid.copy()
    bpy.context.scene.collection.objects.link(twin)
    select(grid, twin)
    assert bpy.ops.gen3d.interpolate() == {"FINISHED"}
    (job,) = session.queue.jobs
    first, second = job.recipe.inputs["meshes"]
    assert len(read_vertices(first).faces) == len(read_vertices(second).faces) == 2 * 708**2


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
        ((lambda: add_cube("One"), lambda: mesh_object("Nothing", [])), '"Nothing" has no faces'),
        (
            (lambda: add_cube("One"), lambda: mesh_object("Broken", [(float("nan"), 0, 0), *TRIANGLE], [(0, 1, 2)])),
            "not finite",
        ),
    ],
    ids=["nothing", "one", "camera", "points", "empty mesh", "NaN"],
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
