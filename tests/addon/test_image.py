"""Image to 3D in the add-on: pictures become files, results bring a camera and views."""

from __future__ import annotations

import math
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Vector


@pytest.fixture
def picture(session):
    """An image of 6 × 4 pixels, red above and half transparent blue below, generated in Blender."""
    image = bpy.data.images.new("my photo.png", 6, 4, alpha=True)
    rows = np.zeros((4, 6, 4), np.float32)
    rows[:2] = (0, 0, 1, 0.5)  # Blender's rows start at the bottom
    rows[2:] = (1, 0, 0, 1)
    image.pixels.foreach_set(rows.ravel())
    return image


@pytest.fixture
def folder(addon, monkeypatch, tmp_path):
    monkeypatch.setattr(addon("extension"), "shapes_folder", lambda: tmp_path)
    return tmp_path


def result_of_picture(addon, **options):
    modules = addon("backend.recipe"), addon("backend.mesh")
    mesh = modules[1].Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], dtype=np.int32))
    recipe = modules[0].Recipe.create("image_to_3d", "multiview", picture="a chair.png")
    transform = np.diag([2.0, 2.0, 2.0, 1.0])
    transform[:3, 3] = 0.5, 0, 1
    return modules[0].Result(mesh, transform, recipe, {}, [], **options)


def test_a_generated_image_is_written_once_by_its_content(addon, picture, folder):
    module = addon("picture_files")
    path = module.file_of(picture)
    assert path.name == "my photo.png" and path.parent.parent == folder
    again = bpy.data.images.load(str(path))
    assert tuple(again.size) == (6, 4)
    np.testing.assert_array_equal(module.pixels_of(again), module.pixels_of(picture))
    assert module.pixels_of(picture)[0, 0].tolist() == [255, 0, 0, 255]
    assert module.pixels_of(picture)[3, 5].tolist() == [0, 0, 255, 128]
    assert module.file_of(picture) == path
    assert module.file_of(again) == path, "an image that lies on disk is its own file"


def test_a_linear_image_is_encoded_and_an_empty_one_refused(addon, session, folder):
    module, InputError = addon("picture_files"), addon("backend.recipe").InputError
    image = bpy.data.images.new("render", 2, 2, alpha=True, float_buffer=True)
    image.pixels.foreach_set(np.tile(np.array([0.25, 0.25, 0.25, 0.5], np.float32), 4))
    # 0.25 under an alpha of 0.5 is a linear 0.5, in sRGB 0.735.
    assert module.pixels_of(image)[0, 0].tolist() == [188, 188, 188, 128]
    missing = bpy.data.images.new("missing", 2, 2)
    missing.source = "FILE"
    missing.filepath = "/nowhere/at/all.png"
    with pytest.raises(InputError, match="no pixels"):
        module.file_of(missing)


def test_the_button_makes_recipes_of_the_picture_and_the_mask(addon, session, picture, folder):
    settings = bpy.context.scene.gen3d_image
    settings.picture = picture
    settings.mask = bpy.data.images.new("mask", 6, 4)
    settings.method, settings.variations, settings.elevation = "multiview", 2, 22.5
    bpy.ops.gen3d.generate_image()
    first, second = (job.recipe for job in session.queue.jobs)
    assert (first.task, first.method, first.seed, second.seed) == ("image_to_3d", "multiview", 0, 1)
    assert Path(first.inputs["picture"]).is_file() and Path(first.inputs["mask"]).is_file()
    assert "prompt" not in first.inputs and first.parameters["elevation"] == 22.5
    assert first.title == "my photo"


def test_without_a_picture_or_a_camera_it_says_so(session):
    for operator, words in (
        (bpy.ops.gen3d.generate_image, "no picture"),
        (bpy.ops.gen3d.render_picture, "no active camera"),
        (bpy.ops.gen3d.paste_picture, "clipboard"),
    ):
        with pytest.raises(RuntimeError, match=words):
            operator()
        assert words in session.error


