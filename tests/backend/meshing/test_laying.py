"""Patches laid anew, against what is known of them without the solver."""

from __future__ import annotations

import numpy as np

from backend.meshing.laying import Discs
from backend.meshing.mesh_from_field import surface_from_field
from backend.meshing.topology import half_edges
from tests.backend.meshing.exact_fields import ExactField, box, sphere, union


def plate():
    return surface_from_field(ExactField(box((0.7, 0.7, 0.15))), detail=48, face_count=4000)


def upwards(vertices, faces):
    """Which faces look up, one by one."""
    corners = vertices.astype(np.float64)
    return np.array([np.cross(corners[b] - corners[a], corners[c] - corners[a])[2] > 0 for a, b, c in faces])


def crumpled(vertices, faces):
    """The upper side of the plate with a spot whose vertices lie any way."""
    spot = (np.linalg.norm(vertices[:, :2], axis=1) < 0.15) & (vertices[:, 2] > 0)
    folded = vertices.copy()
    folded[spot, :2] = np.random.default_rng(0).uniform(-0.1, 0.1, (int(spot.sum()), 2))
    corners = vertices[faces]
    on_top = (corners[:, :, 2] > 0.1).all(axis=1) & (np.abs(corners[:, :, :2]) < 0.5).all(axis=(1, 2))
    return folded, on_top


def test_a_crumpled_spot_comes_out_unfolded_and_the_rest_stays():
    vertices, faces = plate()
    folded, on_top = crumpled(vertices, faces)
    turned = on_top & ~upwards(folded, faces)
    assert turned.sum() > 30
    discs = Discs(vertices, faces)
    fold, *_ = discs.folds(turned)
    inner = discs.ball(folded, fold, 1.2)
    laid = discs.laid(folded, inner)
    assert upwards(laid, faces)[on_top].all()
    np.testing.assert_array_equal(laid[~inner], folded[~inner])
    links = {vertex: set() for vertex in np.flatnonzero(inner)}
    for start, end in zip(*half_edges(faces), strict=True):
        if inner[start]:
            links[start].add(end)
    means = np.array([laid[list(around)].mean(axis=0) for around in links.values()])
    np.testing.assert_allclose(laid[inner], means, atol=1e-5)


def test_folds_are_those_that_hang_together():
    vertices, faces = plate()
    middles = vertices[faces].mean(axis=1)
    far_apart = [np.linalg.norm(middles - place, axis=1).argmin() for place in ((0.4, 0, 0.15), (-0.4, 0, 0.15))]
    turned = np.zeros(len(faces), dtype=bool)
    turned[far_apart] = True
    discs = Discs(vertices, faces)
    assert {frozenset(fold) for fold in discs.folds(turned)} == {frozenset(faces[face]) for face in far_apart}
    assert discs.folds(np.zeros(len(faces), dtype=bool)) == []


def test_a_ball_has_one_side_of_a_thin_plate_and_no_whole_part():
    vertices, faces = surface_from_field(
        ExactField(union(box((0.7, 0.7, 0.1)), sphere(0.1, (0, 0, 0.6)))), detail=64, face_count=4000
    )
    discs = Discs(vertices, faces)
    above = np.flatnonzero((np.linalg.norm(vertices[:, :2], axis=1) < 0.05) & (np.abs(vertices[:, 2] - 0.1) < 0.02))
    inner = discs.ball(vertices, above, 4.0)
    assert inner.any() and (vertices[inner][:, 2] > 0).all() and (vertices[inner][:, 2] < 0.3).all()
    small = np.flatnonzero(vertices[:, 2] > 0.6)
    assert not discs.ball(vertices, small, 2.0).any()
