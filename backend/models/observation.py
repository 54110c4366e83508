"""What is known of a partial shape, as numbers that a shape space can be held against.

All in model space. Three kinds of inputs give one kind of observation: a mesh with a box around what is unknown, points
with such a box, and a scan, of which nothing is known but what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from trimesh.intersections import slice_faces_plane

from ..data.surface import SHEET_HALF_THICKNESS, sample_surface, surface_colors
from ..errors import InputError
from ..kernels import Grid, mesh_to_sdf
from ..mesh import Mesh

SURFACE_POINTS = 16384
NEAR_POINTS = 4096
FAR_POINTS = 4096
NEAR_DEVIATION = 0.03
SCAN_OFFSET = 0.02
"""How far from a scan's surface its outside and inside are taken to be known."""
FLOOD_RESOLUTION = 32
GRID_NODES = 129
"""Along each side of the grid that holds what is known of a mesh's signed distance."""
GRID_BAND = 8.0


@dataclass(frozen=True)
class UnknownBox:
    """An axis-aligned box, corners low and high (3,) float64, in which nothing is known."""

    low: np.ndarray
    high: np.ndarray

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) → (N,) bool."""
        return ((points >= self.low) & (points <= self.high)).all(axis=-1)

    def transformed(self, matrix: np.ndarray) -> UnknownBox:
        """The box after a (4, 4) matrix that scales evenly and moves."""
        corners = np.stack([self.low, self.high]) @ matrix[:3, :3].T + matrix[:3, 3]
        return UnknownBox(corners[0], corners[1])


@dataclass(frozen=True)
class KnownRegion:
    """All space but a box: the signed distance there, on the nodes of `Grid.cube(GRID_NODES)`, (R, R, R) float32."""

    unknown: UnknownBox
    distances: np.ndarray


@dataclass(frozen=True)
class Observation:
    """surface (N, 3): points of the known surface, where the signed distance is `level`; colors (N, 3) linear RGB
    there, or None; queries (M, 3) with distances (M,): known places around it, negative inside. All float32. region:
    where the shape is known altogether, or None."""

    surface: np.ndarray
    colors: np.ndarray | None
    level: float
    queries: np.ndarray
    distances: np.ndarray
    region: KnownRegion | None = None


def observe(shape: Mesh, unknown: UnknownBox | None) -> Observation:
    """What `shape` (a mesh, or points when it has no faces, in model space) tells where it is known.

    unknown   everything outside of this box is known, and so is what is empty there; None: a scan, of which the surface
              alone is known

    Deterministic. Raises InputError when nothing of the shape lies outside of the box.
    """
    generator = np.random.default_rng(0)
    points, normals, colors = _surface(shape, generator)
    if unknown is not None:
        known = ~unknown.contains(points)
        if not known.any():
            raise InputError(
                "The box of the unknown contains the whole shape: make it smaller, so that a part is known."
            )
        points, normals = points[known], normals if normals is None else normals[known]
        colors = colors if colors is None else colors[known]
    if unknown is None:
        queries, distances = _beside(points, normals)
        return Observation(points, colors, 0.0, queries, distances)
    near = points[generator.integers(len(points), size=NEAR_POINTS)]
    near = near + generator.normal(0, NEAR_DEVIATION, near.shape)
    queries = np.concatenate([near, generator.uniform(-1, 1, (FAR_POINTS, 3))]).clip(-1, 1).astype(np.float32)
    queries = queries[~unknown.contains(queries)]
    if len(shape.faces):
        vertices, faces = outside_of(unknown, shape.vertices, shape.faces)
        level = -SHEET_HALF_THICKNESS if _is_open(vertices, faces, unknown) else 0.0
        arrays = torch.from_numpy(vertices), torch.from_numpy(faces)
        signed = mesh_to_sdf(*arrays, torch.from_numpy(queries)).numpy() + np.float32(level)
        on_grid = mesh_to_sdf(*arrays, Grid.cube(GRID_NODES), band=GRID_BAND).numpy() + np.float32(level)
        return Observation(points, colors, level, queries, signed, KnownRegion(unknown, on_grid))
    empty = _reached_from_outside(queries, points, unknown)
    distances = cKDTree(points).query(queries[empty])[0].astype(np.float32)
    return Observation(points, colors, 0.0, queries[empty], distances)


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
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    rest = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    for axis in range(3):
        for corner, direction in ((box.low, -1.0), (box.high, 1.0)):
            normal = np.zeros(3)
            normal[axis] = direction
            if len(rest[1]):
                kept.append(slice_faces_plane(*rest, normal, corner)[:2])
                rest = slice_faces_plane(*rest, -normal, corner)[:2]
    offsets = np.cumsum([0] + [len(part) for part, _ in kept[:-1]])
    joined = np.concatenate([triangles + offset for (_, triangles), offset in zip(kept, offsets, strict=True)])
    used, joined = np.unique(joined, return_inverse=True)
    positions = np.concatenate([part for part, _ in kept])[used]
    return positions.astype(np.float32), joined.reshape(-1, 3).astype(np.int32)


def _is_open(vertices: np.ndarray, faces: np.ndarray, cut: UnknownBox, tolerance: float = 1e-3) -> bool:
    """Whether the surface has borders other than where the box cuts it."""
    _, place = np.unique(vertices.round(6), axis=0, return_inverse=True)
    edges = np.sort(place.reshape(-1)[faces][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    first, counts = np.unique(edges, axis=0, return_index=True, return_counts=True)[1:]
    corners = vertices[faces][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2, 3)[first[counts == 1]]
    grown = UnknownBox(cut.low - tolerance, cut.high + tolerance)
    return bool((~grown.contains(corners).all(axis=1)).any())


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
