"""A mesh of springs, held against a dense solution of the same equations."""

from __future__ import annotations

import numpy as np

from backend.meshing import elastic_surface
from backend.meshing.elastic_surface import ElasticSurface, Pulls, folded
from backend.meshing.mesh_from_field import surface_from_field
from backend.meshing.topology import half_edges
from tests.backend.meshing.exact_fields import ExactField, sphere


def ball(face_count=120):
    return surface_from_field(ExactField(sphere(0.6)), detail=32, face_count=face_count)


def pulls_of(count, seed=0):
    generator = np.random.default_rng(seed)
    normals = generator.standard_normal((count, 3))
    return Pulls(
        normals=(normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32),
        offsets=generator.uniform(-0.1, 0.1, (count, 3)).astype(np.float32),
        to_plane=generator.uniform(0, 1, count).astype(np.float32),
        toward=generator.uniform(-0.1, 0.1, (count, 3)).astype(np.float32),
        to_point=(generator.uniform(0, 1, count) > 0.7).astype(np.float32),
    )


def least_energy(rest, vertices, faces, pulls):
    """The minimum, from the energy's terms as rows of a least-squares problem in float64."""
    rows, targets = [], []

    def add(weight, coefficients, target):
        row = np.zeros(3 * len(rest))
        for column, coefficient in coefficients:
            row[column] = coefficient
        rows.append(np.sqrt(weight) * row)
        targets.append(np.sqrt(weight) * target)

    for vertex in range(len(rest)):
        normal = pulls.normals[vertex].astype(float)
        columns = [3 * vertex + axis for axis in range(3)]
        add(pulls.to_plane[vertex], list(zip(columns, normal, strict=True)), normal @ pulls.offsets[vertex])
        for axis in range(3):
            add(pulls.to_point[vertex], [(columns[axis], 1)], pulls.toward[vertex, axis])
            add(elastic_surface.ANCHOR, [(columns[axis], 1)], 0)
    start, end = half_edges(faces)
    for a, b in zip(start[start < end], end[start < end], strict=True):
        strain = abs(np.log2(np.linalg.norm(vertices[a] - vertices[b]) / np.linalg.norm(rest[a] - rest[b])))
        for axis in range(3):
            ends = [(3 * a + axis, 1), (3 * b + axis, -1)]
            add(elastic_surface.SPRING * min(strain, 1), ends, vertices[b, axis] - vertices[a, axis])
            add(elastic_surface.STIFFNESS, ends, 0)
    solved = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
    return vertices + solved.reshape(-1, 3)


def test_what_is_pulled_goes_where_the_energy_is_least(monkeypatch):
    rest, faces = ball()
    stretched = (rest * [1, 1.5, 0.8]).astype(np.float32)
    pulls = pulls_of(len(rest))
    monkeypatch.setattr(elastic_surface, "ITERATIONS", 400)
    found = ElasticSurface(rest, faces).pulled(stretched, pulls)
    np.testing.assert_allclose(found, least_energy(rest, stretched, faces, pulls), atol=1e-4)


def test_without_a_pull_a_mesh_at_rest_stays():
    rest, faces = ball()
    nothing = np.zeros(len(rest), np.float32)
    still = Pulls(np.zeros_like(rest), np.zeros_like(rest), nothing, np.zeros_like(rest), nothing)
    np.testing.assert_array_equal(ElasticSurface(rest, faces).pulled(rest, still), rest)


def test_a_folded_vertex_is_seen_and_unfolded():
    rest, faces = ball(600)
    surface = ElasticSurface(rest, faces)
    assert not folded(rest, faces).any()
    creased = rest.copy()
    creased[0] += 3 * (creased[faces[(faces == 0).any(axis=1)][0]].mean(axis=0) - creased[0])
    assert folded(creased, faces).any()
    assert not folded(surface.unfolded(creased), faces).any()
