"""What PointNet++ and Point-Voxel CNN need, against definitions written out plainly."""

import math

import numpy as np
import pytest
import torch

from backend.kernels import (
    ball_query,
    devoxelize,
    farthest_points,
    group_points,
    three_nearest_interpolate,
    voxelize,
)
from tests.backend.kernels.cloud_reference import clouds

SHAPES = ("normal", "clustered", "coincident")


def cloud(kind: str, count: int, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    points = random.normal(size=(2, count, 3))
    if kind == "clustered":
        points = points * 1e-4 + random.integers(0, 3, (2, count, 1))
    if kind == "coincident":
        points = np.round(points)
    return torch.from_numpy(points.astype(np.float32))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("count", [1, 17, 1500])
def test_farthest_points_are_chosen_one_by_one(kind: str, count: int) -> None:
    points = cloud(kind, count)
    wanted = min(count, 60)
    chosen = farthest_points(points, wanted, start=count // 2)
    for b in range(2):
        places = points[b].numpy()
        nearest = np.full(count, np.inf, np.float32)
        latest, expected = count // 2, [count // 2]
        while len(expected) < wanted:
            step = places - places[latest]
            nearest = np.minimum(nearest, (step * step).sum(axis=1))
            # Rounding may tell equally far points apart: each choice must be as far as the best, to float32.
            latest = int(chosen[b, len(expected)])
            assert nearest[latest] >= nearest.max() * (1 - 1e-6)
            expected.append(latest)
        assert int(chosen[b, 0]) == count // 2


def test_farthest_points_of_clouds_of_different_lengths() -> None:
    points = cloud("normal", 50)
    points[1, 20:] = 1e6
    chosen = farthest_points(points, 20, lengths=torch.tensor([50, 20]))
    assert sorted(chosen[1].tolist()) == list(range(20))
    torch.testing.assert_close(chosen[0], farthest_points(points[:1], 20)[0])


def test_a_line_is_halved_again_and_again() -> None:
    line = torch.zeros(1, 9, 3)
    line[0, :, 0] = torch.arange(9.0)
    assert farthest_points(line, 5).tolist() == [[0, 8, 4, 2, 6]]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(("count", "most"), [(1, 1), (16, 3), (333, 8), (100, 128)])
def test_ball_query_takes_the_first_points_in_the_ball(kind: str, count: int, most: int) -> None:
    queries, points = cloud(kind, 40, seed=1), cloud(kind, count)
    index, found = ball_query(queries, points, 0.5001, most)
    squared = (queries[:, :, None].double() - points[:, None].double()).square().sum(-1)
    for b, q in np.ndindex(2, 40):
        inside = torch.nonzero(squared[b, q] < 0.5001**2).flatten().tolist()[:most]
        assert int(found[b, q]) == len(inside)
        assert index[b, q].tolist() == inside + [inside[0] if inside else 0] * (most - len(inside))


def test_group_points_gathers_and_spreads_gradients_back() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, 9, 4, generator=random, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 9, (2, 5, 3), generator=random)
    grouped = group_points(features, index)
    for b, m, k in np.ndindex(2, 5, 3):
        assert grouped[b, m, k].equal(features[b, index[b, m, k]])
    assert torch.autograd.gradcheck(lambda f: group_points(f, index), features)
    assert torch.autograd.gradgradcheck(lambda f: group_points(f, index), features)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_interpolation_weighs_by_inverse_squared_distance(count: int) -> None:
    queries, points = cloud("normal", 30, seed=1), cloud("normal", count)
    features = torch.randn(2, count, 5, generator=torch.Generator().manual_seed(0))
    result = three_nearest_interpolate(queries, points, features)
    squared = (queries[:, :, None].double() - points[:, None].double()).square().sum(-1)
    nearest, index = squared.topk(min(3, count), largest=False)
    weights = 1 / nearest
    weights = weights / weights.sum(-1, keepdim=True)
    expected = torch.stack([(weights[b, :, :, None] * features[b, index[b]].double()).sum(1) for b in range(2)])
    torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-5)


def test_interpolation_at_a_point_gives_its_features_and_finite_gradients() -> None:
    points = cloud("normal", 12).requires_grad_()
    features = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    result = three_nearest_interpolate(points.detach(), points, features)
    torch.testing.assert_close(result, features, rtol=1e-4, atol=1e-4)
    result.sum().backward()
    assert points.grad is not None and torch.isfinite(points.grad).all()
    assert features.grad is not None and torch.isfinite(features.grad).all()


def test_interpolation_gradient_is_that_of_a_small_step() -> None:
    queries, points = cloud("normal", 6, seed=1).requires_grad_(), cloud("normal", 30)
    features = torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(0))
    step = 1e-3 * torch.randn(queries.shape, generator=torch.Generator().manual_seed(1))
    three_nearest_interpolate(queries, points, features).sum().backward()
    with torch.no_grad():
        ahead = three_nearest_interpolate(queries + step, points, features).double().sum()
        behind = three_nearest_interpolate(queries - step, points, features).double().sum()
    assert queries.grad is not None
    assert float((queries.grad * step).sum()) == pytest.approx(float(ahead - behind) / 2, rel=0.02)


