from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.data.archive import Archive
from backend.data.orbit_packing import orbit_camera
from benchmarks.novel_views import AZIMUTH, ELEVATION, VIEWS, NearestObject, case_of, framed, measure, renderer_of


def test_a_case_is_the_object_from_where_it_says(write_archive, tmp_path: Path) -> None:
    shape = Archive(write_archive(tmp_path / "tiny.zip"))[0]
    case = case_of(shape)
    assert case.truth.shape == (len(VIEWS), 64, 64, 4)
    seen = renderer_of(shape)
    assert np.array_equal(case.whole, seen(orbit_camera(AZIMUTH, ELEVATION)))
    turn, elevation = VIEWS[2]
    assert np.array_equal(case.truth[2], seen(orbit_camera(AZIMUTH + turn, elevation)))
    assert case.picture[..., 3].sum() > case.whole[..., 3].sum(), "the picture is cut out"


def test_a_picture_goes_back_to_where_it_was_cut_out(write_archive, tmp_path: Path) -> None:
    case = case_of(Archive(write_archive(tmp_path / "tiny.zip"))[0])
    assert measure(framed(case.picture, case.window)[None], case.whole[None])[0] > 22
    across, up, half = case.window
    assert measure(framed(case.picture, (across + 0.2, up, half))[None], case.whole[None])[0] < 20


def test_a_perfect_method_is_perfect_and_black_is_not(write_archive, tmp_path: Path) -> None:
    case = case_of(Archive(write_archive(tmp_path / "tiny.zip"))[1])
    exact = measure(case.truth, case.truth)
    assert exact[0] == np.inf and exact[1] == pytest.approx(1)
    black = np.zeros_like(case.truth)
    black[..., 3] = 1
    assert measure(black, case.truth)[0] < 10


def test_the_nearest_object_to_a_training_object_is_itself(write_archive, tmp_path: Path) -> None:
    data = write_archive(tmp_path / "tiny.zip")
    nearest = NearestObject(data, tmp_path / "packed")
    for index in (0, 1):
        case = case_of(Archive(data)[index])
        found = nearest(case)
        colors = [part[part[..., 3] > 0.9][:, :3].mean(0) for part in (found, case.truth)]
        np.testing.assert_allclose(colors[0], colors[1], atol=0.15)
