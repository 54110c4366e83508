"""Training pictures: silhouettes, shading and colours that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from backend.color import linear_to_srgb, srgb_to_linear
from backend.data import view_packing
from backend.data.archive import Archive
from backend.data.packing import pack
from backend.data.rendering import Light, corner_normals_of, frame, render, render_views
from backend.data.view_packing import open_views, pack_views
from backend.errors import InputError

RED = (200, 30, 20)
TOP = Light(np.array([0.0, 0.0, 1.0]), sun=0.6, ambient=0.3)


def picture_of(vertices, faces, colors, light=TOP, size=64, **view) -> np.ndarray:
    view = {"azimuth": 0.0, "elevation": 0.0, "field_of_view": np.radians(40), "margin": 0.1} | view
    normals = corner_normals_of(vertices, faces)
    return render(vertices, faces, normals, colors, frame(vertices, **view), light, size)


@pytest.fixture
def ball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(4, 0.9)
    faces = np.asarray(mesh.faces, np.int64)
    return np.asarray(mesh.vertices, np.float64), faces, np.tile(np.array(RED, np.uint8), (len(faces), 1))


def test_a_balls_silhouette_is_the_disc_that_fills_the_frame_but_for_its_margin(ball) -> None:
    picture = picture_of(*ball, size=128, margin=0.1)
    area = picture[..., 3].sum() / 255 / 128**2
    assert area == pytest.approx(np.pi / 4 * 0.8**2, rel=0.01)
    rows = np.flatnonzero(picture[..., 3].any(1))
    assert rows[0] == pytest.approx(0.1 * 128, abs=1.5) and rows[-1] == pytest.approx(0.9 * 128 - 1, abs=1.5)


def test_a_face_that_looks_at_the_lamp_has_its_colour_times_the_light(box) -> None:
    vertices, faces = box((-0.9, -0.9, -0.9), (0.9, 0.9, 0.9))
    colors = np.tile(np.array(RED, np.uint8), (len(faces), 1))
    picture = picture_of(vertices, faces, colors, elevation=np.pi / 2 - 1e-6)  # from above: the top alone
    expected = linear_to_srgb(srgb_to_linear(np.array(RED) / 255) * 0.9) * 255
    assert np.abs(picture[32, 32, :3] - expected).max() <= 1
    front = picture_of(vertices, faces, colors)[
        32, 32, :3
    ]  # the lamp is beside it: ambient light alone, half of the sky
    assert np.abs(front - linear_to_srgb(srgb_to_linear(np.array(RED) / 255) * 0.3 * 0.85) * 255).max() <= 1


def test_the_side_of_a_ball_that_faces_the_lamp_is_the_brightest(ball) -> None:
    for direction, (row, column) in {(1, 0, 0): (32, 52), (-1, 0, 0): (32, 11), (0, 0, 1): (11, 32)}.items():
        picture = picture_of(*ball, light=Light(np.array(direction, float), 0.7, 0.2)).astype(int)
        opposite = picture[63 - row, 63 - column, 0]
        assert picture[row, column, 0] > opposite + 60


def test_views_from_the_right_show_the_right_side(box) -> None:
    vertices, faces = box((-0.9, -0.9, -0.9), (0.9, 0.9, 0.9))
    middle = vertices[faces].mean(1)
    colors = np.full((len(faces), 3), 60, np.uint8)
    colors[middle[:, 0] > 0.8] = (0, 250, 0)
    colors[middle[:, 1] < -0.8] = (250, 0, 0)
    front = picture_of(vertices, faces, colors)[32, 32]
    side = picture_of(vertices, faces, colors, azimuth=np.pi / 2)[32, 32]
    assert front[0] > 100 and front[1] == 0
    assert side[1] > 100 and side[0] == 0


@pytest.mark.parametrize("azimuth", [0.0, 0.7, 2.5])
def test_nothing_touches_the_edge_and_the_object_is_centred(box, azimuth: float) -> None:
    vertices, faces = box((-0.9, -0.3, -0.2), (0.9, 0.3, 0.2))
    colors = np.full((len(faces), 3), 200, np.uint8)
    alpha = picture_of(vertices, faces, colors, size=128, azimuth=azimuth, elevation=0.5, margin=0.12)[..., 3] > 0
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    for ends in (rows, columns):
        assert abs(ends[0] - (127 - ends[-1])) <= 2
    assert min(rows[0], columns[0]) == pytest.approx(0.12 * 128, abs=2)


def test_edges_keep_the_objects_colour(ball) -> None:
    picture = picture_of(*ball, light=Light(np.array([0.0, -1.0, 0.0]), 0.0, 0.9))
    partly = (picture[..., 3] > 0) & (picture[..., 3] < 255)
    assert partly.sum() > 50
    linear = srgb_to_linear(picture[partly][:, :3] / 255)
    share = linear / srgb_to_linear(np.array(RED) / 255)
    assert (share > 0.5).all() and (share < 0.95).all()  # between the sky's least and most; never mixed with black
    assert (picture[picture[..., 3] == 0] == 0).all()


def test_faces_wound_inwards_look_the_same(ball) -> None:
    vertices, faces, colors = ball
    there, back = picture_of(vertices, faces, colors), picture_of(vertices, faces[:, ::-1].copy(), colors)
    assert np.abs(there.astype(int) - back).max() <= 1


def test_the_same_generator_gives_the_same_pictures(write_archive, tmp_path: Path) -> None:
    shape = Archive(write_archive(tmp_path / "tiny.zip"))[0]
    views = render_views(shape, 4, np.random.default_rng(1))
    assert views.shape == (4, 64, 64, 4) and views.dtype == np.uint8
    assert (views == render_views(shape, 4, np.random.default_rng(1))).all()
    assert (views != render_views(shape, 4, np.random.default_rng(2))).any()
    assert all((views[i] != views[j]).any() for i in range(4) for j in range(i))
    border = np.concatenate([views[:, 0], views[:, -1], views[:, :, 0], views[:, :, -1]], axis=1)
    assert (border == 0).all()
    assert (views[..., 3].reshape(4, -1) == 255).sum(1).min() > 200


def test_pictures_lie_beside_the_packed_arrays(write_archive, tmp_path: Path, monkeypatch) -> None:
    source, folder = write_archive(tmp_path / "tiny.zip"), tmp_path / "packed"
    pack(source, folder, processes=1)
    with pytest.raises(InputError, match="holds no pictures"):
        open_views(folder)

    def cut_off(work, *_, **__):
        yield next(iter(work))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(view_packing, "tqdm", cut_off)
        with pytest.raises(KeyboardInterrupt):
            pack_views(source, folder, processes=1)
    assert not (folder / "views.npy").exists()
    views = pack_views(source, folder, seed=7, processes=1)
    for index, shape in enumerate(Archive(source)):
        assert (views[index] == render_views(shape, 8, np.random.default_rng([7, index]))).all()
    source.unlink()
    assert (pack_views(source, folder) == views).all()  # opened, not made again


def test_pictures_of_another_data_set_are_refused(write_archive, tmp_path: Path) -> None:
    source, folder = write_archive(tmp_path / "tiny.zip"), tmp_path / "packed"
    pack(source, folder, processes=1)
    records = folder / "records.json"
    records.write_text(records.read_text().replace('"t2"', '"t9"'))
    with pytest.raises(InputError, match="was not packed from"):
        pack_views(source, folder)
