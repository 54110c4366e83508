"""Nearest neighbours on the CPU: a block of 16 queries at a time walks the targets' tree of boxes.

The 16 queries of a block are neighbours, so they share one walk, and each comparison is one instruction for all of them
(AVX-512; two for AVX2, four for NEON). Box distances are lower bounds in floating point too: rounding is monotonic, and
both are the same expression. Nothing is allocated per query.
"""

import numpy as np

from .block_tree import LANES, BlockTree
from .compiled import compiled
from .threads import parallel_for

INFINITE = np.float32(np.inf)
WIDE = 32
LARGEST = np.finfo(np.float32).max  # stands for infinity where infinities would be subtracted
NOTHING = np.float32(0)


@compiled
def _greatest(values):  # type: ignore[no-untyped-def]
    """The greatest of 16 values, which are overwritten; by halves, because a running maximum is not vectorised."""
    for lane in range(8):
        values[lane] = max(values[lane], values[lane + 8])
    for lane in range(4):
        values[lane] = max(values[lane], values[lane + 4])
    return max(max(values[0], values[2]), max(values[1], values[3]))


@compiled
def _nearest_one(  # type: ignore[no-untyped-def]
    all_queries, query_order, all_query_boxes, lengths, all_targets, target_order, all_target_boxes, level_start,
    first, last, squared, index,
):  # fmt: skip
    """The nearest target of every query in the blocks first … last - 1, counted through all clouds."""
    # x, y, z of the queries; squared distance so far; which four targets gave it (whole numbers, exact up to 2^24: one
    # array for all, because the compiler must know that no two overlap).
    lanes = np.empty((5, LANES), np.float32)
    child = np.empty(LANES, np.float32)
    stack_near = np.empty(LANES * 12, np.float32)
    stack_level = np.empty(LANES * 12, np.int64)
    stack_node = np.empty(LANES * 12, np.int64)
    top_level = len(level_start) - 2
    seed = -1
    blocks = all_queries.shape[1]
    cloud = -1
    for place in range(first, last):
        block = place % blocks
        if place // blocks != cloud:
            cloud = place // blocks
            seed = -1
        if block * LANES >= lengths[cloud]:
            continue
        queries, query_boxes = all_queries[cloud], all_query_boxes[cloud]
        targets, target_boxes = all_targets[cloud], all_target_boxes[cloud]
        for lane in range(LANES):
            lanes[0, lane] = queries[block, 0, lane]
            lanes[1, lane] = queries[block, 1, lane]
            lanes[2, lane] = queries[block, 2, lane]
            lanes[3, lane] = LARGEST
            lanes[4, lane] = NOTHING
        group, slot = block // LANES, block % LANES
        low_x, high_x = query_boxes[group, 0, slot], query_boxes[group, 3, slot]
        low_y, high_y = query_boxes[group, 1, slot], query_boxes[group, 4, slot]
        low_z, high_z = query_boxes[group, 2, slot], query_boxes[group, 5, slot]
        bound = INFINITE
        stack_near[0], stack_level[0], stack_node[0] = NOTHING, top_level, 0
        top = 1
        if seed >= 0:  # the last block's neighbour: likely near, so that the walk has a bound from the start
            stack_near[1], stack_level[1], stack_node[1] = NOTHING, -1, seed
            top = 2
        visited_seed = -1
        while top > 0:
            top -= 1
            if stack_near[top] >= bound:
                continue
            level, node = stack_level[top], stack_node[top]
            if level >= 0:
                group = level_start[level] + node
                for lane in range(LANES):
                    dx = max(max(target_boxes[group, 0, lane] - high_x, low_x - target_boxes[group, 3, lane]), NOTHING)
                    dy = max(max(target_boxes[group, 1, lane] - high_y, low_y - target_boxes[group, 4, lane]), NOTHING)
                    dz = max(max(target_boxes[group, 2, lane] - high_z, low_z - target_boxes[group, 5, lane]), NOTHING)
                    child[lane] = dx * dx + dy * dy + dz * dz
                base = top
                for lane in range(LANES):
                    near = child[lane]
                    if near < bound:
                        spot = top  # the nearest goes on top
                        while spot > base and stack_near[spot - 1] < near:
                            stack_near[spot] = stack_near[spot - 1]
                            stack_node[spot] = stack_node[spot - 1]
                            spot -= 1
                        stack_near[spot], stack_node[spot], stack_level[top] = near, node * LANES + lane, level - 1
                        top += 1
                continue
            if node == visited_seed:
                continue
            if visited_seed < 0:
                visited_seed = node
            group, slot = node // LANES, node % LANES
            box_low_x, box_high_x = target_boxes[group, 0, slot], target_boxes[group, 3, slot]
            box_low_y, box_high_y = target_boxes[group, 1, slot], target_boxes[group, 4, slot]
            box_low_z, box_high_z = target_boxes[group, 2, slot], target_boxes[group, 5, slot]
            # Box distance minus distance so far: negative for queries that the block may help.
            for lane in range(LANES):
                dx = max(max(box_low_x - lanes[0, lane], lanes[0, lane] - box_high_x), NOTHING)
                dy = max(max(box_low_y - lanes[1, lane], lanes[1, lane] - box_high_y), NOTHING)
                dz = max(max(box_low_z - lanes[2, lane], lanes[2, lane] - box_high_z), NOTHING)
                child[lane] = lanes[3, lane] - (dx * dx + dy * dy + dz * dz)
            if _greatest(child) <= NOTHING:
                continue
            for part in range(4):
                j = part * 4
                x0, y0, z0 = targets[node, 0, j], targets[node, 1, j], targets[node, 2, j]
                x1, y1, z1 = targets[node, 0, j + 1], targets[node, 1, j + 1], targets[node, 2, j + 1]
                x2, y2, z2 = targets[node, 0, j + 2], targets[node, 1, j + 2], targets[node, 2, j + 2]
                x3, y3, z3 = targets[node, 0, j + 3], targets[node, 1, j + 3], targets[node, 2, j + 3]
                name = np.float32(node * 4 + part)
                for lane in range(LANES):
                    x, y, z = lanes[0, lane], lanes[1, lane], lanes[2, lane]
                    d0 = (x - x0) * (x - x0) + (y - y0) * (y - y0) + (z - z0) * (z - z0)
                    d1 = (x - x1) * (x - x1) + (y - y1) * (y - y1) + (z - z1) * (z - z1)
                    d2 = (x - x2) * (x - x2) + (y - y2) * (y - y2) + (z - z2) * (z - z2)
                    d3 = (x - x3) * (x - x3) + (y - y3) * (y - y3) + (z - z3) * (z - z3)
                    least = min(min(d0, d1), min(d2, d3))
                    old = lanes[3, lane]
                    lanes[4, lane] = name if least < old else lanes[4, lane]
                    lanes[3, lane] = min(least, old)
            for lane in range(LANES):
                child[lane] = lanes[3, lane]
            bound = _greatest(child)
        for lane in range(LANES):
            i = block * LANES + lane
            if i >= lengths[cloud]:
                break
            four = int(lanes[4, lane])
            node, j = four // 4, (four % 4) * 4
            least, best = INFINITE, j
            for t in range(j, j + 4):
                dx = lanes[0, lane] - targets[node, 0, t]
                dy = lanes[1, lane] - targets[node, 1, t]
                dz = lanes[2, lane] - targets[node, 2, t]
                d = dx * dx + dy * dy + dz * dz
                if d < least:
                    least, best = d, t
            squared[cloud, query_order[cloud, i], 0] = least
            index[cloud, query_order[cloud, i], 0] = target_order[cloud, node * LANES + best]
            seed = node


