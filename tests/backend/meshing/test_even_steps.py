"""Steps of even length on paths of exact fields."""

from __future__ import annotations

import numpy as np
import pytest

from backend.errors import Cancelled
from backend.meshing.even_steps import Surface, measure_path, share_steps, surface_distance
from backend.meshing.surface import extract_surface
from tests.backend.meshing.exact_fields import ExactField, box, sphere, union


def growing(radius_at):
    return lambda parameter: ExactField(sphere(radius_at(parameter)))


def surface(distance, detail=32):
    return Surface.of(*extract_surface(ExactField(distance), detail))


def test_the_distance_of_two_spheres_is_that_of_their_radii():
    assert surface_distance(surface(sphere(0.5)), surface(sphere(0.6))) == pytest.approx(0.1, abs=0.005)
    one = surface(sphere(0.5))
    assert surface_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_steps_are_even_where_the_parameter_is_not():
    """The radius stands still for most of the way and grows between 0.70 and 0.85."""
    radius_at = lambda parameter: 0.4 + 0.4 * float(np.clip((parameter - 0.7) / 0.15, 0, 1))  # noqa: E731
    path = measure_path(growing(radius_at), 9, detail=32)
    assert path.length == pytest.approx(0.4, abs=0.02)
    steps = np.diff([radius_at(parameter) for parameter in path.place(np.linspace(0, 1, 9))])
    assert steps.max() < 1.8 * steps.mean()


def test_an_even_path_is_looked_at_no_more_than_needed():
    looked = []

    def field_at(parameter):
        looked.append(parameter)
        return ExactField(sphere(0.4 + 0.4 * parameter))

    path = measure_path(field_at, 3, detail=32)
    assert len(looked) <= 17
    np.testing.assert_allclose(path.place([0, 0.25, 1]), [0, 0.25, 1], atol=0.02)


def test_a_path_that_goes_nowhere_is_cut_evenly():
    path = measure_path(growing(lambda _: 0.5), 5, detail=32)
    np.testing.assert_allclose(path.place([0, 0.5, 1]), [0, 0.5, 1])


def test_of_many_parts_on_the_way_two_are_kept():
    def field_at(parameter):
        centers = [(x, y, 0) for x in (-0.5, 0.5) for y in (-0.5, 0.5)]
        crumbs = [sphere(0.2 + 0.01 * index, center) for index, center in enumerate(centers)]
        return ExactField(box((0.8, 0.8, 0.2)) if parameter in (0.0, 1.0) else union(*crumbs))

    assert measure_path(field_at, 3, detail=32).most_parts == 2


def test_a_cancel_is_asked_for_at_every_look():
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 5

    with pytest.raises(Cancelled):
        measure_path(growing(lambda parameter: 0.4 + 0.4 * parameter), 9, detail=32, cancelled=cancelled)


@pytest.mark.parametrize(
    ("lengths", "intervals", "expected"),
    [([1, 1], 8, [4, 4]), ([3, 1], 8, [6, 2]), ([1, 0], 4, [3, 1]), ([0, 0], 2, [1, 1]), ([1, 2, 1], 3, [1, 1, 1])],
)
def test_steps_are_shared_by_length_and_none_goes_without(lengths, intervals, expected):
    assert share_steps(lengths, intervals) == expected
