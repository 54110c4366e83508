from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view


def pixels_of(path: Path) -> np.ndarray:
    """(H, W, 3) of a picture, row 0 at the top, sRGB in [0, 1]."""
    image = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.array(image.pixels[:], np.float32).reshape(height, width, 4)
    bpy.data.images.remove(image)
    return pixels[::-1, :, :3]


@pytest.mark.parametrize("stretch", [(1.0, 1.0, 1.0), (6.0, 0.4, 0.3), (0.01, 0.01, 0.05), (90.0, 200.0, 3.0)])
def test_every_vertex_is_in_the_picture_and_it_is_filled(
    addon: Any, scene: Any, vase: Callable[..., Any], stretch: tuple[float, float, float]
) -> None:
    scene.cursor.location = (5.0, -3.0, 1.0)
    vertices = vase().mesh.vertices * np.float32(stretch)
    item = addon("scene").add_result(scene, vase(vertices=vertices))
    addon("studio").build(scene, [item])
    scene.render.resolution_x = scene.render.resolution_y = 200
    bpy.context.view_layer.update()
    seen = np.array(
        [world_to_camera_view(scene, scene.camera, item.matrix_world @ vertex.co) for vertex in item.data.vertices]
    )
    assert np.all((seen[:, :2] > 0.0) & (seen[:, :2] < 1.0))
    assert np.all((seen[:, 2] > scene.camera.data.clip_start) & (seen[:, 2] < scene.camera.data.clip_end))
    assert max(np.ptp(seen[:, 0]), np.ptp(seen[:, 1])) > 0.8


def test_picture_shows_the_texture_upright_with_its_colours(
    addon: Any, scene: Any, vase: Callable[..., Any], tmp_path: Path
) -> None:
    item = addon("scene").add_result(scene, vase())
    addon("studio").build(scene, [item])
    picture = tmp_path / "vase.png"
    addon("studio").render(scene, picture, size=48, samples=2, threads=1)
    pixels = pixels_of(picture)
    assert pixels.shape == (48, 48, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["vase.png"], "nothing unfinished is left"
    blue = pixels[..., 2] - pixels[..., 0] > 0.2
    red = pixels[..., 0] - pixels[..., 2] > 0.2
    assert blue.any() and red.any()
    assert np.nonzero(blue)[0].mean() < np.nonzero(red)[0].mean(), "the blue rim is above"
    assert 0.5 < pixels[:4].mean() < 0.95, "the backdrop is light grey"
    assert np.abs(pixels[:4].mean(axis=(0, 1)) - pixels[:4].mean()).max() < 0.03


def test_studio_refuses_nothing(addon: Any, scene: Any) -> None:
    with pytest.raises(ValueError, match="vertices"):
        addon("studio").build(scene, [])


def test_picture_that_cannot_be_saved(addon: Any, scene: Any, vase: Callable[..., Any], tmp_path: Path) -> None:
    item = addon("scene").add_result(scene, vase())
    addon("studio").build(scene, [item])
    with pytest.raises(addon("backend.recipe").MachineError, match="could not be saved"):
        addon("studio").render(scene, tmp_path / "missing" / "vase.png", size=16, samples=1, threads=1)


def test_file_is_replaced_only_by_a_whole_one(addon: Any, tmp_path: Path) -> None:
    replacing = addon("files").replacing
    path = tmp_path / "a file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(addon("backend.recipe").MachineError), replacing(path):
        pass
    with replacing(path) as unfinished:
        unfinished.write_text("new")
    assert path.read_text() == "new" and len(list(tmp_path.iterdir())) == 1