@compiled
def _nearest_by_pairs(sources, targets, lengths, target_lengths, first, last, squared, index):  # type: ignore[no-untyped-def]
    """The nearest target of every query in the rows of 32 first … last - 1, by looking at all targets."""
    lanes = np.empty((5, WIDE), np.float32)  # as in _nearest_one, but with eight targets a time
    n = sources.shape[1]
    rows = (n + WIDE - 1) // WIDE
    for place in range(first, last):
        cloud, base = place // rows, place % rows * WIDE
        length, target_length = lengths[cloud], target_lengths[cloud]
        if base >= length:
            continue
        source, target = sources[cloud], targets[cloud]
        for lane in range(WIDE):
            i = min(base + lane, length - 1)
            lanes[0, lane], lanes[1, lane], lanes[2, lane] = source[i, 0], source[i, 1], source[i, 2]
            lanes[3, lane], lanes[4, lane] = LARGEST, NOTHING
        for eight in range((target_length + 7) // 8):
            j = min(eight * 8, max(target_length - 8, 0))  # the last eight overlap those before them
            last_j = target_length - 1
            j1, j2, j3 = min(j + 1, last_j), min(j + 2, last_j), min(j + 3, last_j)
            j4, j5, j6, j7 = min(j + 4, last_j), min(j + 5, last_j), min(j + 6, last_j), min(j + 7, last_j)
            x0, y0, z0 = target[j, 0], target[j, 1], target[j, 2]
            x1, y1, z1 = target[j1, 0], target[j1, 1], target[j1, 2]
            x2, y2, z2 = target[j2, 0], target[j2, 1], target[j2, 2]
            x3, y3, z3 = target[j3, 0], target[j3, 1], target[j3, 2]
            x4, y4, z4 = target[j4, 0], target[j4, 1], target[j4, 2]
            x5, y5, z5 = target[j5, 0], target[j5, 1], target[j5, 2]
            x6, y6, z6 = target[j6, 0], target[j6, 1], target[j6, 2]
            x7, y7, z7 = target[j7, 0], target[j7, 1], target[j7, 2]
            name = np.float32(j)
            for lane in range(WIDE):
                x, y, z = lanes[0, lane], lanes[1, lane], lanes[2, lane]
                d0 = (x - x0) * (x - x0) + (y - y0) * (y - y0) + (z - z0) * (z - z0)
                d1 = (x - x1) * (x - x1) + (y - y1) * (y - y1) + (z - z1) * (z - z1)
                d2 = (x - x2) * (x - x2) + (y - y2) * (y - y2) + (z - z2) * (z - z2)
                d3 = (x - x3) * (x - x3) + (y - y3) * (y - y3) + (z - z3) * (z - z3)
                d4 = (x - x4) * (x - x4) + (y - y4) * (y - y4) + (z - z4) * (z - z4)
                d5 = (x - x5) * (x - x5) + (y - y5) * (y - y5) + (z - z5) * (z - z5)
                d6 = (x - x6) * (x - x6) + (y - y6) * (y - y6) + (z - z6) * (z - z6)
                d7 = (x - x7) * (x - x7) + (y - y7) * (y - y7) + (z - z7) * (z - z7)
                least = min(min(min(d0, d1), min(d2, d3)), min(min(d4, d5), min(d6, d7)))
                old = lanes[3, lane]
                lanes[4, lane] = name if least < old else lanes[4, lane]
                lanes[3, lane] = min(least, old)
        for lane in range(min(WIDE, length - base)):
            j = int(lanes[4, lane])
            least, best = INFINITE, j
            for t in range(j, min(j + 8, target_length)):
                dx = lanes[0, lane] - target[t, 0]
                dy = lanes[1, lane] - target[t, 1]
                dz = lanes[2, lane] - target[t, 2]
                d = dx * dx + dy * dy + dz * dz
                if d < least:
                    least, best = d, t
            squared[cloud, base + lane, 0], index[cloud, base + lane, 0] = least, best


@compiled
def _nearest_several(  # type: ignore[no-untyped-def]
    all_queries, query_order, lengths, all_targets, target_order, all_target_boxes, target_lengths, level_start,
    first, last, squared, index,
):  # fmt: skip
    """The k nearest targets of every query in the blocks first … last - 1; k is the last dimension of the results."""
    k = squared.shape[2]
    child = np.empty(LANES, np.float32)
    best = np.empty(k, np.float32)
    best_target = np.empty(k, np.int64)
    stack_near = np.empty(LANES * 12, np.float32)
    stack_level = np.empty(LANES * 12, np.int64)
    stack_node = np.empty(LANES * 12, np.int64)
    blocks = all_queries.shape[1]
    for point in range(first * LANES, last * LANES):
        cloud, i = point // (blocks * LANES), point % (blocks * LANES)
        if i >= lengths[cloud]:
            continue
        targets, boxes, target_length = all_targets[cloud], all_target_boxes[cloud], target_lengths[cloud]
        x, y, z = (
            all_queries[cloud, i // LANES, 0, i % LANES],
            all_queries[cloud, i // LANES, 1, i % LANES],
            all_queries[cloud, i // LANES, 2, i % LANES],
        )
        for rank in range(k):
            best[rank], best_target[rank] = INFINITE, 0
        stack_near[0], stack_level[0], stack_node[0] = NOTHING, len(level_start) - 2, 0
        top, found = 1, 0
        while top > 0:
            top -= 1
            if found >= k and stack_near[top] >= best[k - 1]:
                continue
            level, node = stack_level[top], stack_node[top]
            if level < 0:
                for lane in range(LANES):
                    dx, dy, dz = x - targets[node, 0, lane], y - targets[node, 1, lane], z - targets[node, 2, lane]
                    child[lane] = dx * dx + dy * dy + dz * dz
                for lane in range(min(LANES, target_length - node * LANES)):
                    d = child[lane]
                    if found < k or d < best[k - 1]:
                        found += 1
                        spot = min(found, k) - 1
                        while spot > 0 and best[spot - 1] > d:
                            best[spot], best_target[spot] = best[spot - 1], best_target[spot - 1]
                            spot -= 1
                        best[spot], best_target[spot] = d, node * LANES + lane
                continue
            group = level_start[level] + node
            for lane in range(LANES):
                dx = max(max(boxes[group, 0, lane] - x, x - boxes[group, 3, lane]), NOTHING)
                dy = max(max(boxes[group, 1, lane] - y, y - boxes[group, 4, lane]), NOTHING)
                dz = max(max(boxes[group, 2, lane] - z, z - boxes[group, 5, lane]), NOTHING)
                child[lane] = dx * dx + dy * dy + dz * dz
            base = top
            for lane in range(LANES):
                near = child[lane]
                empty = boxes[group, 0, lane] > boxes[group, 3, lane]
                if not empty and (found < k or near < best[k - 1]):
                    spot = top
                    while spot > base and stack_near[spot - 1] < near:
                        stack_near[spot], stack_node[spot] = stack_near[spot - 1], stack_node[spot - 1]
                        spot -= 1
                    stack_near[spot], stack_node[spot], stack_level[top] = near, node * LANES + lane, level - 1
                    top += 1
        given = query_order[cloud, i]
        for rank in range(k):
            squared[cloud, given, rank] = best[rank]
            index[cloud, given, rank] = target_order[cloud, best_target[rank]]


@compiled
def _add_gradient(source, target, index, weight, lengths, grad_source, grad_target, first, last):  # type: ignore[no-untyped-def]
    """Add the gradient of Σ weight · |source - target[index]|² for the clouds first … last - 1, in a fixed order."""
    for b in range(first, last):
        for i in range(lengths[b]):
            for rank in range(index.shape[2]):
                j = index[b, i, rank]
                twice = weight[b, i, rank] * np.float32(2)
                for axis in range(3):
                    pull = twice * (source[b, i, axis] - target[b, j, axis])
                    grad_source[b, i, axis] += pull
                    grad_target[b, j, axis] -= pull


Search = tuple[BlockTree, BlockTree, np.ndarray, np.ndarray]


def search(searches: list[Search]) -> None:
    """For each (queries, targets, squared, index): fill squared (B, N, k) float32 and index (B, N, k) int64.

    All searches share the threads. Rows of points beyond a cloud's length are left as they are.
    """
    offsets = np.cumsum([0] + [queries.points.shape[0] * queries.points.shape[1] for queries, *_ in searches])

    def search_range(start: int, stop: int) -> None:
        for (queries, targets, squared, index), offset, end in zip(searches, offsets, offsets[1:], strict=False):
            first, last = max(start, offset) - offset, min(stop, end) - offset
            if first >= last:
                continue
            if squared.shape[2] == 1:
                _nearest_one(
                    queries.points, queries.order, queries.boxes, queries.lengths, targets.points, targets.order,
                    targets.boxes, targets.level_start, first, last, squared, index,
                )  # fmt: skip
            else:
                _nearest_several(
                    queries.points, queries.order, queries.lengths, targets.points, targets.order, targets.boxes,
                    targets.lengths, targets.level_start, first, last, squared, index,
                )  # fmt: skip

    parallel_for(search_range, int(offsets[-1]), grain=32)


PairSearch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def search_by_pairs(searches: list[PairSearch]) -> None:
    """As `search` with k = 1, for (source (B, N, 3), target (B, M, 3), lengths, target_lengths, squared, index)."""
    offsets = np.cumsum([0] + [len(source) * -(-source.shape[1] // WIDE) for source, *_ in searches])

    def search_range(start: int, stop: int) -> None:
        for (*clouds, squared, index), offset, end in zip(searches, offsets, offsets[1:], strict=False):
            first, last = max(start, offset) - offset, min(stop, end) - offset
            if first < last:
                _nearest_by_pairs(*clouds, first, last, squared, index)

    parallel_for(search_range, int(offsets[-1]), grain=16)


def add_gradient(
    source: np.ndarray, target: np.ndarray, index: np.ndarray, weight: np.ndarray, lengths: np.ndarray,
    grad_source: np.ndarray, grad_target: np.ndarray,
) -> None:  # fmt: skip
    """Add to both gradients (B, ·, 3) that of Σ weight · squared distance; index and weight are (B, N, k)."""

    def add_range(start: int, stop: int) -> None:
        _add_gradient(source, target, index, weight, lengths, grad_source, grad_target, start, stop)

    parallel_for(add_range, len(source))
