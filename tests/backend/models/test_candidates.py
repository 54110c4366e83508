from __future__ import annotations

import math

import pytest
import torch

from backend.models.candidates import first_whole, wholeness


class Balls:
    """The union of balls (x, y, z, radius)."""

    def __init__(self, *balls: tuple[float, float, float, float]) -> None:
        self.balls = balls

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        distances = [(points - torch.tensor(ball[:3])).norm(dim=1) - ball[3] for ball in self.balls]
        return torch.stack(distances).min(0).values if distances else torch.ones(len(points))

    def color(self, points: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(points), 3)


ONE = Balls((0.1, 0, 0, 0.7))
TWO_EQUAL = Balls((-0.5, 0, 0, 0.4), (0.5, 0, 0, 0.4))
CHIPPED = Balls((-0.3, 0, 0, 0.5), (0.7, 0.6, 0.6, 0.2))
EMPTY = Balls()


def test_wholeness_is_the_largest_part_s_share_of_the_volume() -> None:
    assert wholeness(ONE) == 1
    assert wholeness(TWO_EQUAL) == pytest.approx(0.5, abs=0.01)
    assert wholeness(CHIPPED, 80) == pytest.approx(0.5**3 / (0.5**3 + 0.2**3), abs=0.01)
    assert wholeness(EMPTY) == 0


def test_parts_that_touch_are_one_part() -> None:
    reach = 0.5 / math.sqrt(3)  # the balls meet along the diagonal
    assert wholeness(Balls((-reach, -reach, -reach, 0.52), (reach, reach, reach, 0.52))) == 1


def test_the_first_is_chosen_of_those_that_hang_together() -> None:
    assert first_whole([EMPTY, TWO_EQUAL, CHIPPED, ONE]) == 3
    assert first_whole([TWO_EQUAL, ONE, Balls((0, 0, 0, 0.3))]) == 1
    dusty = Balls((0, 0, 0, 0.7), (0.9, 0.9, 0.9, 0.08))
    assert 0.98 < wholeness(dusty) < 1 and first_whole([dusty, ONE]) == 0
    assert first_whole([EMPTY, EMPTY]) == 0
