"""A mesh carried from one exact field to another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.errors import Cancelled
from backend.meshing import carry
from backend.meshing.carry import SurfaceCarrier
from backend.meshing.mesh_from_field import mesh_from_field
from tests.backend.meshing.exact_fields import ExactField, box, sphere, union, without


def carrier(distance, face_count=3000):
    field = ExactField(distance)
    mesh = mesh_from_field(field, detail=48, face_count=face_count, texture_size=None)
    return SurfaceCarrier(mesh.vertices, mesh.faces, field), mesh.faces


def off_surface(field, vertices):
    return field.signed_distance(torch.from_numpy(vertices)).abs().numpy()


def turned(field, vertices, faces):
    """The share of faces that look into the shape, by the field's own differences over each face's normal."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal *= 1e-3 / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    middle = (a + b + c) / 3
    ahead, behind = (field.distance((middle + way * normal).astype(float)) for way in (1, -1))
    return float((ahead < behind).mean())


def test_a_ball_becomes_a_box_without_a_fold():
    moved, faces = carrier(sphere(0.6))
    goal = ExactField(box((0.7, 0.5, 0.4)))
    carried = moved.carry(goal)
    assert off_surface(goal, carried.vertices).max() < 0.01
    assert carried.inverted < 0.005 and turned(goal, carried.vertices, faces) < 0.005
    assert 0.1 < carried.largest_move < 0.6


def test_a_leg_that_goes_leaves_no_folds():
    """Its faces end up on the plate that it stood under."""
    plate = box((0.7, 0.7, 0.15))
    leg = box((0.1, 0.1, 0.4), (0, 0, -0.5))
    moved, faces = carrier(union(plate, leg), 4000)
    goal = ExactField(plate)
    carried = moved.carry(goal)
    assert off_surface(goal, carried.vertices).max() < 0.02
    assert carried.inverted <= 0.01 and turned(goal, carried.vertices, faces) <= 0.01


def test_a_handle_that_goes_leaves_no_folds():
    """It is parted in the middle, and each half is laid out around its foot."""
    plate = box((0.8, 0.8, 0.15))
    handle = without(box((0.25, 0.08, 0.3), (0, 0, 0.2)), box((0.15, 0.2, 0.2), (0, 0, 0.2)))
    moved, faces = carrier(union(plate, handle), 4000)
    goal = ExactField(plate)
    carried = moved.carry(goal)
    assert carried.inverted <= 0.01 and turned(goal, carried.vertices, faces) <= 0.01


def test_what_is_not_folded_is_not_laid_anew(monkeypatch):
    goal = ExactField(box((0.7, 0.5, 0.4)))
    laid = carrier(sphere(0.6))[0].carry(goal)
    assert laid.inverted == 0
    monkeypatch.setattr(carry, "BALLS", ())
    np.testing.assert_array_equal(carrier(sphere(0.6))[0].carry(goal).vertices, laid.vertices)


def test_a_leg_that_comes_is_grown_into():
    plate = box((0.7, 0.7, 0.15))
    moved, faces = carrier(plate, 4000)
    for length in (0.2, 0.3, 0.4):
        goal = union(plate, box((0.1, 0.1, length), (0, 0, -0.1 - length)))
        carried = moved.carry(ExactField(goal))
    assert carried.vertices[:, 2].min() < -0.8
    assert np.percentile(off_surface(ExactField(goal), carried.vertices), 99) < 0.01
    assert carried.inverted <= 0.01 and turned(ExactField(goal), carried.vertices, faces) <= 0.01


def test_over_a_hole_that_opens_a_skin_stays_and_does_not_turn_over():
    plate = box((0.7, 0.7, 0.15))
    goal = ExactField(without(plate, box((0.3, 0.3, 1))))
    moved, _ = carrier(plate, 4000)
    carried = moved.carry(goal)
    over_hole = (np.abs(carried.vertices[:, :2]) < 0.25).all(axis=1)
    assert over_hole.any() and carried.inverted <= 0.01
    assert np.percentile(off_surface(goal, carried.vertices[~over_hole]), 95) < 0.02


def test_what_does_not_change_stays_where_it_is():
    moved, _ = carrier(sphere(0.6))
    before = moved.carry(ExactField(sphere(0.6))).vertices
    after = moved.carry(ExactField(sphere(0.6)))
    assert np.abs(after.vertices - before).max() < 1e-3 and after.inverted == 0


def test_a_cancel_stops_it():
    moved, _ = carrier(sphere(0.6), 500)
    with pytest.raises(Cancelled):
        moved.carry(ExactField(sphere(0.7)), cancelled=lambda: True)
