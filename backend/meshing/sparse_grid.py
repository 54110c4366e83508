"""Samples a field on a grid, coarse to fine, asking it only where the surface can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import MachineError
from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field

COARSEST_CELLS = 32
MOST_REFINEMENTS = 3
REACH = np.sqrt(3) / 2
"""No point of a cell is farther from the cell's nearest corner than this many cells."""
CHUNK = 1 << 16


@dataclass(frozen=True)
class DistanceGrid:
    """values (n + 1, n + 1, n + 1) float32, indexed [x, y, z], at −1 + 2 i / n on each axis of model space; negative
    inside. Values at both ends of every edge that the surface crosses are the field's own, others only have its sign.
    gradient is the field's typical gradient norm near the surface; evaluations counts the points that were asked for.
    """

    values: np.ndarray
    gradient: float
    evaluations: int

    @property
    def cells(self) -> int:
        return len(self.values) - 1


def sample_distance_grid(
    field: Field,
    detail: int,
    *,
    cancelled: IsCancelled | None = None,
    progress: Callable[[float], None] | None = None,
) -> DistanceGrid:
    """A grid of at least `detail` cells along each side of model space (rounded up to a multiple of the coarsest grid).

    The coarsest grid (detail / 8 cells a side, at least 32) is asked for in full. Each finer one starts from trilinear
    interpolation and asks for the nodes within REACH coarse cells of the surface by that guess, measured with the
    field's own gradient because fields are not exactly metric; then, until nothing changes, for every node at the
    end of an edge on which the sign changes. So no surface that touches an asked node is cut off or guessed.

    progress is called with the fraction that is done. Raises Cancelled, and MachineError when the field answers with
    something that is no number.
    """
    refinements = min(MOST_REFINEMENTS, max(detail // COARSEST_CELLS, 1).bit_length() - 1)
    coarsest = -(-detail // 2**refinements)
    evaluations = 0

    def ask(where: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        nodes = np.argwhere(where)
        evaluations += len(nodes)
        points = torch.from_numpy((nodes * (2 / (len(where) - 1)) - 1).astype(np.float32))
        return _distances(field, points, cancelled)

    known = np.ones((coarsest + 1,) * 3, dtype=bool)
    values = ask(known).reshape(known.shape)
    gradient = _typical_gradient(values, known)
    for level in range(refinements):
        if progress is not None:
            progress(4.0 ** (level - refinements))  # a level has four times the nodes of the one before
        reach = REACH * gradient * 2 / (len(values) - 1)
        values, known = _refined(values, known)
        missing = ~known & (np.abs(values) < reach)
        while missing.any():
            values[missing] = ask(missing)
            known |= missing
            missing = ~known & _ends_of_crossed_edges(values)
        gradient = _typical_gradient(values, known)
    return DistanceGrid(values, gradient, evaluations)


def _distances(field: Field, points: torch.Tensor, cancelled: IsCancelled | None) -> np.ndarray:
    """The field at (N, 3) points, as (N,) float32 NumPy; asks for a cancel after every CHUNK points."""
    parts = []
    for chunk in points.split(CHUNK):
        check_cancelled(cancelled)
        parts.append(field.signed_distance(chunk).cpu().numpy())
    values = np.concatenate(parts)
    if not np.isfinite(values).all():
        raise MachineError("The model answered with values that are not numbers; its weights may be damaged.")
    return values


def _typical_gradient(values: np.ndarray, known: np.ndarray) -> float:
    """The 95th percentile of the gradient's norm near the surface, in values per unit; 1 where there is no surface."""
    cell = 2 / (len(values) - 1)
    here = np.flatnonzero(known[:-1, :-1, :-1])
    here = np.ravel_multi_index(np.unravel_index(here, np.subtract(values.shape, 1)), values.shape)
    flat = values.ravel()
    distance = np.abs(flat[here])
    nearest = np.partition(distance, min(500, len(here) - 1))[min(500, len(here) - 1)]
    near = here[distance < max(2 * cell, float(nearest))]
    squared = np.zeros(len(near))
    for stride in values.strides:
        squared += (flat[near + stride // values.itemsize] - flat[near]).astype(np.float64) ** 2
    if not squared.any():
        return 1.0
    return float(np.sqrt(np.percentile(squared, 95))) / cell


def _refined(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twice the cells: values in between by trilinear interpolation, and which nodes are still the field's own."""
    for axis in range(3):
        values = np.moveaxis(values, axis, 0)
        finer = np.empty((2 * len(values) - 1, *values.shape[1:]), dtype=np.float32)
        finer[::2] = values
        finer[1::2] = (values[:-1] + values[1:]) / 2
        values = np.moveaxis(finer, 0, axis)
    finer_known = np.zeros(values.shape, dtype=bool)
    finer_known[::2, ::2, ::2] = known
    return np.ascontiguousarray(values), finer_known


def _ends_of_crossed_edges(values: np.ndarray) -> np.ndarray:
    """Which nodes have a neighbour along an axis on the other side of the surface."""
    inside = values < 0
    ends = np.zeros(values.shape, dtype=bool)
    for axis in range(3):
        ahead, sign = np.moveaxis(ends, axis, 0), np.moveaxis(inside, axis, 0)
        crossed = sign[1:] != sign[:-1]
        ahead[1:] |= crossed
        ahead[:-1] |= crossed
    return ends
