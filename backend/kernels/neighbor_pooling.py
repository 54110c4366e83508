"""The greatest and the sum of neighbours' features, without a copy of every neighbour's."""

from typing import Any

import numpy as np
import torch

from .compiled import compiled
from .devices import computing_device
from .neighborhoods import group_points
from .threads import parallel_for


def pool_neighbors(features: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each group of points the greatest and the sum of their features, channel by channel, with gradient.

    features: (B, N, C) float32. index: (B, M, k) int64 below N, k at most 127.
    Returns two tensors (B, M, C) float32. Where several neighbours have the greatest, the first of them has its
    gradient. On the CPU memory is linear in M · C; a GPU copies the neighbours' features.
    Raises TypeError or ValueError for a wrong type or shape, and IndexError for an index out of range (on the CPU).
    """
    if not isinstance(features, torch.Tensor) or features.dtype != torch.float32:
        raise TypeError("features must be a float32 torch tensor.")
    if not isinstance(index, torch.Tensor) or index.dtype != torch.int64:
        raise TypeError("index must be an int64 torch tensor.")
    if features.ndim != 3 or index.ndim != 3 or len(features) != len(index) or not 1 <= index.shape[2] <= 127:
        raise ValueError(
            f"features must be (B, N, C) and index (B, M, k up to 127), not {tuple(features.shape)} and "
            f"{tuple(index.shape)}."
        )
    if computing_device(features.device).type == "cuda":
        around = group_points(features, index)
        return around.max(2).values, around.sum(2)
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= features.shape[1]):
        raise IndexError(f"index must be from 0 to {features.shape[1] - 1}.")
    return _PoolNeighbors.apply(features, index)


class _PoolNeighbors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.set_materialize_grads(False)
        ctx.shape, ctx.device = features.shape, features.device
        values, neighbors = np.ascontiguousarray(features.detach().cpu().numpy()), _contiguous(index)
        shape = (*neighbors.shape[:2], values.shape[2])
        greatest, total = np.empty(shape, np.float32), np.empty(shape, np.float32)
        place = np.empty(shape, np.int8)
        parallel_for(_pool.on(values, neighbors, greatest, total, place), len(values))
        ctx.neighbors, ctx.place = neighbors, place
        return torch.from_numpy(greatest).to(features.device), torch.from_numpy(total).to(features.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        result = np.zeros(ctx.shape, np.float32)
        of_greatest, of_total = gradients
        if of_greatest is not None:
            array = _contiguous(of_greatest)
            parallel_for(_spread_greatest.on(array, ctx.neighbors, ctx.place, result), len(result))
        if of_total is not None:
            sums = _contiguous(of_total)
            parallel_for(_spread_total.on(sums, ctx.neighbors, result), len(result))
        return torch.from_numpy(result).to(ctx.device), None


def _contiguous(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


@compiled
def _pool(values, neighbors, greatest, total, place, first, last):  # type: ignore[no-untyped-def]
    """Fill greatest, total and place (B, M, C) for the clouds first … last - 1."""
    for b in range(first, last):
        for m in range(neighbors.shape[1]):
            most, sums, where = greatest[b, m], total[b, m], place[b, m]
            row = values[b, neighbors[b, m, 0]]
            for c in range(len(most)):
                most[c] = row[c]
                sums[c] = row[c]
                where[c] = 0
            for j in range(1, neighbors.shape[2]):
                row = values[b, neighbors[b, m, j]]
                for c in range(len(most)):
                    sums[c] += row[c]
                    where[c] = np.int8(j) if row[c] > most[c] else where[c]
                    most[c] = max(row[c], most[c])


@compiled
def _spread_greatest(gradient, neighbors, place, result, first, last):  # type: ignore[no-untyped-def]
    """Add gradient (B, M, C) to the rows of result (B, N, C) that the greatest came of."""
    for b in range(first, last):
        for m in range(gradient.shape[1]):
            for c in range(gradient.shape[2]):
                result[b, neighbors[b, m, place[b, m, c]], c] += gradient[b, m, c]


@compiled
def _spread_total(gradient, neighbors, result, first, last):  # type: ignore[no-untyped-def]
    """Add gradient (B, M, C) to all the rows of result (B, N, C) that were summed."""
    for b in range(first, last):
        for m in range(gradient.shape[1]):
            own = gradient[b, m]
            for j in range(neighbors.shape[2]):
                row = result[b, neighbors[b, m, j]]
                for c in range(len(own)):
                    row[c] += own[c]
