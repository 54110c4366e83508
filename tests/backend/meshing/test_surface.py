"""Extraction against exact solids, against a dense grid, and between the two marching cubes."""

import numpy as np
import pytest
import torch

from backend.errors import Cancelled, InputError, MachineError
from backend.meshing import marching_cubes as libraries
from backend.meshing.sparse_grid import sample_distance_grid
from backend.meshing.surface import extract_surface
from backend.meshing.validity import enclosed_volume, euler_characteristic, is_manifold, is_watertight
from tests.backend.meshing.exact_fields import (
    Distance,
    ExactField,
    box,
    chair,
    sphere,
    torus,
    union,
    waves,
    without,
)

SOLIDS: dict[str, Distance] = {
    "sphere": sphere(0.8),
    "torus": torus(),
    "box": box((0.7, 0.5, 0.3)),
    "touching spheres": union(sphere(0.4, (-0.4, 0, 0)), sphere(0.4, (0.4, 0, 0))),
    "thin plate": box((0.8, 0.6, 0.02)),
    "shell": without(sphere(0.8), sphere(0.5)),
    "chair": chair(),
    "gyroid": waves(),
}


def unmetric(distance: Distance) -> Distance:
    """The same surface with gradients from 0.3 to 1.5, in patches of a tenth of model space."""

    def warped(points: np.ndarray) -> np.ndarray:
        return distance(points) * (0.9 + 0.6 * np.sin(9 * points[:, 0]) * np.cos(11 * points[:, 2]))

    return warped


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("change", [lambda distance: distance, unmetric], ids=["metric", "unmetric"])
def test_signs_and_crossings_are_those_of_a_dense_grid(name: str, change) -> None:
    field = ExactField(change(SOLIDS[name]))
    grid = sample_distance_grid(field, 64)
    axis = np.linspace(-1, 1, 65, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    dense = field.distance(points.astype(np.float64)).astype(np.float32).reshape(65, 65, 65)
    np.testing.assert_array_equal(grid.values < 0, dense < 0)
    for one, other in (
        (grid.values, dense),
        (grid.values.swapaxes(0, 1), dense.swapaxes(0, 1)),
        (grid.values.T, dense.T),
    ):
        crossed = (other[1:] < 0) != (other[:-1] < 0)
        np.testing.assert_allclose(one[1:][crossed], other[1:][crossed], atol=1e-6)
        np.testing.assert_allclose(one[:-1][crossed], other[:-1][crossed], atol=1e-6)


@pytest.mark.parametrize("name", SOLIDS)
def test_surfaces_are_sound_and_near_the_exact_ones(name: str) -> None:
    distance = SOLIDS[name]
    vertices, faces = extract_surface(ExactField(distance), 64)
    assert vertices.dtype == np.float32 and faces.dtype == np.int32
    assert is_watertight(faces) and is_manifold(faces)
    assert enclosed_volume(vertices, faces) > 0
    # Edges and creases are bevelled by less than a cell; smooth surfaces are met far closer.
    assert np.abs(distance(vertices.astype(np.float64))).max() < 0.8 * 2 / 64
    assert np.median(np.abs(distance(vertices.astype(np.float64)))) < 0.01 * 2 / 64


def test_sphere_has_the_volume_and_the_genus_of_a_sphere() -> None:
    vertices, faces = extract_surface(ExactField(sphere(0.8)), 64)
    assert enclosed_volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=2e-3)
    assert euler_characteristic(faces) == 2


def test_torus_has_the_volume_and_the_genus_of_a_torus() -> None:
    vertices, faces = extract_surface(ExactField(torus(0.6, 0.25)), 64)
    assert enclosed_volume(vertices, faces) == pytest.approx(2 * np.pi**2 * 0.6 * 0.25**2, rel=5e-3)
    assert euler_characteristic(faces) == 0


def test_sphere_asks_for_a_tenth_of_a_dense_grid() -> None:
    field = ExactField(sphere(0.9))
    grid = sample_distance_grid(field, 128)
    assert grid.evaluations == field.asked <= 0.1 * 128**3


