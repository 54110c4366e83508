"""An original and its completion as one surface, held against shapes whose volumes are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from backend.meshing.join_original import join_original
from backend.meshing.mirror_images import Mirror
from backend.meshing.topology import edge_groups
from backend.meshing.validity import enclosed_volume, is_watertight
from backend.models.observation import UnknownBox, outside_of

CENTRE, RADIUS = np.array([5.0, -2.0, 3.0]), 2.0
VOLUME = 4 / 3 * np.pi * RADIUS**3
LOW, HIGH = np.array([2.0, -5.0, 0.0]), np.array([8.0, 1.0, 3.3])
OCTANT = np.array([5.1, -1.9, 3.3]), np.array([8.0, 1.0, 6.0])


def ball(subdivisions: int = 4, radius: float = RADIUS) -> tuple[np.ndarray, np.ndarray]:
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return (made.vertices + CENTRE).astype(np.float32), np.asarray(made.faces, np.int32)


def cut_open(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ball without what lies in a box, open there: what an artist has of whom half of a model is lost."""
    return outside_of(UnknownBox(low, high), *ball())


def places(vertices: np.ndarray) -> set[bytes]:
    return {place.tobytes() for place in np.asarray(vertices, np.float32)}


@pytest.mark.parametrize(("low", "high"), [(LOW, HIGH), OCTANT])
@pytest.mark.parametrize("is_open", [False, True])
def test_of_a_cut_ball_the_corners_are_kept_and_the_whole_is_closed(low, high, is_open):
    vertices, faces = cut_open(low, high) if is_open else ball()
    whole = join_original(vertices, faces, low, high, ball(3, 1.01 * RADIUS))
    assert whole is not None
    known = vertices[((vertices < low - 1e-4) | (vertices > high + 1e-4)).any(axis=1)]
    assert len(known) > 1000 and places(known) <= places(whole.vertices)
    assert is_watertight(whole.faces)
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(VOLUME, rel=0.02)
    kept = whole.vertices[whole.faces[whole.kept]].mean(axis=1)
    assert len(kept) > 2000
    assert not ((kept > low + 1e-4) & (kept < high - 1e-4)).all(axis=1).any()
    np.testing.assert_allclose(np.linalg.norm(kept - CENTRE, axis=1), RADIUS, atol=0.02)


def test_faces_that_are_not_cut_are_all_there_one_by_one():
    box = trimesh.creation.box((2.0, 2.0, 2.0)).subdivide().subdivide()  # flat sides of many faces
    vertices, faces = box.vertices.astype(np.float32), np.asarray(box.faces)
    low, high = np.array([-2.0, -2, -2]), np.array([2.0, 2, -0.1])
    whole = join_original(vertices, faces, low, high, (box.vertices * [1, 1, 0.95], faces))
    assert whole is not None and is_watertight(whole.faces)
    upper = vertices[faces][(vertices[faces][..., 2] > -0.1).all(axis=1)]
    found = {places_of.tobytes() for places_of in np.sort(whole.vertices[whole.faces].view("V12")[..., 0], axis=1)}
    assert {corner.tobytes() for corner in np.sort(upper.view("V12")[..., 0], axis=1)} <= found
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(8 - 4 * 0.05, rel=1e-3)


def test_a_box_that_stops_short_of_the_cut_is_bridged():
    vertices, faces = cut_open(LOW, HIGH)
    whole = join_original(vertices, faces, LOW, HIGH - [0, 0, 0.03], ball(3))
    assert whole is not None and is_watertight(whole.faces)
    assert places(vertices) <= places(whole.vertices)
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(VOLUME, rel=0.02)


def test_holes_elsewhere_stay_holes():
    vertices, faces = ball()
    pierced = faces[vertices[faces][..., 2].mean(axis=1) < CENTRE[2] + 0.95 * RADIUS]
    whole = join_original(vertices, pierced, LOW, HIGH, ball(3))
    assert whole is not None and not is_watertight(whole.faces)
    assert whole.vertices[:, 2].max() == vertices[pierced][..., 2].max()
    order, first, count = edge_groups(whole.faces)
    border = whole.vertices[whole.faces.reshape(-1)[order[first[count == 1]]]]
    assert len(border) > 10 and border[:, 2].min() > CENTRE[2] + 0.9 * RADIUS  # none along the box


def test_doubled_faces_walls_shared_by_two_rooms_and_parts_inside_out_are_put_up_with():
    vertices, faces = ball()
    room = trimesh.creation.box((1.0, 1.0, 1.0))
    left, right = room.vertices + CENTRE + [0, 0, RADIUS + 1], room.vertices + CENTRE + [1, 0, RADIUS + 1]
    mess = [faces[:, ::-1], faces[:50], room.faces + len(vertices), room.faces + len(vertices) + 8]
    everything = np.concatenate([vertices, left, right]).astype(np.float32)
    whole = join_original(everything, np.concatenate(mess), LOW, HIGH, ball(3))
    assert whole is not None and is_watertight(whole.faces)
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(VOLUME + 2, rel=0.02)


def test_what_has_no_faces_cannot_be_joined():
    assert join_original(np.zeros((3, 3), np.float32), np.array([[0, 0, 0]]), LOW, HIGH, ball(2)) is None


RIGHT = CENTRE * [1, 0, 0] + [0, -5, 0], np.array([8.0, 1.0, 6.0])


@pytest.mark.parametrize("sliver", [0.0, 1e-17], ids=["nothing left", "rounding left"])
def test_where_a_mirror_shows_it_the_image_of_the_original_is_taken(sliver):
    hidden = np.zeros(3), np.full(3, sliver)
    whole = join_original(*cut_open(*RIGHT), *RIGHT, ball(2), Mirror(0, CENTRE[0], *hidden))
    assert is_watertight(whole.faces) and whole.kept.all()
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(enclosed_volume(*ball()), rel=1e-4)
    apart = whole.vertices - CENTRE
    left, right = apart[apart[:, 0] < -1e-3], apart[apart[:, 0] > 1e-3]
    image = cKDTree(left * [-1, 1, 1]).query(right)[0]
    assert len(left) == len(right) and image.max() < 1e-5


def test_what_a_mirror_does_not_show_is_the_completion():
    hidden = np.array([CENTRE[0], -5, CENTRE[2] + 0.5]), RIGHT[1]
    whole = join_original(*cut_open(*RIGHT), *RIGHT, ball(4, 0.9 * RADIUS), Mirror(0, CENTRE[0], *hidden))
    right = (whole.vertices - CENTRE)[whole.vertices[:, 0] > CENTRE[0] + 1e-3]
    radius = np.linalg.norm(right, axis=1) / RADIUS
    assert radius[right[:, 2] > 0.51].max() < 0.901
    assert radius[right[:, 2] < 0.49].min() > 0.99
