"""Farthest points and ball queries on a CUDA GPU by NVIDIA Warp; tests run the same source on the CPU."""

import torch
import warp as wp

from .warp_launch import OPTIONS, array_of, on_stream_of

THREADS = 512  # of the block that works on one cloud

wp.set_module_options(OPTIONS)


@wp.kernel
def _farthest_points(
    points: wp.array2d[wp.vec3],
    lengths: wp.array[wp.int64],
    start: int,
    squared: wp.array2d[float],
    chosen: wp.array2d[wp.int64],
) -> None:
    b, thread = wp.tid()
    threads = wp.block_dim()
    latest = start
    if thread == 0:
        chosen[b, 0] = wp.int64(start)
    for turn in range(1, chosen.shape[1]):
        # Distance and place in one number: the greatest is the farthest point, the first of them where several are.
        best = wp.int64(-1)
        for i in range(thread, int(lengths[b]), threads):
            step = points[b, i] - points[b, latest]
            nearest = wp.min(squared[b, i], wp.dot(step, step))
            squared[b, i] = nearest
            key = (wp.int64(wp.cast(nearest, wp.int32)) << wp.int64(32)) | wp.int64(0x7FFFFFFF - i)
            best = wp.max(best, key)
        latest = 0x7FFFFFFF - int(wp.tile_max(wp.tile(best))[0] & wp.int64(0x7FFFFFFF))
        if thread == 0:
            chosen[b, turn] = wp.int64(latest)


@wp.kernel
def _ball_query(
    queries: wp.array2d[wp.vec3],
    points: wp.array2d[wp.vec3],
    limit: float,
    index: wp.array3d[wp.int64],
    found: wp.array2d[wp.int64],
) -> None:
    b, q = wp.tid()
    total = wp.int32(0)  # a plain 0 would be a constant to Warp, which a loop cannot change
    i = wp.int32(0)
    while i < points.shape[1] and total < index.shape[2]:
        step = points[b, i] - queries[b, q]
        if wp.dot(step, step) < limit:
            index[b, q, total] = wp.int64(i)
            total += 1
        i += 1
    found[b, q] = wp.int64(total)
    for place in range(total, index.shape[2]):
        if total > 0:
            index[b, q, place] = index[b, q, 0]
        else:
            index[b, q, place] = wp.int64(0)


def farthest_points_with_warp(points: torch.Tensor, lengths: torch.Tensor, count: int, start: int) -> torch.Tensor:
    """As farthest_points, of checked tensors: one block of threads a cloud."""
    chosen = torch.empty(len(points), count, dtype=torch.int64, device=points.device)
    squared = torch.full(points.shape[:2], torch.inf, device=points.device)
    with on_stream_of(points) as device:
        wp.launch_tiled(
            _farthest_points,
            dim=[len(points)],
            inputs=[array_of(points, wp.vec3), array_of(lengths.to(points.device)), start, array_of(squared)],
            outputs=[array_of(chosen)],
            block_dim=THREADS,
            device=device,
        )
    return chosen


def ball_query_with_warp(
    queries: torch.Tensor, points: torch.Tensor, radius: float, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """As ball_query, of checked tensors: one thread a query."""
    index = torch.empty(*queries.shape[:2], most, dtype=torch.int64, device=points.device)
    found = torch.empty(queries.shape[:2], dtype=torch.int64, device=points.device)
    with on_stream_of(points) as device:
        wp.launch(
            _ball_query,
            dim=tuple(queries.shape[:2]),
            inputs=[array_of(queries, wp.vec3), array_of(points, wp.vec3), radius * radius],
            outputs=[array_of(index), array_of(found)],
            device=device,
        )
    return index, found
