"""Mirror symmetry as evidence: when it is taken, and what the observation then says."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from backend.mesh import Mesh
from backend.models.observation import Observation, UnknownBox, observe, outside_of
from backend.models.symmetry import WITHOUT_EVERY, MirrorPlane, mirror_plane, used_by, with_mirror_image

RADIUS = 0.8
RIGHT = UnknownBox(np.array([0.0, -0.9, -0.9]), np.array([0.83, 0.9, 0.9]))
OCTANT = UnknownBox(np.zeros(3), np.full(3, 0.9))


def ball(box: UnknownBox, centre=(0.0, 0.0, 0.0)):
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    vertices, faces = outside_of(box, sphere.vertices + centre, sphere.faces)
    return observe(Mesh(vertices, faces, np.tile(np.float32([0.2, 0.4, 0.6]), (len(vertices), 1))), box)


def test_where_one_side_is_hidden_its_face_is_the_likely_plane():
    assert mirror_plane(ball(RIGHT)) == MirrorPlane(0, 0.0, False)


def test_where_images_are_seen_a_plane_is_proved():
    plane = mirror_plane(ball(OCTANT))
    assert plane is not None and not plane.doubtful and abs(plane.at) < 0.006


def test_an_image_that_is_wrong_disproves_the_plane():
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.3)
    left, right = np.array([-0.5, -0.5, 0]), np.array([0.5, -0.5, 0])
    wedge = np.concatenate([left + sphere.vertices, right + sphere.vertices * [1, 1, 2.5]])
    faces = np.concatenate([sphere.faces, sphere.faces + len(sphere.vertices)])
    box = UnknownBox(np.array([-0.02, 0.0, -0.9]), np.array([0.9, 0.9, 0.9]))
    assert mirror_plane(observe(Mesh(wedge, faces), box)) is None


def test_a_scan_and_a_hidden_lower_half_have_none():
    below = UnknownBox(np.full(3, -0.9), np.array([0.9, 0.9, 0.0]))
    assert mirror_plane(ball(below)) is None
    cloud = Mesh(trimesh.creation.icosphere(radius=RADIUS).vertices, np.zeros((0, 3), np.int32))
    assert mirror_plane(observe(cloud, None)) is None


@pytest.mark.parametrize("box", [RIGHT, OCTANT], ids=["right half", "octant"])
def test_with_its_image_the_ball_is_whole(box):
    seen = ball(box)
    plane = mirror_plane(seen)
    whole = with_mirror_image(seen, plane)
    assert whole.unknown.low[0] == pytest.approx(2 * plane.at - box.high[0]) or whole.unknown.empty
    points = np.random.default_rng(0).uniform(-0.85, 0.85, (4000, 3))
    told = whole.known.depth(points) <= 0
    assert told.mean() > 0.98
    expected = np.linalg.norm(points[told], axis=1) - RADIUS
    # An icosphere of 5,120 faces lies up to 0.002 within the ball; the plane of an octant is found in steps of 0.0017.
    found = whole.known.signed_distance(points[told])
    clear = np.abs(expected) > 0.01
    np.testing.assert_array_equal(found[clear] < 0, expected[clear] < 0)
    # What lies beyond the box measures its distance from what is known directly.
    nearest = points[told] / np.linalg.norm(points[told], axis=1, keepdims=True) * RADIUS
    direct = box.contains(points[told]) | ~box.contains(nearest)
    assert direct.mean() > 0.9
    assert (np.abs(found - expected)[direct] < 0.015).mean() > 0.99
    on_surface = np.linalg.norm(whole.surface, axis=1)
    np.testing.assert_allclose(on_surface, RADIUS, atol=0.015)
    np.testing.assert_allclose(whole.normals, whole.surface / on_surface[:, None], atol=0.08)
    assert len(whole.colors) == len(whole.surface) > len(seen.surface)


def test_the_image_is_brought_together_with_what_is_known_at_the_box():
    """The image of a ball that is off the plane by 0.01 on one side meets the ball without a step."""
    seen = ball(RIGHT, centre=(0.01, 0, 0))
    whole = with_mirror_image(seen, MirrorPlane(0, 0.0, False)).known
    across = np.array([[-1e-5, 0.5, 0.61], [1e-5, 0.5, 0.61]])
    left, right = whole.signed_distance(across)
    assert abs(left - right) < 1e-3


def cap() -> Observation:
    """The outer part of a ball, which the plane cuts far from its middle, so that it meets its image with a crease."""
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    beyond = UnknownBox(np.array([0.0, -2, -2]), np.full(3, 2.0))
    part = Mesh(*outside_of(beyond, sphere.vertices + np.array([0.5, 0, 0]), sphere.faces))
    return observe(part, UnknownBox(beyond.low, np.array([0.31, 0.9, 0.9])))


def test_a_crease_at_the_cut_makes_a_plane_doubtful():
    straight, creased = mirror_plane(ball(RIGHT)), mirror_plane(cap())
    assert straight is not None and not straight.doubtful
    assert creased is not None and creased.doubtful


def test_every_fourth_sample_does_without_a_doubtful_plane_but_none_without_another():
    doubtful, agreed, proved = (mirror_plane(seen) for seen in (cap(), ball(RIGHT), ball(OCTANT)))
    without = [seed for seed in range(2 * WITHOUT_EVERY) if not used_by(doubtful, seed)]
    assert without == [WITHOUT_EVERY - 1, 2 * WITHOUT_EVERY - 1]
    assert all(used_by(plane, seed) for plane in (agreed, proved) for seed in range(WITHOUT_EVERY))


def test_a_plane_close_by_is_not_proved_by_what_lies_next_to_it():
    """Everything that is smooth is its own mirror image nearly, close to a plane that is nearly a side of the box."""
    shaft = trimesh.creation.cylinder(radius=0.05, height=1.6)
    box = UnknownBox(np.array([0.0, -0.9, -0.9]), np.array([0.08, 0.9, 0.9]))
    plane = mirror_plane(observe(Mesh(*outside_of(box, shaft.vertices, shaft.faces)), box))
    assert plane is not None and plane.at == 0
