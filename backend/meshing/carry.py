"""A mesh carried along a surface that changes: its topology stays, its vertices follow the field's zero level.

So it can be a shape key of every shape on the way. It is pulled from both sides, as in nonrigid registration: each
vertex to the zero level along the gradient, and the nearest vertex to each place of the new surface that none is near,
so that the mesh grows into thin parts. A pull counts only where the way leads to a surface that looks the same way as
the mesh (the compatibility of Rusinkiewicz and Levoy, "Efficient variants of the ICP algorithm", 2001, §3.4); vertices
without one go as their neighbours do. What one topology cannot follow, as a hole that opens, so lags behind as a taut
skin and does not turn over. Folds that are left where a part went are laid anew, and unfolded goes before near.
Between two fields the surface goes through blends of their values on a grid, which cost next to nothing; on arrival the
field itself has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..kernels import nearest_neighbors
from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field
from .elastic_surface import ElasticSurface, Pulls, face_normals, folded
from .laying import Discs
from .marching_cubes import marching_cubes
from .metamorphosis import read
from .sparse_grid import sample_distance_grid

CELLS = 128
"""Of the grid, along each side of model space."""
EVERY = 2
"""Of its nodes along each axis, one in so many stands for the surface that vertices are missing on."""
PARTS = 4
"""Blends from one field to the next, the latter included."""
PULLS = 3
"""Times that the mesh is pulled, for each blend."""
MORE_PULLS, SETTLED = 6, 0.02
"""Further ones on arrival, while a vertex still goes so far, in model units."""
LONGEST_STEP = 0.05
"""No vertex goes farther at once, in model units: the field is no exact distance."""
GAIN = 0.4
"""A step leads to the surface when the distance shrinks by this share of its length."""
STEEP = 0.3
"""Least norm of a gradient that leads to a surface, and not to the middle between two."""
ON_SURFACE = 0.004
"""Values of the field that are as good as 0."""
SIDELONG = 0.3
"""Walls of a part that goes look across the way: cosines between normals that are no less than minus this pull."""
ALIKE = 0.2
"""Least cosine between normals of a vertex and of the place that is missing it."""
LIKELIEST = 4
"""So many vertices near such a place are asked which looks the same way."""
SIDEWAYS = 0.06
"""Distance that counts as much as normals at right angles."""
MANY_PLACES = 3
"""That miss a vertex pull at it as much as its own way to the surface."""
BALLS = (1.2, 2.0, 3.0, 5.0)
"""How wide the balls are in which the surface is laid anew, against the folds that they are about."""
WORTH = 0.03
"""What is laid anew loses its shape: so many of its faces, as a share, must turn back for that."""
FARTHEST_LAID = 0.5
"""No vertex goes farther in a step for being laid anew, in model units."""
RETURNS = 6
"""Steps in which what is laid anew goes back to the surface."""
WITHDRAWALS = 4
"""Times that vertices which would turn a face over are withdrawn from a step to the surface, before it is given up."""
LANDINGS = 2
"""Times that the mesh goes to the surface of the field itself on arrival."""
NEAR = 0.018
"""Within this distance, in model units, a face lies on a surface."""


@dataclass(frozen=True)
class Carried:
    """vertices (V, 3) float32 on the new surface; largest_move: of a vertex, in model units; inverted: the share of
    faces, in [0, 1], that look into the shape where they lie on its surface, or against the faces around them."""

    vertices: np.ndarray
    largest_move: float
    inverted: float


class SurfaceCarrier:
    """Carries one mesh, vertices (V, 3) float32 in model space and faces (F, 3) int32, from `field`, on whose surface
    it lies, to others."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, field: Field) -> None:
        self._vertices = vertices.astype(np.float32)
        self._mesh = ElasticSurface(self._vertices, faces)
        self._discs = Discs(self._vertices, faces)
        self._values = sample_distance_grid(field, CELLS).values

    def carry(self, field: Field, *, cancelled: IsCancelled | None = None) -> Carried:
        """Move the mesh on to the surface of `field`. Raises Cancelled."""
        before, values = self._vertices, sample_distance_grid(field, CELLS, cancelled=cancelled).values
        change = values - self._values
        if change.any():
            for part in range(1, PARTS + 1):
                grid = _Grid(self._values + change * np.float32(part / PARTS))
                goal = grid.surface()
                for _ in range(PULLS):
                    check_cancelled(cancelled)
                    self._follow(grid, goal)
            for _ in range(MORE_PULLS):
                check_cancelled(cancelled)
                if self._follow(grid, goal) < SETTLED:
                    break
        self._values = values
        self._land(field, _Grid(values), cancelled)
        if change.any():
            self._unfold(_Grid(values), before, cancelled)
        move = np.linalg.norm(self._vertices - before, axis=1).max(initial=0)
        return Carried(self._vertices, float(move), float(self._inverted(_Grid(values), self._vertices).mean()))

    def _follow(self, grid: _Grid, goal: tuple[np.ndarray, np.ndarray]) -> float:
        """One step towards the zero level of a grid, whose places and normals (N, 3) each are `goal`; the longest way
        that a vertex went."""
        normals = self._mesh.normals(self._vertices)
        toward, count = self._missing(normals, *goal)
        distance, gradient = grid.at(self._vertices)
        step = _to_surface(distance, gradient)
        there, slope = grid.at(self._vertices + step)
        gained = np.abs(distance) - np.abs(there) > GAIN * np.linalg.norm(step, axis=1)
        arrives = (gained | (np.abs(there) < ON_SURFACE)) & (np.linalg.norm(slope, axis=1) > STEEP)
        cosine = np.minimum(_cosine(normals, gradient), _cosine(normals, slope))
        pulls = Pulls(
            normals=gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6),
            offsets=step,
            to_plane=np.where(arrives, np.maximum(cosine + SIDELONG, 0) / (1 + SIDELONG), 0).astype(np.float32),
            toward=_shortened(toward),
            to_point=np.minimum(count / MANY_PLACES, 1).astype(np.float32),
        )
        moved = self._vertices + _shortened(self._mesh.pulled(self._vertices, pulls) - self._vertices)
        before, self._vertices = self._vertices, self._mesh.unfolded(moved)
        return float(np.linalg.norm(self._vertices - before, axis=1).max(initial=0))

    def _unfold(self, grid: _Grid, before: np.ndarray, cancelled: IsCancelled | None) -> None:
        """Lay the surface anew in balls around faces that are turned over, where that is WORTH it and leaves no vertex
        farther than FARTHEST_LAID, or than one is already, from where the vertices were `before`."""
        farthest = max(FARTHEST_LAID, np.linalg.norm(self._vertices - before, axis=1).max(initial=0))
        for growth in BALLS:
            for fold in self._discs.folds(self._inverted(grid, self._vertices)):
                check_cancelled(cancelled)
                inner = self._discs.ball(self._vertices, fold, growth)
                free = inner[: len(before)]
                faces = self._mesh.faces[free[self._mesh.faces].any(axis=1)]
                turned = self._turned(grid, self._vertices, faces)
                allowed = turned - max(1, WORTH * len(faces))
                if allowed < 0:
                    continue
                laid = self._discs.laid(self._vertices, inner)
                if self._turned(grid, laid, faces) <= allowed:
                    laid = self._onto(grid, laid, free, faces)
                    if np.linalg.norm(laid - before, axis=1).max() <= farthest:
                        self._vertices = laid

    def _turned(self, grid: _Grid, vertices: np.ndarray, faces: np.ndarray) -> int:
        """How many faces (F, 3) are turned over, wherever they lie."""
        return int((_inwards(grid, vertices, faces)[0] | folded(vertices, faces)).sum())

    def _onto(self, grid: _Grid, vertices: np.ndarray, free: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """The vertices (V, 3), with the free ones (V,) bool nearer the surface, those excepted that would turn one of
        `faces` over."""
        turned = self._inverted(grid, vertices, faces)
        step = np.zeros_like(vertices)
        for _ in range(RETURNS):
            step[free] = _to_surface(*grid.at(vertices[free]))
            for _ in range(WITHDRAWALS):
                newly = self._inverted(grid, vertices + step, faces) & ~turned
                if not newly.any():
                    vertices = vertices + step
                    break
                step[faces[newly]] = 0
        return vertices

    def _land(self, field: Field, grid: _Grid, cancelled: IsCancelled | None) -> None:
        """Bring vertices that are close to the surface of the field onto it, where no face folds for that."""
        for _ in range(LANDINGS):
            check_cancelled(cancelled)
            gradient = grid.at(self._vertices)[1]
            distance = field.signed_distance(torch.from_numpy(self._vertices)).cpu().numpy()
            squared = np.maximum((gradient**2).sum(axis=1), STEEP**2)
            close = (np.abs(distance) < LONGEST_STEP) & (_cosine(self._mesh.normals(self._vertices), gradient) > ALIKE)
            step = -np.where(close, distance / squared, 0)[:, None] * gradient
            self._vertices = self._mesh.unfolded(self._vertices + _shortened(step))

    def _missing(self, normals: np.ndarray, places: np.ndarray, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each vertex the mean offset (V, 3) to places (N, 3) of a surface with normals `facing` that no vertex is
        near and it is the nearest one to, and how many these are (V,)."""
        squared, index = (
            found[0].numpy()
            for found in nearest_neighbors(
                torch.from_numpy(places)[None], torch.from_numpy(self._vertices)[None], LIKELIEST
            )
        )
        cosine = (normals[index] * facing[:, None]).sum(axis=2)
        cost = np.where(cosine > ALIKE, squared + SIDEWAYS**2 * (1 - cosine), np.inf)
        best = cost.argmin(axis=1)
        row = np.arange(len(places))
        vertex = index[row, best]
        missing = np.isfinite(cost[row, best]) & (squared[row, best] > self._mesh.longest_edge[vertex] ** 2)
        vertex = vertex[missing]
        count = np.bincount(vertex, minlength=len(normals))
        total = np.stack([np.bincount(vertex, axis, len(normals)) for axis in places[missing].T], axis=1)
        mean = total / np.maximum(count, 1)[:, None]
        return np.where(count[:, None] > 0, mean - self._vertices, 0).astype(np.float32), count

    def _inverted(self, grid: _Grid, vertices: np.ndarray, faces: np.ndarray | None = None) -> np.ndarray:
        """Which of some faces (F, 3), or of all, are turned over."""
        faces = self._mesh.faces if faces is None else faces
        inwards, distance = _inwards(grid, vertices, faces)
        return inwards & (np.abs(distance) < NEAR) | folded(vertices, faces)


class _Grid:
    """Values (n, n, n) over model space, read trilinearly."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values.astype(np.float32)
        self._cell = 2 / (len(values) - 1)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance (N,) and gradient (N, 3), by differences over two cells, at points (N, 3)."""
        steps = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]) * self._cell
        asked = (points + steps[:, None]).reshape(-1, 3).astype(np.float32)
        here, *around = read(torch.from_numpy(self._values), torch.from_numpy(asked)).numpy().reshape(7, -1)
        return here, (np.stack(around[:3], axis=1) - np.stack(around[3:], axis=1)) / (2 * self._cell)

    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        """Places (N, 3) all over the zero level, and the unit normals (N, 3) there."""
        coarse = np.pad(self._values[::EVERY, ::EVERY, ::EVERY][1:-1, 1:-1, 1:-1], 1, constant_values=1)
        places = (marching_cubes(coarse)[0] * (EVERY * self._cell) - 1).astype(np.float32)
        distance, gradient = self.at(places)
        squared = np.maximum((gradient**2).sum(axis=1), STEEP**2)
        places = places - (distance / squared)[:, None] * gradient
        return places.astype(np.float32), gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)


def _inwards(grid: _Grid, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which faces (F,) look against the gradient in their middle, and the distance (F,) there."""
    distance, gradient = grid.at(vertices[faces].mean(axis=1))
    return (face_normals(vertices, faces) * gradient).sum(axis=1) < 0, distance


def _to_surface(distance: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Steps (N, 3) to the zero level from where the distance is (N,) and the gradient (N, 3), as far as both tell."""
    return _shortened(-(distance / np.maximum((gradient**2).sum(axis=1), STEEP**2))[:, None] * gradient)


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / np.maximum(np.linalg.norm(other, axis=1), 1e-6)


def _shortened(steps: np.ndarray) -> np.ndarray:
    """Steps (N, 3), no longer than LONGEST_STEP."""
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    return (steps * np.minimum(1, LONGEST_STEP / np.maximum(length, 1e-12))).astype(np.float32)
