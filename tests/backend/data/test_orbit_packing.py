"""Packed orbit views: what is cut out of a view, and where, must agree with the view itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.data import orbit_packing
from backend.data.archive import Archive
from backend.data.orbit_packing import FILLED, around, open_orbits, orbit_camera, orbit_views, pack_orbits
from backend.data.rendering import Light, corner_normals_of, render
from backend.errors import InputError
from backend.representations.cameras import FRAMED

LIGHT = Light(np.array([0.0, 0.0, 1.0]), sun=0.4, ambient=0.5)


def test_a_window_is_that_part_of_the_whole_view(box) -> None:
    vertices, faces = box((-0.9, -0.3, -0.4), (0.9, 0.3, 0.4))
    mesh = (vertices, faces, corner_normals_of(vertices, faces), np.tile(np.array([200, 60, 30], np.uint8), (12, 1)))
    whole = orbit_camera(0.7, 0.3)
    cut = around(vertices, whole)
    across, up, half = cut.window
    size = 256
    large = render(*mesh, whole, LIGHT, size)
    small = render(*mesh, cut, LIGHT, size)
    rows, columns = np.nonzero(small[..., 3] > 127)
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    assert longer / size == pytest.approx(FILLED, abs=0.01)
    # The middle of each picture's covered box, in halves of the whole picture's side.
    for axis, (index, offset, sign) in enumerate(((columns, across, 1), (rows, up, -1))):
        own = (index.min() + index.max() + 1) / size - 1
        there = np.nonzero(large[..., 3] > 127)[1 - axis]
        assert sign * ((there.min() + there.max() + 1) / size - 1) == pytest.approx(
            offset + sign * half * own, abs=0.01
        )


def test_the_standard_framing_holds_the_sphere() -> None:
    camera = orbit_camera(2.0, 0.5)
    right, up = camera.rotation[0], camera.rotation[1]
    angle = np.linspace(0, 2 * np.pi, 64)[:, None]
    # The sphere's outline is the circle where its tangents from the camera touch it.
    distance = np.linalg.norm(camera.position)
    towards, radius = FRAMED**2 / distance, FRAMED * np.sqrt(1 - (FRAMED / distance) ** 2)
    outline = -camera.rotation[2] * towards + radius * (np.cos(angle) * right + np.sin(angle) * up)
    places, _ = camera.project(outline)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1, atol=1e-5)


def test_packed_views_are_every_objects_own(write_archive, tmp_path: Path) -> None:
    data = write_archive(tmp_path / "tiny.zip")
    packed = pack_orbits(data, tmp_path / "packed", processes=1)
    assert packed.targets.shape == (3, orbit_packing.TARGETS, 64, 64, 4) and len(packed) == 3
    assert packed.inputs.shape == (3, orbit_packing.INPUTS, 64, 64, 4)
    again = orbit_views(Archive(data)[1], np.random.default_rng([6, 1]))
    for name, part in zip(orbit_packing.QUANTITIES, again, strict=True):
        assert np.array_equal(getattr(packed, name)[1], part)
    elevation = packed.target_angles[..., 1]
    assert elevation.min() >= orbit_packing.LOWEST and elevation.max() <= orbit_packing.HIGHEST
    longest = packed.inputs[:2, :, :, :, 3].astype(bool).any(axis=2).sum(axis=2).max()
    assert longest / 64 == pytest.approx(FILLED, abs=0.1)
    first = np.array(packed.targets)
    assert np.array_equal(pack_orbits(data, tmp_path / "packed").targets, first), "what is there is not made again"


def test_a_folder_that_is_not_whole_is_refused(write_archive, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no views"):
        open_orbits(tmp_path)
    pack_orbits(write_archive(tmp_path / "tiny.zip"), tmp_path, processes=1)
    np.save(tmp_path / "orbit_targets.npy", np.zeros((3, 1, 8, 8, 4), np.uint8))
    with pytest.raises(InputError, match="another layout"):
        open_orbits(tmp_path)
