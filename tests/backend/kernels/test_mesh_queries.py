"""Nearest points of meshes and winding numbers, against plain float64 sums over every triangle."""

import math

import numpy as np
import pytest
import torch

from backend.kernels import point_to_mesh_distance, winding_number
from tests.backend.kernels.mesh_reference import MESHES, mesh, squared_distance, winding


def queries(count: int = 300, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (count, 3)).astype(np.float32))


@pytest.mark.parametrize("kind", MESHES)
def test_distance_face_and_closest_point(kind: str) -> None:
    vertices, faces = mesh(kind)
    points = queries()
    squared, face, closest = point_to_mesh_distance(points, vertices, faces)
    corners = vertices.double().numpy()[faces.numpy()]
    expected = squared_distance(points.double().numpy(), corners)
    np.testing.assert_allclose(squared.numpy(), expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose((closest - points).square().sum(1).numpy(), expected, rtol=1e-4, atol=1e-7)
    on_face = [
        squared_distance(closest[i : i + 1].double().numpy(), corners[face[i] : face[i] + 1])[0] for i in range(50)
    ]
    assert max(on_face) < 1e-11


def test_points_on_corners_edges_and_faces_have_distance_zero() -> None:
    vertices, faces = mesh("closed")
    corners = vertices[faces]
    points = torch.cat([vertices[:20], corners[:20, :2].mean(1), corners[:20].mean(1)])
    squared, _, _ = point_to_mesh_distance(points, vertices, faces)
    assert float(squared.max()) < 1e-13


def test_far_from_the_origin_nothing_is_lost() -> None:
    vertices, faces = mesh("closed")
    points = queries()
    shift = torch.tensor([1e6, -1e6, 1e6])
    far_vertices, far_points = vertices * 64 + shift, points * 64 + shift
    squared, _, _ = point_to_mesh_distance(far_points, far_vertices, faces)
    corners = far_vertices.double().numpy()[faces.numpy()]
    np.testing.assert_allclose(squared, squared_distance(far_points.double().numpy(), corners), rtol=1e-3, atol=1e-2)


def test_gradients_are_those_of_a_small_step() -> None:
    vertices, faces = mesh("closed")
    points = queries(40).requires_grad_()
    vertices.requires_grad_()
    squared, _, _ = point_to_mesh_distance(points, vertices, faces)
    squared.sum().backward()
    assert points.grad is not None and vertices.grad is not None
    step = torch.from_numpy(np.random.default_rng(1).normal(size=points.shape)) * 1e-5
    pull = torch.from_numpy(np.random.default_rng(2).normal(size=vertices.shape)) * 1e-5

    def total(sign: int) -> float:
        moved = (vertices.detach().double() + sign * pull).numpy()[faces.numpy()]
        return float(squared_distance((points.detach().double() + sign * step).numpy(), moved).sum())

    expected = (total(1) - total(-1)) / 2
    assert float((points.grad * step).sum() + (vertices.grad * pull).sum()) == pytest.approx(expected, rel=1e-3)


def test_one_triangle_no_points_and_many_threads() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    squared, face, closest = point_to_mesh_distance(torch.tensor([[0.25, 0.25, 2.0]]), vertices, faces)
    assert (float(squared), int(face), closest.tolist()) == (4.0, 0, [[0.25, 0.25, 0.0]])
    assert [len(part) for part in point_to_mesh_distance(torch.empty(0, 3), vertices, faces)] == [0, 0, 0]
    assert len(winding_number(torch.empty(0, 3), vertices, faces)) == 0


@pytest.mark.parametrize("kind", MESHES)
def test_winding_numbers(kind: str) -> None:
    vertices, faces = mesh(kind)
    points = queries()
    expected = winding(points.double().numpy(), vertices.double().numpy()[faces.numpy()])
    np.testing.assert_allclose(winding_number(points, vertices, faces, far=math.inf), expected, atol=2e-6)
    np.testing.assert_allclose(winding_number(points, vertices, faces), expected, atol=0.01)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda p, v, f: (p.double(), v, f), TypeError, "float32"),
        (lambda p, v, f: (p[:, :2], v, f), ValueError, "shape"),
        (lambda p, v, f: (p, v * math.nan, f), ValueError, "NaN"),
        (lambda p, v, f: (p, v, f[:0]), ValueError, "empty"),
        (lambda p, v, f: (p, v, f + 1), ValueError, "vertex numbers"),
        (lambda p, v, f: (p, v, f - 1), ValueError, "vertex numbers"),
        (lambda p, v, f: (p, v, f.float()), TypeError, "int32"),
        (lambda p, v, f: (p, v[:0], f), ValueError, "vertex numbers"),
        (lambda p, v, f: (p.tolist(), v, f), TypeError, "torch tensor"),
    ],
)
def test_bad_input_is_named(change, error, words) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = mesh("on the grid")
    arguments = change(queries(4), vertices, faces)
    for operation in (point_to_mesh_distance, winding_number):
        with pytest.raises(error, match=words):
            operation(*arguments)


def test_a_far_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        winding_number(queries(2), *mesh("on the grid"), far=0.5)
