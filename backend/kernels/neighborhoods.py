"""Points within a ball, and the features of such groups."""

import numpy as np
import torch

from .checks import check_cloud, check_same_batch, check_same_device
from .compiled import compiled
from .devices import computing_device
from .rows import take_rows
from .threads import parallel_for

LANES = 16


def ball_query(
    queries: torch.Tensor, points: torch.Tensor, radius: float, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to `most` points nearer than radius to each query, the first ones in the order of the cloud.

    queries: (B, M, 3) float32. points: (B, N, 3) float32. radius in their unit. most: at least 1.
    Returns indices (B, M, most) int64 and the number found (B, M) int64. Places left over repeat the first point found,
    or are 0 where none was. Source: Qi et al., "PointNet++", 2017, §3.2 and its published code's conventions.
    Raises TypeError or ValueError for a wrong type or shape, NaN (on the CPU), or a radius or most out of range.
    """
    check_cloud("queries", queries)
    check_cloud("points", points)
    check_same_device(queries=queries, points=points)
    check_same_batch("queries", queries, "points", points)
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be a positive number, not {radius!r}.")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"most must be a whole number of at least 1, not {most!r}.")
    if computing_device(points.device).type == "cuda":
        from .point_cuda import ball_query_with_warp

        return ball_query_with_warp(queries.detach(), points.detach(), radius, most)
    # Axis by axis and padded with points that are near nothing.
    count = points.shape[1]
    axes = np.full((points.shape[0], 3, -(-count // LANES) * LANES), np.inf, np.float32)
    axes[:, :, :count] = points.detach().cpu().numpy().transpose(0, 2, 1)
    wanted = np.ascontiguousarray(queries.detach().cpu().numpy())
    index = np.empty((*queries.shape[:2], most), np.int64)
    found = np.empty(queries.shape[:2], np.int64)
    parallel_for(_collect.on(wanted, axes, np.float32(radius), index, found), found.size, 64)
    return torch.from_numpy(index).to(points.device), torch.from_numpy(found).to(points.device)


def group_points(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The features of the points named by index, with gradient.

    features: (B, N, C) floating point. index: (B, ...) int64 below N. Returns (B, ..., C).
    Raises TypeError or ValueError for a wrong type or shape, and IndexError for an index out of range (on the CPU).
    """
    if not isinstance(features, torch.Tensor) or not features.is_floating_point():
        raise TypeError("features must be a floating-point torch tensor.")
    if not isinstance(index, torch.Tensor) or index.dtype != torch.int64:
        raise TypeError("index must be an int64 torch tensor.")
    if features.ndim != 3 or index.ndim < 2:
        raise ValueError(
            f"features must be (B, N, C) and index (B, ...), not {tuple(features.shape)}, {tuple(index.shape)}."
        )
    check_same_device(features=features, index=index)
    check_same_batch("features", features, "index", index)
    batch, count, channels = features.shape
    if index.device.type == "cpu" and index.numel() and (int(index.min()) < 0 or int(index.max()) >= count):
        raise IndexError(f"index must be from 0 to {count - 1}, but has {int(index.min())} to {int(index.max())}.")
    first = torch.arange(batch, device=index.device).view(batch, *[1] * (index.ndim - 1)) * count
    rows = take_rows(features.reshape(batch * count, channels), (index + first).reshape(-1))
    return rows.view(*index.shape, channels)


@compiled
def _collect(queries, axes, radius, index, found, first, last):  # type: ignore[no-untyped-def]
    """Fill the rows first … last - 1 of index (B, M, most) and found (B, M), counted through both axes."""
    count, most = queries.shape[1], index.shape[2]
    limit = radius * radius
    squared = np.empty(LANES, np.float32)
    for row in range(first, last):
        b, q = row // count, row % count
        xs, ys, zs = axes[b, 0], axes[b, 1], axes[b, 2]
        x, y, z = queries[b, q, 0], queries[b, q, 1], queries[b, q, 2]
        total = 0
        for begin in range(0, len(xs), LANES):
            bx, by, bz = xs[begin : begin + LANES], ys[begin : begin + LANES], zs[begin : begin + LANES]
            near = np.int32(0)
            for lane in range(LANES):
                dx, dy, dz = bx[lane] - x, by[lane] - y, bz[lane] - z
                squared[lane] = dx * dx + dy * dy + dz * dz
                near |= np.int32(squared[lane] < limit)
            if near == 0:
                continue
            for lane in range(LANES):
                if squared[lane] < limit and total < most:
                    index[b, q, total] = begin + lane
                    total += 1
            if total == most:
                break
        found[b, q] = total
        index[b, q, total:] = index[b, q, 0] if total > 0 else 0