@pytest.mark.parametrize("detail", [32, 50, 65, 100])
def test_details_that_are_no_power_of_two(detail: int) -> None:
    vertices, faces = extract_surface(ExactField(sphere(0.8)), detail)
    assert is_manifold(faces)
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.8).max() < 0.2 * 2 / detail
    assert detail <= sample_distance_grid(ExactField(sphere(0.8)), detail).cells <= detail + 3


def test_shape_beyond_model_space_is_closed_half_a_cell_inside() -> None:
    vertices, faces = extract_surface(ExactField(box((2, 0.5, 0.5))), 64)
    assert is_manifold(faces)
    assert vertices[:, 0].min() == pytest.approx(-1 + 1 / 64, abs=1e-3)
    assert vertices[:, 0].max() == pytest.approx(1 - 1 / 64, abs=1e-3)


def test_solid_everywhere_becomes_a_cube() -> None:
    vertices, faces = extract_surface(ExactField(sphere(9.0)), 32)
    assert is_manifold(faces)
    assert enclosed_volume(vertices, faces) == pytest.approx((2 - 2 / 32) ** 3, rel=1e-2)


def test_surface_through_the_grid_s_nodes_has_no_flat_triangles() -> None:
    vertices, faces = extract_surface(ExactField(box((0.5, 0.5, 0.5))), 32)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    assert is_manifold(faces)
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 0


def test_empty_field_is_refused_with_advice() -> None:
    with pytest.raises(InputError, match="came out empty; try another seed or a higher guidance scale"):
        extract_surface(ExactField(sphere(-0.1)), 64)


def test_field_of_no_numbers_is_the_machine_s_fault() -> None:
    with pytest.raises(MachineError, match="not numbers"):
        extract_surface(ExactField(lambda points: np.full(len(points), np.nan)), 32)


def test_cancel_stops_within_a_chunk() -> None:
    field = ExactField(sphere())
    with pytest.raises(Cancelled):
        extract_surface(field, 128, cancelled=lambda: field.asked > 50_000)
    assert field.asked < 50_000 + (1 << 16)


def test_progress_rises() -> None:
    fractions: list[float] = []
    extract_surface(ExactField(sphere()), 128, progress=fractions.append)
    assert fractions == sorted(fractions) and 0 < fractions[0] < fractions[-1] < 1


def test_both_marching_cubes_give_the_same_surface() -> None:
    axis = np.linspace(-1, 1, 41)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    for distance in (sphere(0.83), torus(0.61, 0.27), chair()):
        values = (distance(points) + 1e-3).astype(np.float32).reshape(41, 41, 41)
        one, other = libraries._with_pymcubes(values), libraries._with_scikit_image(values)
        for vertices, faces in (one, other):
            assert is_manifold(faces)
            assert enclosed_volume(vertices, faces) > 0
        sorted_one, sorted_other = (np.unique(np.round(v, 3), axis=0) for v in (one[0], other[0]))
        np.testing.assert_allclose(sorted_one, sorted_other, atol=2e-3)
        assert enclosed_volume(*one) == pytest.approx(enclosed_volume(*other), rel=2e-3)
        assert euler_characteristic(one[1]) == euler_characteristic(other[1])


@pytest.mark.parametrize("library", [libraries._with_pymcubes, libraries._with_scikit_image])
def test_noise_is_closed_whichever_library_meets_it(library) -> None:
    values = np.random.default_rng(3).normal(size=(18, 18, 18)).astype(np.float32)
    for axis in range(3):
        np.moveaxis(values, axis, 0)[[0, -1]] = 1
    vertices, faces = library(values)
    assert is_watertight(faces) and enclosed_volume(vertices, faces) > 0


def test_same_field_same_surface() -> None:
    one, other = (extract_surface(ExactField(torch_like_noise), 48) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def torch_like_noise(points: np.ndarray) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    waves_of = torch.randn(12, 3, generator=generator).numpy() * 6
    return np.sin(points @ waves_of.T).mean(axis=1) + np.linalg.norm(points, axis=1) - 0.6
