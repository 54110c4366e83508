from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.data.distance_grids import SATURATION, distance_grid, stretched, transformed
from backend.data.distance_packing import pack_distance_grids
from backend.data.volume import Volume

AXIS = (np.arange(64) + 0.5) / 32 - 1
CENTRES = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), axis=-1)


def box_distance(half: np.ndarray, points: np.ndarray = CENTRES) -> np.ndarray:
    beyond = np.abs(points) - half
    return np.linalg.norm(beyond.clip(min=0), axis=-1) + beyond.max(axis=-1).clip(max=0)


def test_a_grid_holds_the_saturated_distance_at_cell_centres(box) -> None:
    half = np.array([0.9, 0.5, 0.3])
    vertices, faces = box(-half, half)
    grid = distance_grid(Volume.of(vertices, faces))
    assert grid.shape == (64, 64, 64) and grid.dtype == np.float32
    # Beyond the band a value says only that it is far.
    np.testing.assert_allclose(grid, np.tanh(box_distance(half) / SATURATION), atol=0.02)


@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_a_turned_grid_is_the_grid_of_the_turned_shape(scale: float) -> None:
    half, angle = np.array([0.6, 0.4, 0.3]), 0.5
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = scale * np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    grid = torch.from_numpy(np.tanh(box_distance(half) / SATURATION).astype(np.float32))
    moved = transformed(grid[None], torch.from_numpy(matrix[None].astype(np.float32)))[0].numpy()
    wanted = np.tanh(scale * box_distance(half, CENTRES @ np.linalg.inv(matrix).T) / SATURATION)
    inner = (slice(8, 56),) * 3
    assert np.abs(moved - wanted)[inner].max() < 0.1 and np.abs(moved - wanted)[inner].mean() < 0.01


def test_each_shape_is_moved_by_its_own_matrix() -> None:
    half = np.array([0.6, 0.4, 0.3])
    grid = torch.from_numpy(np.tanh(box_distance(half) / SATURATION).astype(np.float32))
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    stretched = torch.diag(torch.tensor([1.1, 1.0, 1 / 1.1]))
    moved = transformed(grid.expand(3, -1, -1, -1), torch.stack([torch.eye(3), quarter, stretched])).numpy()
    np.testing.assert_allclose(moved[0], grid.numpy().clip(-0.999, 0.999), atol=1e-3)
    np.testing.assert_allclose(moved[1], np.tanh(box_distance(half[[1, 0, 2]]) / SATURATION), atol=2e-3)
    wanted = box_distance(half * [1.1, 1.0, 1 / 1.1])
    near = np.abs(wanted) > 0.02
    assert ((moved[2] < 0) == (wanted < 0))[near].all(), "stretching keeps the surface where it belongs"


def test_stretching_axis_by_axis_is_the_same_as_by_matrices() -> None:
    grid = torch.rand(10, 10, 10, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    factors = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.2, 0.7], [0.8, 0.9, 1.3]])
    moved = stretched(grid, factors)
    torch.testing.assert_close(moved, transformed(grid.expand(3, -1, -1, -1), torch.diag_embed(factors)))
    torch.testing.assert_close(moved[0], grid)


def test_a_data_set_s_grids_are_packed_once(write_archive, tmp_path: Path) -> None:
    source = write_archive(tmp_path / "tiny.zip")
    grids = pack_distance_grids(source, tmp_path / "packed", processes=1)
    assert grids.shape == (3, 64, 64, 64) and grids.dtype == np.int8
    wanted = np.tanh(box_distance(np.array([0.9, 0.5, 0.3])) / SATURATION)
    np.testing.assert_allclose(grids[0] / 127, wanted, atol=0.03)
    source.unlink()
    np.testing.assert_array_equal(pack_distance_grids(source, tmp_path / "packed"), grids)


def test_an_interrupted_packing_begins_anew(write_archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_archive(tmp_path / "tiny.zip")
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "distance_grids.unfinished").write_bytes(b"cut short")
    assert pack_distance_grids(source, folder, processes=1).shape == (3, 64, 64, 64)
    assert not (folder / "distance_grids.unfinished").exists()
