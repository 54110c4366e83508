"""Signed distances on grids and at points, on whole and broken meshes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernels import Grid, mesh_to_sdf
from backend.kernels.face_orientation import orient_faces
from backend.kernels.sdf_sign import closing_fans
from tests.backend.kernels.mesh_reference import CLOSED, MESHES, bumpy_ball, mesh, squared_distance, winding

GRID = Grid.cube(17)


def inside(kind: str, points: np.ndarray) -> np.ndarray:
    """Whether points are inside; for a mesh whose faces were only disturbed, whether they are inside the whole one."""
    if kind in ("overlapping parts", "an inside-out part"):
        vertices, faces = mesh(kind)
        half = len(faces) // 2
        corners = vertices.double().numpy()[faces.numpy()]
        return (np.abs(winding(points, corners[:half])) > 0.5) | (np.abs(winding(points, corners[half:])) > 0.5)
    return np.abs(filled_winding("closed" if kind in (*CLOSED, "faces without area") else kind, points)) > 0.5


def filled_winding(kind: str, points: np.ndarray) -> np.ndarray:
    """The winding number of a mesh whose small holes are filled."""
    vertices, faces = mesh(kind)
    fills, _ = closing_fans(orient_faces(vertices.double().numpy(), faces.int().numpy()))
    return winding(points, np.concatenate([vertices.double().numpy()[faces.numpy()], fills]))


@pytest.mark.parametrize("kind", MESHES)
def test_narrow_band_on_a_grid(kind: str) -> None:
    vertices, faces = mesh(kind)
    signed = mesh_to_sdf(vertices, faces, GRID).numpy()
    assert signed.dtype == np.float32 and signed.shape == GRID.shape
    points = GRID.points()
    exact = np.sqrt(squared_distance(points, vertices.double().numpy()[faces.numpy()])).reshape(GRID.shape)
    np.testing.assert_allclose(np.abs(signed), np.minimum(exact, 3 * GRID.spacing), atol=2e-6)
    wrong = ((signed < 0) != inside(kind, points).reshape(GRID.shape)) & (exact > 1e-5)
    assert wrong.sum() == 0


@pytest.mark.parametrize("kind", MESHES)
def test_at_points(kind: str) -> None:
    vertices, faces = mesh(kind)
    points = torch.from_numpy(np.random.default_rng(5).uniform(-0.9, 0.9, (300, 3))).float()
    signed = mesh_to_sdf(vertices, faces, points).numpy()
    exact = np.sqrt(squared_distance(points.double().numpy(), vertices.double().numpy()[faces.numpy()]))
    np.testing.assert_allclose(np.abs(signed), exact, rtol=1e-4, atol=1e-6)
    winds = filled_winding(kind, points.double().numpy())
    clear = (exact > 1e-5) & ((np.abs(np.abs(winds) - 0.5) > 0.02) | (kind in CLOSED))
    np.testing.assert_array_equal((signed < 0)[clear], inside(kind, points.double().numpy())[clear])


def test_every_node_where_no_band_is_asked() -> None:
    vertices, faces = mesh("a hole")
    dense = mesh_to_sdf(vertices, faces, GRID, band=None).numpy()
    exact = np.sqrt(squared_distance(GRID.points(), vertices.double().numpy()[faces.numpy()])).reshape(GRID.shape)
    np.testing.assert_allclose(np.abs(dense), exact, atol=2e-6)
    np.testing.assert_array_equal(dense < 0, mesh_to_sdf(vertices, faces, GRID).numpy() < 0)


@pytest.mark.parametrize("band", [1.0, 2.5, 8.0])
def test_band_of_any_width(band: float) -> None:
    vertices, faces = mesh("closed")
    banded = mesh_to_sdf(vertices, faces, GRID, band=band)
    dense = mesh_to_sdf(vertices, faces, GRID, band=None)
    np.testing.assert_allclose(banded, dense.clamp(-band * GRID.spacing, band * GRID.spacing), atol=2e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 9, 17), (33, 8, 7), (3, 40, 2)])
def test_grids_of_any_shape_that_cut_the_mesh(shape: tuple[int, int, int]) -> None:
    vertices, faces = mesh("many holes")
    grid = Grid((-0.31, -0.4, -0.2), 0.037, shape)
    signed = mesh_to_sdf(vertices, faces, grid).numpy()
    points = grid.points()
    corners = vertices.double().numpy()[faces.numpy()]
    exact = np.sqrt(squared_distance(points, corners)).reshape(shape)
    np.testing.assert_allclose(np.abs(signed), np.minimum(exact, 3 * grid.spacing), atol=2e-6)
    winds = np.abs(filled_winding("many holes", points)).reshape(shape)
    clear = (exact > 1e-5) & (np.abs(winds - 0.5) > 0.02)
    np.testing.assert_array_equal((signed < 0)[clear], (winds > 0.5)[clear])


def test_a_mesh_beyond_the_grid_leaves_it_all_outside_or_all_inside() -> None:
    vertices, faces = mesh("on the grid")
    far_away = mesh_to_sdf(vertices + 10, faces, Grid.cube(8))
    torch.testing.assert_close(far_away, torch.full((8, 8, 8), 3 * Grid.cube(8).spacing))
    assert (mesh_to_sdf(vertices * 100, faces, Grid.cube(8)) < 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 1.0), turned=st.floats(0.0, 0.5))
def test_closing_fans_close_whatever_is_left_of_a_mesh(seed: int, share: float, turned: float) -> None:
    """What the sign rests on: faces and fans together wind a whole number of times around every point."""
    random = np.random.default_rng(seed)
    vertices, faces = bumpy_ball(1)
    faces = faces[random.random(len(faces)) < share]
    faces = np.where((random.random(len(faces)) < turned)[:, None], faces[:, ::-1], faces).astype(np.int32)
    surface = orient_faces(vertices, np.ascontiguousarray(faces.reshape(-1, 3)))
    corners = np.concatenate([surface.vertices[surface.faces], *closing_fans(surface)])
    around = winding(random.uniform(-1, 1, (20, 3)), corners)
    np.testing.assert_allclose(around, np.rint(around), atol=1e-9)


@pytest.mark.parametrize("on_grid", [True, False])
def test_filled_holes_tell_inside_from_outside_where_the_winding_number_gives_way(on_grid: bool) -> None:
    """A hollow ball of large faces, a fifth of which are missing."""
    outer, faces = bumpy_ball(2)
    vertices = np.concatenate([outer, 0.75 * outer])
    faces = np.concatenate([faces, faces[:, ::-1] + len(outer)]).astype(np.int32)
    grid = Grid.cube(20)
    nodes = grid.points()
    inside = np.abs(winding(nodes, vertices[faces])) > 0.5
    left = faces[np.random.default_rng(0).random(len(faces)) > 0.2]
    by_winding_number = np.abs(winding(nodes, vertices[left])) > 0.5
    where = grid if on_grid else torch.from_numpy(nodes).float()
    signed = mesh_to_sdf(torch.from_numpy(vertices).float(), torch.from_numpy(left), where)
    ours = signed.numpy().reshape(-1) < 0
    assert (by_winding_number != inside).sum() >= 10
    assert 2 * (ours != inside).sum() <= (by_winding_number != inside).sum()


def test_the_rim_of_a_sheet_is_no_hole_to_be_filled() -> None:
    corners = np.array([[-0.5, 0.0, -0.3], [0.0, -0.5, 0.3], [0.5, 0.0, -0.3], [0.0, 0.5, 0.3]])
    fills, others = closing_fans(orient_faces(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
    assert (len(fills), len(others)) == (0, 4)


def test_a_moebius_strip_is_left_as_it_is() -> None:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    outwards = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    upwards = np.array([0.0, 0.0, 1.0])
    across = 0.2 * (np.cos(turn / 2)[:, None] * outwards + np.sin(turn / 2)[:, None] * upwards)
    middle = 0.6 * outwards
    vertices = np.concatenate([middle - across, middle + across])
    faces = []
    for i in range(24):
        low, high = (i + 1, i + 25) if i < 23 else (24, 0)
        faces += [[i, low, i + 24], [low, high, i + 24]]
    surface = orient_faces(vertices, np.array(faces, np.int32))
    np.testing.assert_array_equal(surface.faces, faces)
    signed = mesh_to_sdf(torch.from_numpy(vertices).float(), torch.tensor(faces), GRID)
    assert torch.isfinite(signed).all()


def test_gradient_points_away_from_the_surface() -> None:
    vertices, faces = mesh("closed")
    points = torch.tensor([[0.0, 0.0, 0.95], [0.02, 0.01, 0.3]], requires_grad=True)
    signed = mesh_to_sdf(vertices, faces, points)
    assert signed[0] > 0 > signed[1]
    signed.sum().backward()
    assert points.grad is not None
    torch.testing.assert_close(points.grad.norm(dim=1), torch.ones(2), atol=1e-4, rtol=0)
    on_surface = vertices[:1].clone().requires_grad_()
    mesh_to_sdf(vertices, faces, on_surface).sum().backward()
    assert on_surface.grad is not None and torch.isfinite(on_surface.grad).all()


def test_the_same_answer_from_one_thread_and_from_many() -> None:
    vertices, faces = mesh("cut in half")
    many = mesh_to_sdf(vertices, faces, GRID)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        torch.testing.assert_close(mesh_to_sdf(vertices, faces, GRID), many, rtol=0, atol=0)
    finally:
        torch.set_num_threads(threads)


def test_only_degenerate_faces_enclose_nothing() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [0.5, 0, 0]])
    faces = torch.tensor([[0, 1, 1], [0, 0, 0]])
    signed = mesh_to_sdf(vertices, faces, GRID)
    points = GRID.points()
    exact = np.linalg.norm(points - np.clip(points, 0, [0.5, 0, 0]), axis=1).reshape(GRID.shape)
    np.testing.assert_allclose(signed, np.minimum(exact, 3 * GRID.spacing), atol=2e-6)
    assert (mesh_to_sdf(vertices, faces, torch.tensor([[0.1, 0.0, 0.2]])) > 0).all()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (lambda: Grid((0, 0, 0), 0.0, (2, 2, 2)), "spacing"),
        (lambda: Grid((0, 0, 0), math.nan, (2, 2, 2)), "spacing"),
        (lambda: Grid((0, 0, math.inf), 1.0, (2, 2, 2)), "origin"),
        (lambda: Grid((0, 0, 0), 1.0, (2, 0, 2)), "shape"),
        (lambda: Grid((0, 0, 0), 1.0, (2048, 2048, 2048)), "2\\^30"),
        (lambda: Grid.cube(1), "resolution"),
    ],
)
def test_bad_grids_are_named(grid, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        grid()


def test_a_bad_band_is_named() -> None:
    with pytest.raises(ValueError, match="band"):
        mesh_to_sdf(*mesh("on the grid"), GRID, band=0.2)