def test_the_active_cameras_view_becomes_the_picture_with_a_transparent_ground(session):
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add(size=2)
    camera = bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
    camera.location, camera.rotation_euler = (0, -8, 0), (math.pi / 2, 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.render.resolution_x, scene.render.resolution_y = 1, 24, 24
    before = (scene.render.film_transparent, scene.render.filepath, scene.render.image_settings.file_format)
    assert bpy.ops.gen3d.render_picture() == {"FINISHED"}
    assert (scene.render.film_transparent, scene.render.filepath, scene.render.image_settings.file_format) == before
    picture = scene.gen3d_image.picture
    assert picture.packed_file is not None and tuple(picture.size) == (24, 24)
    alpha = np.array(picture.pixels).reshape(24, 24, 4)[..., 3]
    assert alpha[12, 12] == 1 and alpha[0, 0] == 0


def test_an_object_from_a_picture_brings_the_pictures_camera(addon, session):
    matrix = np.eye(4)
    matrix[:3] = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0.25]]  # at −Y, looking along +Y
    viewpoint = addon("backend.recipe").Viewpoint(matrix, 0.7, (0.1, -0.05))
    bpy.context.scene.cursor.location = 3, 0, 0
    item = addon("scene").add_result(bpy.context, result_of_picture(addon, viewpoint=viewpoint))
    assert bpy.ops.gen3d.add_camera() == {"FINISHED"}
    camera = bpy.context.scene.camera
    bpy.context.view_layer.update()
    # Model space is doubled and moved, and the object stands at the cursor.
    assert camera.matrix_world.translation[:] == pytest.approx((3.5, -8, 1.5), abs=1e-5)
    assert (camera.matrix_world.to_3x3() @ Vector((0, 0, -1)))[:] == pytest.approx((0, 1, 0), abs=1e-6)
    assert camera.data.angle_y == pytest.approx(0.7, abs=1e-5)
    assert (camera.data.shift_x, camera.data.shift_y) == pytest.approx((0.1, -0.05))
    item["gen3d_viewpoint"] = "{}"
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.gen3d.add_camera()


def test_views_that_were_kept_become_images_that_can_be_saved(addon, session, tmp_path):
    views = np.zeros((2, 4, 4, 4), np.uint8)
    views[1, 0] = 255, 0, 0, 255
    item = addon("scene").add_result(bpy.context, result_of_picture(addon, views=views))
    second = bpy.data.images["A chair view 02"]
    assert second.packed_file is not None and second.use_fake_user
    np.testing.assert_array_equal(addon("picture_files").pixels_of(second), views[1])
    assert not bpy.ops.gen3d.add_camera.poll(), "an object without a viewpoint has no camera to add"

    second.name = "the other side"
    assert bpy.ops.gen3d.save_views(directory=str(tmp_path)) == {"FINISHED"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A chair view 01.png", "the other side.png"]
    saved = bpy.data.images.load(str(tmp_path / "the other side.png"))
    np.testing.assert_array_equal(addon("picture_files").pixels_of(saved), views[1])
    with pytest.raises(RuntimeError, match="missing"):
        bpy.ops.gen3d.save_views(directory=str(tmp_path / "missing"))
    bpy.data.images.remove(second)
    assert [image.name for image in addon("scene").views_of(item)] == ["A chair view 01"]
    bpy.context.view_layer.objects.active = None
    assert not bpy.ops.gen3d.save_views.poll()


def test_what_would_be_taken_of_the_picture_is_shown_before_anything_is_made(addon, session, picture, folder, until):
    with pytest.raises(RuntimeError, match="no picture"):
        bpy.ops.gen3d.preview_mask()
    settings = bpy.context.scene.gen3d_image
    settings.picture = picture
    assert bpy.ops.gen3d.preview_mask() == {"FINISHED"}
    assert session.look_at(picture) is None
    until(lambda: session.tick() is None or session.look_at(picture) is not None)
    seen = session.look_at(picture)
    np.testing.assert_array_equal(seen.picture, np.full((4, 6, 3), 9, np.uint8))
    assert session.queue.jobs == [] and session.error == "" and seen.caption == "What is taken"
    assert session.look_at(bpy.data.images.new("another", 4, 4)) is None
    picture.name = "missing"
    bpy.ops.gen3d.preview_mask()
    until(lambda: session.tick() is None or session.error != "")
    assert session.error == "There is no picture: open one." and session.look_at(picture) is None


def test_published_models_and_mask_models_are_told_in_the_recipe(addon, session, picture, folder):
    settings = bpy.context.scene.gen3d_image
    settings.picture, settings.method = picture, "multiview"
    settings.checkpoint, settings.mask_model = "/models/zero123.ckpt", "/models/u2net.onnx"
    recipe = addon("properties").image_recipes(settings, "a.png", None)[0]
    assert "checkpoint" not in recipe.inputs, "the bundled model has no checkpoint"
    assert recipe.inputs["mask_model"] == "/models/u2net.onnx"
    settings.view_model, settings.saving = "zero123-xl", "offloaded"
    recipe = addon("properties").image_recipes(settings, "a.png", None)[0]
    assert recipe.inputs["checkpoint"] == "/models/zero123.ckpt"
    assert recipe.parameters["view_model"] == "zero123-xl" and recipe.parameters["saving"] == "offloaded"
    settings.method = "feed-forward"
    assert "checkpoint" not in addon("properties").image_recipes(settings, "a.png", None)[0].inputs
