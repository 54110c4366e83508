"""sRGB curves against the numbers of the standard."""

from __future__ import annotations

import numpy as np
import pytest

from backend.color import linear_to_srgb, srgb_to_linear


@pytest.mark.parametrize(
    ("srgb", "linear"),
    [(0, 0), (0.04045, 0.04045 / 12.92), (0.5, 0.21404114048), (188 / 255, 0.50288645), (1, 1)],
)
def test_known_pairs(srgb, linear):
    assert srgb_to_linear(np.array(srgb)) == pytest.approx(linear, abs=1e-8)
    assert linear_to_srgb(np.array(linear)) == pytest.approx(srgb, abs=3e-8)


def test_bytes_survive_the_round_trip_and_the_type_is_kept():
    bytes_ = np.arange(256)
    linear = srgb_to_linear((bytes_ / 255).astype(np.float32))
    assert linear.dtype == np.float32
    assert (np.diff(linear) > 0).all()
    np.testing.assert_array_equal(np.round(linear_to_srgb(linear) * 255), bytes_)


def test_whole_numbers_are_taken_as_numbers():
    np.testing.assert_array_equal(srgb_to_linear(np.array([0, 1])), [0.0, 1.0])
