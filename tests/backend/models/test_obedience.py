"""backend.models.obedience: the candidate that is as the prompt's words say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.color import srgb_to_linear
from backend.models.obedience import Asked, Glance, color_obedience, most_obedient


class Box:
    """A box of half-extents and an sRGB colour, with or without a loose crumb as large as a share of it."""

    def __init__(self, *half: float, srgb: tuple[float, float, float] = (0.5, 0.5, 0.5), crumb: float = 0.0) -> None:
        self.half, self.srgb, self.crumb = torch.tensor(half), srgb, crumb

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        box = (points.abs() - self.half).amax(dim=1)
        if not self.crumb:
            return box
        return torch.minimum(box, ((points - 0.8).abs() - self.crumb).amax(dim=1))

    def color(self, points: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(srgb_to_linear(np.array(self.srgb, np.float32))).expand(len(points), 3)


class Nothing(Box):
    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(points))


LOW, EVEN, TALL = Box(0.5, 0.5, 0.2), Box(0.5, 0.5, 0.5), Box(0.4, 0.4, 0.7)
RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.2, 0.8)


def test_words_are_found_in_a_prompt() -> None:
    assert Asked.by("A tall, wooden CHAIR") == Asked(frozenset({(0, 1)}), frozenset())
    assert Asked.by("a narrow low gray table").proportions == {(1, -1), (0, -1)}
    assert not Asked.by("a chair") and not Asked.by("a highland redwood")


def test_a_glance_measures_what_the_shape_is() -> None:
    glance = Glance.of(Box(0.5, 0.25, 0.25, srgb=RED, crumb=0.1))
    assert glance is not None
    np.testing.assert_allclose(np.exp(glance.proportions), [21 / 23, 23 / 19], atol=0.15)
    assert 0.9 < glance.wholeness < 1
    np.testing.assert_allclose(glance.srgb, np.tile(RED, (len(glance.srgb), 1)), atol=0.01)
    assert Glance.of(Nothing(1, 1, 1)) is None


@pytest.mark.parametrize(("prompt", "chosen"), [("a tall box", 2), ("a low box", 0)])
def test_the_shape_of_the_asked_proportion_is_chosen(prompt: str, chosen: int) -> None:
    assert most_obedient([LOW, EVEN, TALL], Asked.by(prompt)) == chosen


def test_width_is_told_from_depth() -> None:
    wide, deep = Box(0.8, 0.3, 0.4), Box(0.3, 0.8, 0.4)
    assert most_obedient([EVEN, deep, wide], Asked.by("a wide box")) == 2
    assert most_obedient([EVEN, deep, wide], Asked.by("a narrow box")) == 1


def test_the_shape_of_the_asked_colour_is_chosen() -> None:
    boxes = [Box(0.5, 0.5, 0.5, srgb=srgb) for srgb in (BLUE, (0.5, 0.5, 0.5), RED)]
    assert most_obedient(boxes, Asked.by("a red box")) == 2
    assert most_obedient(boxes, Asked.by("a blue box")) == 0


def test_colours_obey_by_their_distance() -> None:
    red = color_obedience(np.array([RED]), "red")
    dull = color_obedience(np.array([[0.6, 0.4, 0.4]]), "red")
    assert red > 0.85 > dull > 0 == color_obedience(np.array([BLUE]), "red")


def test_what_falls_apart_is_not_chosen_and_of_equals_the_first_is() -> None:
    torn = Box(0.1, 0.1, 0.9, crumb=0.15)
    assert most_obedient([LOW, EVEN, torn], Asked.by("a tall box")) == 1
    assert most_obedient([Nothing(1, 1, 1), EVEN, EVEN], Asked.by("a tall box")) == 1
    assert most_obedient([Nothing(1, 1, 1)], Asked.by("a tall box")) == 0
