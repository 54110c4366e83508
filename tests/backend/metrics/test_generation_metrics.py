"""Pairwise distances and what is read from them, against SciPy and against loops over shapes."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from backend.metrics import (
    coverage,
    minimum_matching_distance,
    one_nearest_neighbor_accuracy,
    pairwise_distances,
    total_mutual_difference,
)


def shapes(count: int, seed: int, points: int = 48) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(
        (random.normal(size=(count, points, 3)) * random.uniform(0.5, 1, (count, 1, 3))).astype(np.float32)
    )


def chamfer(a: torch.Tensor, b: torch.Tensor) -> float:
    forth, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    return float((forth**2).mean() + (back**2).mean())


def test_chamfer_matrix() -> None:
    a, b = shapes(4, 0), shapes(5, 1, 60)
    expected = [[chamfer(x, y) for y in b] for x in a]
    np.testing.assert_allclose(pairwise_distances(a, b), expected, rtol=1e-5)
    against_itself = pairwise_distances(a)
    np.testing.assert_allclose(against_itself, [[chamfer(x, y) for y in a] for x in a], rtol=1e-5)
    assert against_itself.equal(against_itself.T)


def test_more_pairs_than_are_computed_at_once() -> None:
    a, b = shapes(13, 0, 8), shapes(11, 1, 8)
    np.testing.assert_allclose(pairwise_distances(a, b), [[chamfer(x, y) for y in b] for x in a], rtol=1e-5)


def test_earth_movers_matrix_is_within_its_bound_of_the_optimum() -> None:
    a, b = shapes(3, 0), shapes(4, 1)
    matrix = pairwise_distances(a, b, "earth movers", epsilon=0.01).numpy()
    for i, j in np.ndindex(3, 4):
        cost = cdist(a[i], b[j])
        best = cost[linear_sum_assignment(cost)].mean()
        assert best * (1 - 1e-5) <= matrix[i, j] <= best * 1.01


def test_approximate_earth_movers_matrix_is_above_the_optimum_of_the_squared_distance() -> None:
    a, b = shapes(3, 0), shapes(4, 1)
    matrix = pairwise_distances(a, b, "approximate earth movers").numpy()
    for i, j in np.ndindex(3, 4):
        cost = cdist(a[i], b[j], "sqeuclidean")
        best = cost[linear_sum_assignment(cost)].mean()
        assert best < matrix[i, j] < 4 * best
    itself = pairwise_distances(a, distance="approximate earth movers")
    torch.testing.assert_close(itself, pairwise_distances(a, a, "approximate earth movers"))
    assert float(itself.diag().max()) < 1e-5 * float(itself.max())


def test_matching_distance_and_coverage() -> None:
    matrix = torch.tensor([[1.0, 5.0, 9.0], [2.0, 3.0, 9.0], [0.5, 4.0, 9.0], [7.0, 6.0, 8.0]])
    assert minimum_matching_distance(matrix) == pytest.approx((0.5 + 3 + 8) / 3)
    assert coverage(matrix) == pytest.approx(2 / 3)  # the third is the nearest of none
    same = pairwise_distances(shapes(6, 0), shapes(6, 0))
    assert (minimum_matching_distance(same), coverage(same)) == (0.0, 1.0)


def nearest_neighbor_accuracy(a: torch.Tensor, b: torch.Tensor) -> float:
    everything = [*a, *b]
    right = 0
    for i, one in enumerate(everything):
        others = [(chamfer(one, other), j) for j, other in enumerate(everything) if j != i]
        right += (min(others)[1] < len(a)) == (i < len(a))
    return right / len(everything)


@pytest.mark.parametrize(("shift", "count"), [(0.0, 9), (0.3, 7), (50.0, 5)])
def test_one_nearest_neighbor_accuracy(shift: float, count: int) -> None:
    a, b = shapes(8, 0), shapes(count, 1) + shift
    found = one_nearest_neighbor_accuracy(pairwise_distances(a), pairwise_distances(a, b), pairwise_distances(b))
    assert found == pytest.approx(nearest_neighbor_accuracy(a, b))
    if shift == 50:
        assert found == 1


def test_total_mutual_difference_sums_over_completions_the_mean_to_the_others() -> None:
    completions = shapes(5, 0)
    expected = sum(
        sum(chamfer(x, y) for j, y in enumerate(completions) if j != i) / 4 for i, x in enumerate(completions)
    )
    assert total_mutual_difference(completions) == pytest.approx(expected, rel=1e-5)
    assert total_mutual_difference(completions[:1].expand(4, -1, -1)) == 0


def test_bad_input_is_named() -> None:
    a = shapes(2, 0)
    square = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="distance"):
        pairwise_distances(a, a, "emd")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        pairwise_distances(a, shapes(2, 1, 50), "earth movers")
    with pytest.raises(ValueError, match="48 and 50 points"):
        pairwise_distances(a, shapes(2, 1, 50), "approximate earth movers")
    with pytest.raises(ValueError, match="at least 2"):
        total_mutual_difference(a[:1])
    with pytest.raises(ValueError, match="reference_to_reference"):
        one_nearest_neighbor_accuracy(square, torch.zeros(2, 3), square)
    with pytest.raises(ValueError, match="matrix"):
        coverage(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="matrix"):
        minimum_matching_distance(torch.zeros(3))
