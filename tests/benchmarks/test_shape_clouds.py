from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from backend.data.packing import PackedData
from backend.errors import InputError
from benchmarks.shape_clouds import (
    Cloud,
    TrainingShapes,
    class_by_vote,
    cloud,
    cloud_of_field,
    mean_pairwise_distance,
    quarter_turn,
)
from tests.backend.meshing.exact_fields import ExactField, box

POINTS = 8192


def box_points(*half_extents: float, seed: int = 0) -> np.ndarray:
    """Points on the surface of a box, one that is not centred."""
    random = np.random.default_rng(seed)
    points = random.uniform(-1, 1, (POINTS, 3))
    axis = random.integers(0, 3, POINTS)
    points[np.arange(POINTS), axis] = np.sign(points[np.arange(POINTS), axis])
    return (points * half_extents + 0.05).astype(np.float32)


def grey(count: int = POINTS) -> np.ndarray:
    return np.full((count, 3), 128, np.uint8)


def training_shapes(boxes: list[tuple[float, float, float]], classes: list[str]) -> TrainingShapes:
    positions = np.stack([box_points(*sides, seed=index) for index, sides in enumerate(boxes)])
    count = len(boxes)
    empty = np.zeros((count, 0))
    records = [{"class": name, "caption": f"a {name}"} for name in classes]
    colors = np.stack([grey()] * count)
    return TrainingShapes(PackedData(positions.astype(np.float16), empty, colors, empty, empty, records))


def test_clouds_are_centred_scaled_and_know_their_proportions() -> None:
    made = cloud(box_points(0.2, 0.1, 0.4), grey())
    assert made.positions.shape == (2048, 3) and made.positions.dtype == np.float32 and made.srgb.shape == (2048, 3)
    assert np.abs(made.positions).max(axis=0) == pytest.approx([0.45, 0.225, 0.9], abs=0.01)
    assert made.proportion == pytest.approx([2.0, 2.0], rel=1e-3)


def test_a_fields_cloud_lies_on_its_surface_and_an_empty_field_is_refused() -> None:
    made = cloud_of_field(ExactField(box((0.9, 0.6, 0.4))))
    assert made.proportion == pytest.approx([0.4 / 0.9, 1.5], rel=0.02)
    on_a_side = np.abs(np.abs(made.positions) - [0.9, 0.6, 0.4]).min(axis=1)
    assert on_a_side.max() < 0.03
    with pytest.raises(InputError):
        cloud_of_field(ExactField(lambda points: np.ones(len(points))))


def test_distances_are_those_of_a_tree_search() -> None:
    training = training_shapes([(0.9, 0.5, 0.3), (0.9, 0.9, 0.9)], ["table", "box"])
    own = cloud(box_points(0.3, 0.9, 0.9, seed=7), grey()).positions
    expected = []
    for other in training.positions.numpy():
        there, back = cKDTree(other).query(own)[0].mean(), cKDTree(own).query(other)[0].mean()
        expected.append((there + back) / 2)
    assert training.distances(own) == pytest.approx(expected, rel=1e-4)
    assert training.distances(own, [1]) == pytest.approx(expected[1:], rel=1e-4)


def test_a_quarter_turn_takes_x_to_y() -> None:
    assert quarter_turn(np.array([[1.0, 0.0, 2.0]]), 1) == pytest.approx(np.array([[0.0, 1.0, 2.0]]))
    assert quarter_turn(np.array([[1.0, 0.0, 2.0]]), -1) == pytest.approx(np.array([[0.0, -1.0, 2.0]]))


def test_the_nearest_shape_is_found_however_it_is_turned() -> None:
    training = training_shapes([(0.9, 0.9, 0.9), (0.9, 0.4, 0.2), (0.2, 0.4, 0.9)], ["a", "b", "c"])
    wedge = box_points(0.9, 0.4, 0.2, seed=9)
    wedge = wedge[: len(wedge) // 4].repeat(4, axis=0)
    index, turns = training.nearest_in_any_turn(cloud(quarter_turn(wedge, 1), grey()).positions)
    assert index == 1 and turns in (1, 3)


def test_three_nearest_shapes_vote() -> None:
    assert class_by_vote(["chair", "table", "table", "chair"]) == "table"
    assert class_by_vote(["chair", "lamp", "table", "table"]) == "chair", "all differ: the nearest one's"


def test_neighbours_come_nearest_first_without_the_one_left_out() -> None:
    training = training_shapes([(0.9, 0.5, 0.3), (0.9, 0.9, 0.9), (0.9, 0.5, 0.4)], ["a", "b", "c"])
    own = cloud(box_points(0.9, 0.5, 0.3, seed=7), grey()).positions
    indices, distances = training.nearest(own)
    assert indices.tolist() == [0, 2, 1] and (np.diff(distances) > 0).all()
    assert distances == pytest.approx(training.distances(own)[indices], rel=1e-5)
    assert training.nearest(own, left_out=0)[0].tolist() == [2, 1]


def test_diversity_is_the_mean_over_all_pairs() -> None:
    same = cloud(box_points(0.9, 0.5, 0.5), grey())
    assert mean_pairwise_distance([same, same, same]) == 0
    moved = Cloud(same.positions + np.array([3.0, 0, 0], np.float32), same.srgb, same.proportion)
    far = mean_pairwise_distance([same, moved])
    assert mean_pairwise_distance([same, same, moved]) == pytest.approx(far * 2 / 3, rel=1e-5)
    assert math.isnan(mean_pairwise_distance([same]))