def test_voxelize_averages_what_lies_in_each_voxel() -> None:
    points = torch.rand(2, 200, 3, generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2
    features = torch.randn(2, 200, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    grid, count = voxelize(points, features, 5)
    voxel = ((points + 1) * 2.5).floor().clamp(0, 4).long()
    for b, i, j, k in np.ndindex(2, 5, 5, 5):
        members = (voxel[b] == torch.tensor([i, j, k])).all(dim=1)
        assert int(count[b, i, j, k]) == int(members.sum())
        expected = features[b, members].mean(0) if members.any() else torch.zeros(4)
        torch.testing.assert_close(grid[b, :, i, j, k], expected)
    weight = torch.randn(grid.shape, generator=torch.Generator().manual_seed(2))
    (grid * weight).sum().backward()
    assert features.grad is not None
    b, n = 1, 7
    i, j, k = voxel[b, n]
    torch.testing.assert_close(features.grad[b, n], weight[b, :, i, j, k] / count[b, i, j, k])


@pytest.mark.parametrize("resolution", [1, 2, 7])
def test_devoxelize_is_trilinear_between_centres(resolution: int) -> None:
    points = torch.rand(2, 60, 3, generator=torch.Generator().manual_seed(0)) * 3 - 1.5
    grid = torch.randn(2, 4, *[resolution] * 3, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.grid_sample(
        grid.permute(0, 1, 4, 3, 2), points[:, None, None], padding_mode="border", align_corners=False
    )[:, :, 0, 0].transpose(1, 2)
    torch.testing.assert_close(devoxelize(points, grid), expected, rtol=1e-4, atol=1e-5)


def test_devoxelize_gradients() -> None:
    points = (torch.rand(1, 8, 3, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.6).requires_grad_()
    grid = torch.randn(1, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    step = 1e-3 * torch.randn(points.shape, generator=torch.Generator().manual_seed(2))
    devoxelize(points, grid).sum().backward()
    with torch.no_grad():
        change = devoxelize(points + step, grid).double().sum() - devoxelize(points - step, grid).double().sum()
    assert points.grad is not None and grid.grad is not None
    assert float((points.grad * step).sum()) == pytest.approx(float(change) / 2, rel=0.02)
    assert float(grid.grad.sum()) == pytest.approx(8 * 2, rel=1e-5)


def test_constant_features_survive_the_way_into_voxels_and_back() -> None:
    points = cloud("clustered", 100) / 4
    grid, count = voxelize(points, torch.ones(2, 100, 1), 8)
    centres = voxelize(points, points, 8)[0].movedim(1, -1)[count > 0]
    assert float(centres.abs().max()) <= 1
    assert set(grid.unique().tolist()) <= {0.0, 1.0}


POINTS = torch.zeros(2, 4, 3)
FEATURES = torch.zeros(2, 4, 5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: farthest_points(POINTS, 5), ValueError, "count"),
        (lambda: farthest_points(POINTS, 0), ValueError, "count"),
        (lambda: farthest_points(POINTS, 2, start=4), ValueError, "start"),
        (lambda: farthest_points(POINTS.double(), 2), TypeError, "float32"),
        (lambda: farthest_points(POINTS * math.nan, 2), ValueError, "NaN"),
        (lambda: farthest_points(POINTS[:, :0], 2), ValueError, "empty"),
        (lambda: ball_query(POINTS, POINTS, 0.0, 2), ValueError, "radius"),
        (lambda: ball_query(POINTS, POINTS, math.inf, 2), ValueError, "radius"),
        (lambda: ball_query(POINTS, POINTS, 1.0, 0), ValueError, "most"),
        (lambda: ball_query(POINTS, POINTS[:1], 1.0, 1), ValueError, "clouds"),
        (lambda: group_points(FEATURES, torch.full((2, 3), 4)), IndexError, "0 to 3"),
        (lambda: group_points(FEATURES, torch.full((2, 3), -1)), IndexError, "0 to 3"),
        (lambda: group_points(FEATURES, torch.zeros(2, 3)), TypeError, "int64"),
        (lambda: group_points(FEATURES.int(), torch.zeros(2, 3).long()), TypeError, "floating"),
        (lambda: group_points(FEATURES[0], torch.zeros(2, 3).long()), ValueError, "must be"),
        (lambda: three_nearest_interpolate(POINTS, POINTS, FEATURES[:, :3]), ValueError, "points"),
        (lambda: voxelize(POINTS, FEATURES[:, :3], 4), ValueError, "points"),
        (lambda: voxelize(POINTS, FEATURES, 0), ValueError, "resolution"),
        (lambda: voxelize(POINTS, FEATURES, 4, half_extent=0), ValueError, "half_extent"),
        (lambda: devoxelize(POINTS, torch.zeros(2, 3, 4, 4, 5)), ValueError, "shape"),
        (lambda: devoxelize(POINTS, torch.zeros(1, 3, 4, 4, 4)), ValueError, "clouds"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        call()


def test_tensors_need_not_be_contiguous() -> None:
    points = clouds("ball", 40).transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(farthest_points(points, 9), farthest_points(points.contiguous(), 9))
    found = [ball_query(p, p, 0.5, 4)[0] for p in (points, points.contiguous())]
    torch.testing.assert_close(found[0], found[1])
