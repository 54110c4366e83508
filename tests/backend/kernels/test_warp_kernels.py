"""The CUDA side of the mesh and PointNet++ operations: the same Warp source run on the CPU, and compiled for GPUs."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import warp as wp

from backend.kernels import (
    Grid,
    ball_query,
    farthest_points,
    mesh_cuda,
    mesh_to_sdf,
    point_cuda,
    point_to_mesh_distance,
    winding_number,
)
from tests.backend.kernels.mesh_reference import mesh


@pytest.fixture(autouse=True)
def no_greeting(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Warp must not write to standard output, which belongs to results."""
    yield
    assert "Warp" not in capfd.readouterr().out


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_farthest_points_and_ball_query() -> None:
    points, queries = uniform(2, 300, 3), uniform(2, 40, 3)
    lengths = torch.tensor([300, 200])
    expected = farthest_points(points, 50, start=3, lengths=lengths)
    assert point_cuda.farthest_points_with_warp(points, lengths, 50, 3).equal(expected)
    for radius, most in ((0.3, 4), (0.05, 2)):
        for ours, theirs in zip(
            point_cuda.ball_query_with_warp(queries, points, radius, most),
            ball_query(queries, points, radius, most),
            strict=True,
        ):
            assert ours.equal(theirs)


@pytest.mark.parametrize("kind", ["closed", "cut in half"])
def test_mesh_queries(kind: str) -> None:
    vertices, faces = mesh(kind)
    points = uniform(200, 3)
    face, weights = mesh_cuda.nearest_faces_on_cuda(points, vertices, faces)
    squared, _, _ = point_to_mesh_distance(points, vertices, faces)
    found = (weights[:, :, None] * vertices[faces[face]]).sum(1)  # equally near ones need not be the same
    torch.testing.assert_close((found - points).square().sum(1), squared, atol=1e-6, rtol=1e-5)
    exact = winding_number(points, vertices, faces, far=math.inf)
    torch.testing.assert_close(mesh_cuda.winding_on_cuda(points, vertices, faces), exact, atol=1e-5, rtol=0)
    grid = Grid.cube(16)
    for band in (None, 3.0):
        distance = mesh_cuda.grid_distances_on_cuda(vertices, faces, grid.origin, grid.spacing, grid.shape, band)
        torch.testing.assert_close(distance, mesh_to_sdf(vertices, faces, grid, band=band).abs(), atol=1e-5, rtol=0)


def test_compiles_for_turing_ampere_and_hopper(tmp_path: Path) -> None:
    for module in (mesh_cuda, point_cuda):
        made = wp.compile_aot_module(module, arch=[75, 86, 90], module_dir=tmp_path, use_ptx=True)
        assert [path.stat().st_size > 0 for path in made] == [True] * 3
