"""Farthest point sampling."""

import numpy as np
import torch

from .checks import check_cloud, check_lengths
from .compiled import compiled
from .devices import computing_device
from .threads import parallel_for


def farthest_points(
    points: torch.Tensor, count: int, *, start: int = 0, lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """Choose points spread as far apart as they come: each next one is the farthest from all those before it.

    points: (B, N, 3) float32. count: how many to choose, from 1 to the shortest cloud's length.
    start: the first choice. lengths: (B,) int64, how many points of each cloud count. Of equally far points the first
    in order is chosen.
    Returns indices (B, count) int64 on the points' device. Source: Eldar et al., "The farthest point strategy", 1997,
    as PointNet++ samples with it.
    Raises TypeError or ValueError for a wrong type or shape, NaN (on the CPU), or a count or start out of range.
    """
    check_cloud("points", points)
    valid = check_lengths("lengths", lengths, points)
    shortest = int(valid.min())
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= shortest:
        raise ValueError(f"count must be a whole number from 1 to {shortest} here, not {count!r}.")
    if not 0 <= start < shortest:
        raise ValueError(f"start must be from 0 to {shortest - 1} here, not {start!r}.")
    if computing_device(points.device).type == "cuda":
        from .point_cuda import farthest_points_with_warp

        return farthest_points_with_warp(points.detach(), valid, count, start)
    # Axis by axis, so that neighbouring points fill one vector register.
    axes = np.ascontiguousarray(points.detach().cpu().numpy().transpose(0, 2, 1))
    chosen = np.empty((len(axes), count), np.int64)
    squared = np.empty((len(axes), axes.shape[2]), np.float32)
    parallel_for(_choose.on(axes, valid.numpy(), start, squared, chosen), len(axes))
    return torch.from_numpy(chosen).to(points.device)


BLOCK = 1024  # the farthest is found block by block: a maximum is quick, its place need be looked for only once


@compiled
def _choose(axes, lengths, start, all_squared, chosen, first, last):  # type: ignore[no-untyped-def]
    """Fill chosen[first:last] for axes (B, 3, N) float32; all_squared (B, N) float32 is to work with."""
    for b in range(first, last):
        n = lengths[b]
        xs, ys, zs = axes[b, 0], axes[b, 1], axes[b, 2]
        squared = all_squared[b]
        squared[:n] = np.float32(np.inf)
        latest = start
        chosen[b, 0] = start
        for turn in range(1, chosen.shape[1]):
            x, y, z = xs[latest], ys[latest], zs[latest]
            farthest, farthest_block = np.float32(-1), 0
            for begin in range(0, n, BLOCK):
                end = min(begin + BLOCK, n)
                own = squared[begin:end]
                bx, by, bz = xs[begin:end], ys[begin:end], zs[begin:end]
                greatest = np.float32(-1)
                for i in range(end - begin):
                    dx, dy, dz = bx[i] - x, by[i] - y, bz[i] - z
                    nearest = min(own[i], dx * dx + dy * dy + dz * dz)
                    own[i] = nearest
                    greatest = max(greatest, nearest)
                if greatest > farthest:
                    farthest, farthest_block = greatest, begin
            latest = farthest_block
            while squared[latest] != farthest:
                latest += 1
            chosen[b, turn] = latest
