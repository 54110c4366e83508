"""Handles that are cut, against Euler's formula."""

from __future__ import annotations

import numpy as np
import pytest

from backend.meshing.handles import without_handles
from backend.meshing.mesh_from_field import surface_from_field
from backend.meshing.topology import half_edges, is_closed
from tests.backend.meshing.exact_fields import ExactField, box, sphere, union, without


def holes(*places):
    """A plate with a square hole at each place."""
    plate = box((0.8, 0.5, 0.12))
    for place in places:
        plate = without(plate, box((0.15, 0.2, 1), (place, 0, 0)))
    return plate


def euler_characteristic(faces):
    edges = np.unique(np.sort(np.stack(half_edges(faces), axis=1), axis=1), axis=0)
    return len(np.unique(faces)) - len(edges) + len(faces)


@pytest.mark.parametrize(
    ("distance", "before", "parts"),
    [
        (holes(), 2, 1),
        (holes(0.0), 0, 1),
        (holes(-0.45, 0.1, 0.5), -4, 1),
        (union(holes(0.3), sphere(0.12, (-0.5, 0, 0.6))), 2, 2),
    ],
)
def test_every_handle_is_cut_and_nothing_else(distance, before, parts):
    vertices, faces = surface_from_field(ExactField(distance), detail=64, face_count=3000)
    assert euler_characteristic(faces) == before
    cut = without_handles(vertices, faces)
    assert is_closed(cut.faces) and euler_characteristic(cut.faces) == 2 * parts
    np.testing.assert_array_equal(cut.source[cut.faces[: len(faces)]], faces)
    np.testing.assert_array_equal(cut.source[: len(vertices)], np.arange(len(vertices)))


def test_the_loop_is_the_short_way_around():
    """A thin ring: around the tube, not along it."""
    vertices, faces = surface_from_field(
        ExactField(without(box((0.8, 0.8, 0.1)), box((0.6, 0.6, 1)))), detail=64, face_count=3000
    )
    cut = without_handles(vertices, faces)
    rim = vertices[cut.source[len(vertices) :]]
    assert np.ptp(rim, axis=0).max() < 0.45
