"""What is known of a partial shape, as numbers that a shape space can be held against.

All in model space. Three kinds of inputs give one kind of observation: a mesh with a box around what is unknown, points
with such a box, and a scan, of which nothing is known but what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..data.surface import sample_surface, surface_colors
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.clip import outside_of_box
from ..representations.known_shape import KnownShape

SURFACE_POINTS = 16384
NEAR_POINTS = 4096
FAR_POINTS = 4096
NEAR_DEVIATION = 0.03
SCAN_OFFSET = 0.02
"""How far from a scan's surface its outside and inside are taken to be known."""
FLOOD_RESOLUTION = 32


@dataclass(frozen=True)
class UnknownBox:
    """An axis-aligned box, corners low and high (3,) float64, in which nothing is known."""

    low: np.ndarray
    high: np.ndarray

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) → (N,) bool."""
        return ((points >= self.low) & (points <= self.high)).all(axis=-1)

    @property
    def empty(self) -> bool:
        """Whether nothing lies in it."""
        return bool((self.low >= self.high).any())

    def transformed(self, matrix: np.ndarray) -> UnknownBox:
        """The box after a (4, 4) matrix that scales evenly and moves."""
        corners = np.stack([self.low, self.high]) @ matrix[:3, :3].T + matrix[:3, 3]
        return UnknownBox(corners[0], corners[1])


@dataclass(frozen=True)
class Observation:
    """surface (N, 3): points of the known surface, where the signed distance is `level`; colors (N, 3) linear RGB
    there, or None; queries (M, 3) with distances (M,): known places around it, negative inside. All float32. known: the
    mesh outside of the box, where all is known, or None. painted: the mesh that has the colours, where there is one.
    normals (N, 3) float32 of the surface, or None. unknown: the box of which nothing is known; None for a scan."""

    surface: np.ndarray
    colors: np.ndarray | None
    level: float
    queries: np.ndarray
    distances: np.ndarray
    known: KnownShape | None = None
    painted: Mesh | None = None
    normals: np.ndarray | None = None
    unknown: UnknownBox | None = None


def observe(shape: Mesh, unknown: UnknownBox | None) -> Observation:
    """What `shape` (a mesh, or points when it has no faces, in model space) tells where it is known.

    unknown   everything outside of this box is known, and so is what is empty there; None: a scan, of which the surface
              alone is known

    Deterministic. Raises InputError when nothing of the shape lies outside of the box.
    """
    generator = np.random.default_rng(0)
    points, normals, colors = _surface(shape, generator)
    if unknown is not None:
        outside = ~unknown.contains(points)
        if not outside.any():
            raise InputError(
                "The box of the unknown contains the whole shape: make it smaller, so that a part is known."
            )
        points, normals = points[outside], normals if normals is None else normals[outside]
        colors = colors if colors is None else colors[outside]
    painted = _painted(shape, unknown) if colors is not None and len(shape.faces) else None
    if unknown is None:
        queries, distances = _beside(points, normals)
        return Observation(points, colors, 0.0, queries, distances, painted=painted, normals=normals)
    near = points[generator.integers(len(points), size=NEAR_POINTS)]
    near = near + generator.normal(0, NEAR_DEVIATION, near.shape)
    queries = np.concatenate([near, generator.uniform(-1, 1, (FAR_POINTS, 3))]).clip(-1, 1).astype(np.float32)
    queries = queries[~unknown.contains(queries)]
    if len(shape.faces):
        solid = KnownShape(shape.vertices, shape.faces, unknown.low, unknown.high)
        distances = solid.signed_distance(queries)
        return Observation(points, colors, solid.level, queries, distances, solid, painted, normals, unknown)
    empty = _reached_from_outside(queries, points, unknown)
    distances = cKDTree(points).query(queries[empty])[0].astype(np.float32)
    return Observation(points, colors, 0.0, queries[empty], distances, normals=normals, unknown=unknown)


def _surface(shape: Mesh, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Positions, normals and linear colours at points spread over a mesh, or of a cloud's own points."""
    if len(shape.faces):
        points = sample_surface(shape.vertices, shape.faces, SURFACE_POINTS, generator)
        colored = shape.texture is not None or shape.colors is not None
        return points.positions, points.normals, surface_colors(shape, points) if colored else None
    chosen = generator.permutation(len(shape.vertices))[:SURFACE_POINTS]
    colors = None if shape.colors is None else shape.colors[chosen]
    return shape.vertices[chosen], None if shape.normals is None else shape.normals[chosen], colors


def _beside(points: np.ndarray, normals: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Places a little outside and inside of a surface with normals, and their distances."""
    if normals is None:
        return np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    queries = np.concatenate([points + SCAN_OFFSET * normals, points - SCAN_OFFSET * normals])
    return queries.astype(np.float32), np.repeat(np.array([SCAN_OFFSET, -SCAN_OFFSET], np.float32), len(points))


def outside_of(box: UnknownBox, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a mesh outside of a box, cut along it and left open there: vertices float32, faces int32."""
    kept, triangles = outside_of_box(vertices, faces, box.low, box.high)
    return kept.astype(np.float32), triangles


def _painted(shape: Mesh, unknown: UnknownBox | None) -> Mesh:
    """The mesh without the faces that lie in the box."""
    if unknown is None:
        return shape
    seen = ~unknown.contains(shape.vertices[shape.faces]).all(axis=1)
    uvs = None if shape.uvs is None else shape.uvs[seen]
    return Mesh(shape.vertices, shape.faces[seen], shape.colors, None, uvs, shape.texture)


def _reached_from_outside(queries: np.ndarray, points: np.ndarray, unknown: UnknownBox) -> np.ndarray:
    """Which queries (M, 3) are empty for certain: reached from the border of model space without passing through the
    surface, closed over small gaps, or through the unknown."""
    axis = (np.arange(FLOOD_RESOLUTION) + 0.5) * (2 / FLOOD_RESOLUTION) - 1
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    full = np.zeros([FLOOD_RESOLUTION] * 3, bool)
    full[tuple(_cells(points).T)] = True
    wall = ndimage.binary_dilation(full) | unknown.contains(centres)
    labels, _ = ndimage.label(np.pad(~wall, 1, constant_values=True))
    # The layer that was put around touches all of the border, so that one label is the outside.
    outside = labels[1:-1, 1:-1, 1:-1] == labels[0, 0, 0]
    return outside[tuple(_cells(queries).T)]


def _cells(points: np.ndarray) -> np.ndarray:
    return ((points + 1) * (FLOOD_RESOLUTION / 2)).astype(np.int64).clip(0, FLOOD_RESOLUTION - 1)
