"""Nearest neighbours on the CPU: a block of 16 queries at a time walks the targets' tree of boxes.

The 16 queries of a block are neighbours, so they share one walk, and each comparison is one instruction for all of them
(AVX-512; two for AVX2, four for NEON). Nothing is allocated per query.
"""

import numpy as np

from .block_tree import NOTHING, BlockTree, squared_to_boxes
from .compiled import compiled
from .lanes import (
    LANES,
    bits_below,
    everywhere,
    greater,
    greatest_of,
    lesser,
    load,
    lowest_bit,
    store,
    where_less,
)
from .threads import parallel_for, parallel_for_each

INFINITE = np.float32(np.inf)
MOST_NEIGHBORS = 32
WIDE = 2 * LANES
STACK = 12 * LANES  # a walk leaves at most 15 boxes behind on each level of the tree
LARGEST = np.finfo(np.float32).max  # the distance of what has not been found yet


@compiled
def _nearest_one(  # type: ignore[no-untyped-def]
    queries, query_order, query_boxes, lengths, targets, target_order, target_boxes, level_start, squared, index,
    first, last,
):  # fmt: skip
    """The nearest target of every query in the blocks first … last - 1, counted through all clouds."""
    near = np.empty(LANES, np.float32)
    distance = np.empty(STACK, np.float32)
    stack = np.empty((2, STACK), np.int64)
    top_level = len(level_start) - 2
    blocks = queries.shape[1]
    seed = cloud = -1
    for place in range(first, last):
        block = place % blocks
        if place // blocks != cloud:
            cloud = place // blocks
            seed = -1
        if block * LANES >= lengths[cloud]:
            continue
        x = load(queries, (cloud, block, 0, 0))
        y = load(queries, (cloud, block, 1, 0))
        z = load(queries, (cloud, block, 2, 0))
        own = query_boxes[cloud, block // LANES]
        slot = block % LANES
        low_x, high_x, low_y, high_y = own[0, slot], own[3, slot], own[1, slot], own[4, slot]
        low_z, high_z = own[2, slot], own[5, slot]
        best = everywhere(LARGEST)
        which = everywhere(NOTHING)  # the four targets that gave it: whole numbers, exact up to 2^24
        bound = INFINITE
        distance[0], stack[0, 0], stack[1, 0] = NOTHING, top_level, 0
        top = 1
        if seed >= 0:  # the last block's neighbour: likely near, so that the walk has a bound from the start
            distance[1], stack[0, 1], stack[1, 1] = NOTHING, -1, seed
            top = 2
        visited_seed = -1
        while top > 0:
            top -= 1
            if distance[top] >= bound:
                continue
            level, node = stack[0, top], stack[1, top]
            if level >= 0:
                boxes = target_boxes[cloud, level_start[level] + node]
                between = squared_to_boxes(boxes, low_x, low_y, low_z, high_x, high_y, high_z)
                store(near, (0,), between)
                nearer = bits_below(between, bound)
                base = top
                while nearer != 0:
                    lane = lowest_bit(nearer)
                    nearer &= nearer - 1
                    spot = top  # the nearest goes on top
                    while spot > base and distance[spot - 1] < near[lane]:
                        distance[spot] = distance[spot - 1]
                        stack[1, spot] = stack[1, spot - 1]
                        spot -= 1
                    distance[spot], stack[1, spot], stack[0, top] = near[lane], node * LANES + lane, level - 1
                    top += 1
                continue
            if node == visited_seed:
                continue
            if visited_seed < 0:
                visited_seed = node
            boxes = target_boxes[cloud, node // LANES]
            slot = node % LANES
            dx = greater(greater(boxes[0, slot] - x, x - boxes[3, slot]), NOTHING)
            dy = greater(greater(boxes[1, slot] - y, y - boxes[4, slot]), NOTHING)
            dz = greater(greater(boxes[2, slot] - z, z - boxes[5, slot]), NOTHING)
            if bits_below(dx * dx + dy * dy + dz * dz, best) == 0:  # no query of the block can gain
                continue
            for four in range(4):
                least = everywhere(LARGEST)
                for j in range(four * 4, four * 4 + 4):
                    dx, dy, dz = (
                        x - targets[cloud, node, 0, j],
                        y - targets[cloud, node, 1, j],
                        z - targets[cloud, node, 2, j],
                    )
                    least = lesser(dx * dx + dy * dy + dz * dz, least)
                which = where_less(least, best, np.float32(node * 4 + four), which)
                best = lesser(least, best)
            bound = greatest_of(best)
        store(near, (0,), which)
        for lane in range(min(LANES, lengths[cloud] - block * LANES)):
            four = int(near[lane])
            seed, nearest, closest = four >> 2, (four & 3) * 4, INFINITE
            for j in range((four & 3) * 4, (four & 3) * 4 + 4):
                d = NOTHING
                for axis in range(3):
                    step = queries[cloud, block, axis, lane] - targets[cloud, seed, axis, j]
                    d += step * step
                if d < closest:
                    closest, nearest = d, j
            given = query_order[cloud, block * LANES + lane]
            squared[cloud, given, 0], index[cloud, given, 0] = closest, target_order[cloud, seed * LANES + nearest]


@compiled
def _nearest_by_pairs(sources, targets, lengths, target_lengths, squared, index, first, last):  # type: ignore[no-untyped-def]
    """The nearest target of every query in the rows of 32 first … last - 1, by looking at all targets."""
    rows = np.empty((5, WIDE), np.float32)  # x, y, z of the queries, then which target is nearest, and how near
    count = (sources.shape[1] + WIDE - 1) // WIDE
    for place in range(first, last):
        cloud, base = place // count, place % count * WIDE
        length = lengths[cloud]
        if base >= length:
            continue
        for lane in range(WIDE):
            for axis in range(3):
                rows[axis, lane] = sources[cloud, min(base + lane, length - 1), axis]
        x, y, z = load(rows, (0, 0)), load(rows, (1, 0)), load(rows, (2, 0))
        u, v, w = load(rows, (0, LANES)), load(rows, (1, LANES)), load(rows, (2, LANES))
        best = best_of_second = everywhere(INFINITE)
        which = which_of_second = everywhere(NOTHING)  # whole numbers, exact up to 2^24
        for j in range(target_lengths[cloud]):
            tx, ty, tz = targets[cloud, j, 0], targets[cloud, j, 1], targets[cloud, j, 2]
            dx, dy, dz = x - tx, y - ty, z - tz
            du, dv, dw = u - tx, v - ty, w - tz
            d, e = dx * dx + dy * dy + dz * dz, du * du + dv * dv + dw * dw
            which = where_less(d, best, np.float32(j), which)
            which_of_second = where_less(e, best_of_second, np.float32(j), which_of_second)
            best, best_of_second = lesser(d, best), lesser(e, best_of_second)
        store(rows, (3, 0), which)
        store(rows, (3, LANES), which_of_second)
        store(rows, (4, 0), best)
        store(rows, (4, LANES), best_of_second)
        for lane in range(min(WIDE, length - base)):
            index[cloud, base + lane, 0], squared[cloud, base + lane, 0] = int(rows[3, lane]), rows[4, lane]


@compiled
def _nearest_several(  # type: ignore[no-untyped-def]
    all_queries, query_order, lengths, target_lengths, all_targets, target_order, all_target_boxes, level_start,
    squared, index, first, last,
):  # fmt: skip
    """The k nearest targets of every query in the blocks first … last - 1; k is the last dimension of the results."""
    k = squared.shape[2]
    child = np.empty(LANES, np.float32)
    best = np.empty(MOST_NEIGHBORS, np.float32)
    best_target = np.empty(MOST_NEIGHBORS, np.int64)
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
    works = []
    for queries, targets, squared, index in searches:
        shared = (targets.points, targets.order, targets.boxes, targets.level_start, squared, index)
        if squared.shape[2] == 1:
            work = _nearest_one.on(queries.points, queries.order, queries.boxes, queries.lengths, *shared)
        else:
            work = _nearest_several.on(queries.points, queries.order, queries.lengths, targets.lengths, *shared)
        works.append((work, queries.points.shape[0] * queries.points.shape[1]))
    parallel_for_each(works, grain=32)


PairSearch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def search_by_pairs(searches: list[PairSearch]) -> None:
    """As `search` with k = 1, for (source (B, N, 3), target (B, M, 3), lengths, target_lengths, squared, index)."""
    parallel_for_each(
        [(_nearest_by_pairs.on(*arrays), len(arrays[0]) * -(-arrays[0].shape[1] // WIDE)) for arrays in searches],
        grain=16,
    )


def add_gradient(
    source: np.ndarray, target: np.ndarray, index: np.ndarray, weight: np.ndarray, lengths: np.ndarray,
    grad_source: np.ndarray, grad_target: np.ndarray,
) -> None:  # fmt: skip
    """Add to both gradients (B, ·, 3) that of Σ weight · squared distance; index and weight are (B, N, k)."""
    parallel_for(_add_gradient.on(source, target, index, weight, lengths, grad_source, grad_target), len(source))
