"""Steps of even length along a path of shapes, however unevenly the path itself goes.

Shapes stand still along one stretch of a path and change fast along another, where a part appears or goes. So the path
is measured: surfaces at some of its parameters, the distance (Chamfer-L1, from points on one surface to the other
surface and back) from each to the next, and further parameters where the distance is longest. Steps are then placed
evenly along the sum of these distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..data.surface import sample_surface
from ..kernels.mesh_distance import NearestFaces
from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field
from .repair import make_manifold
from .solids import keep_solids
from .surface import extract_surface
from .topology import connected_parts

FIRST = 9
"""Parameters at which every path is looked at, evenly, both ends included."""
MOST = 13
"""Parameters at which it is looked at in all."""
FINE = 0.7
"""Distances longer than this share of a step are looked into."""
FEWEST_PARTS = 2
"""Between two shapes of one part each, two are kept: one often goes where another comes."""
POINTS = 2048
NOTHING = 1e-4
"""A path shorter than this, in model units, goes nowhere: its length is rounding."""


@dataclass(frozen=True)
class Surface:
    """A closed surface, vertices (V, 3) float32 and faces (F, 3) int32, and points (N, 3) float32 on it."""

    vertices: np.ndarray
    faces: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, faces: np.ndarray, count: int = POINTS) -> Surface:
        return cls(vertices, faces, sample_surface(vertices, faces, count, np.random.default_rng(0)).positions)

    @property
    def parts(self) -> int:
        return int(connected_parts(self.faces).max()) + 1

    @cached_property
    def _nearest(self) -> NearestFaces:
        return NearestFaces(self.vertices.astype(np.float64)[self.faces])

    def distances(self, points: np.ndarray) -> np.ndarray:
        """From points (N, 3) to the surface, (N,) float64."""
        return self._nearest.distances(points.astype(np.float64))


def surface_distance(one: Surface, other: Surface) -> float:
    """Half the sum of both mean distances from points on one surface to the other: Chamfer-L1 without the noise that
    two clouds of points have even when they lie on the same surface."""
    return float(other.distances(one.points).mean() + one.distances(other.points).mean()) / 2


@dataclass(frozen=True)
class MeasuredPath:
    """parameters (M,) from 0 to 1; lengths (M,) float64 of the path up to there, in model units; most_parts: how many
    parts a shape on the way may have, the largest being kept."""

    parameters: np.ndarray
    lengths: np.ndarray
    most_parts: int

    @property
    def length(self) -> float:
        return float(self.lengths[-1])

    def place(self, shares: Sequence[float] | np.ndarray) -> np.ndarray:
        """The parameters at these shares, in [0, 1], of the path's length."""
        if self.length < NOTHING:
            return np.asarray(shares, dtype=np.float64)
        return np.interp(np.asarray(shares) * self.length, self.lengths, self.parameters)


def measure_path(
    field_at: Callable[[float], Field],
    steps: int,
    *,
    detail: int,
    progress: Callable[[float], None] | None = None,
    cancelled: IsCancelled | None = None,
) -> MeasuredPath:
    """Measure the path of shapes `field_at(0)` … `field_at(1)`, finely enough for `steps` steps, both ends included.

    detail is that of `mesh_from_field`. Raises InputError where the path has no surface, Cancelled, and MachineError as
    `extract_surface` does.
    """
    most: int | None = None
    looked_at = 0

    def surface_at(parameter: float) -> Surface:
        nonlocal looked_at
        check_cancelled(cancelled)
        raw = extract_surface(field_at(parameter), detail, cancelled=cancelled)
        surface = Surface.of(*keep_solids(*make_manifold(*raw), most=most))
        looked_at += 1
        if progress is not None:
            progress(looked_at / MOST)
        return surface

    begin, end = surface_at(0.0), surface_at(1.0)
    most = max(begin.parts, end.parts, FEWEST_PARTS)
    parameters = np.linspace(0, 1, FIRST).tolist()
    surfaces = [begin, *map(surface_at, parameters[1:-1]), end]
    gaps = [surface_distance(*pair) for pair in pairwise(surfaces)]
    while len(parameters) < MOST:
        index = int(np.argmax(gaps))
        if gaps[index] <= FINE * sum(gaps) / max(steps - 1, 1):
            break
        middle = (parameters[index] + parameters[index + 1]) / 2
        surface = surface_at(middle)
        gaps[index : index + 1] = [
            surface_distance(surfaces[index], surface),
            surface_distance(surface, surfaces[index + 1]),
        ]
        parameters.insert(index + 1, middle)
        surfaces.insert(index + 1, surface)
    return MeasuredPath(np.array(parameters), np.concatenate([[0.0], np.cumsum(gaps)]), most)


def share_steps(lengths: Sequence[float], intervals: int) -> list[int]:
    """How many of `intervals` steps go to each of several paths in a row: by length, at least one each."""
    shares = np.maximum(np.asarray(lengths, dtype=np.float64), 1e-9)
    counts = [1] * len(shares)
    for _ in range(intervals - len(shares)):
        counts[int(np.argmax(shares / counts))] += 1
    return counts
