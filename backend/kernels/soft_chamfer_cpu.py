"""Sums of softmax-weighted distances on the CPU, over block trees, without a matrix of distances.

Weights fall off as exp(-(d - nearest) / T), so blocks of targets whose weights could not change a float32 are skipped,
and such targets in the others: with a small temperature nearly all of them, with a large one none.
"""

import numpy as np

from .block_tree import BlockTree, squared_to_boxes
from .compiled import compiled
from .lanes import (
    LANES,
    bits_up_to,
    everywhere,
    greater,
    greatest_of,
    load,
    lowest_bit,
    store,
    two_to_the,
)
from .threads import parallel_for

NOTHING = np.float32(0)
ONE = np.float32(1)
LOG2_E = np.float32(1.4426950408889634)
STACK = 12 * LANES  # a walk leaves at most 15 boxes behind on each level of the tree
FLOAT32_ROUNDING = 2.0**-21  # more than two computations of one squared distance differ by
LOWEST = np.float32(-126)  # two to this is the least normal float32


@compiled
def _weights(beyond, scale):  # type: ignore[no-untyped-def]
    """exp(-beyond / T) in each lane, at least 1e-38; scale: log2(e) / T."""
    return two_to_the(greater(beyond * -scale, LOWEST))


@compiled
def _push_children(between, limit, level, node, top, stack_level, stack_node):  # type: ignore[no-untyped-def]
    """Put the children of a node whose distances do not exceed their limits onto the stack; returns its new height."""
    reached = bits_up_to(between, limit)
    while reached != 0:
        stack_level[top], stack_node[top] = level - 1, node * LANES + lowest_bit(reached)
        reached &= reached - 1
        top += 1
    return top


@compiled
def _near_points(points, count, box, slot, limit):  # type: ignore[no-untyped-def]
    """A whole number whose bit n is set where point n < count of a block (3, 16) is within its limit of a box."""
    x, y, z = load(points, (0, 0)), load(points, (1, 0)), load(points, (2, 0))
    dx = greater(greater(box[0, slot] - x, x - box[3, slot]), NOTHING)
    dy = greater(greater(box[1, slot] - y, y - box[4, slot]), NOTHING)
    dz = greater(greater(box[2, slot] - z, z - box[5, slot]), NOTHING)
    return bits_up_to(dx * dx + dy * dy + dz * dz, limit) & ((1 << min(LANES, count)) - 1)


@compiled
def _sum_over_targets(  # type: ignore[no-untyped-def]
    queries, query_order, query_boxes, lengths, targets, target_boxes, target_lengths, level_start,
    nearest, inverse_temperature, reach, weight, value, pull, first, last,
):  # fmt: skip
    """For the queries in the blocks first … last - 1, counted through all clouds, with e = exp(-(d - nearest) / T):

    weight (B, N) = Σ e; value (B, N) = Σ e d / Σ e; pull (B, N, 3) = ∂value/∂query.
    """
    sums = np.empty((9, LANES), np.float32)  # Σ e, Σ e (d - nearest), Σ e (q - t), Σ e (d - nearest) (q - t); nearest
    stack_level = np.empty(STACK, np.int64)
    stack_node = np.empty(STACK, np.int64)
    blocks = queries.shape[1]
    scale = inverse_temperature * LOG2_E
    for place in range(first, last):
        cloud, block = place // blocks, place % blocks
        own = min(LANES, lengths[cloud] - block * LANES)
        if own <= 0:
            continue
        for lane in range(LANES):
            sums[8, lane] = nearest[cloud, query_order[cloud, block * LANES + min(lane, own - 1)]]
        x, y, z = (
            load(queries, (cloud, block, 0, 0)),
            load(queries, (cloud, block, 1, 0)),
            load(queries, (cloud, block, 2, 0)),
        )
        offset = load(sums, (8, 0))
        limit = greatest_of(offset) + reach
        total = total_beyond = everywhere(NOTHING)
        straight_x = straight_y = straight_z = everywhere(NOTHING)
        bent_x = bent_y = bent_z = everywhere(NOTHING)
        box, slot = query_boxes[cloud, block // LANES], block % LANES
        stack_level[0], stack_node[0] = len(level_start) - 2, 0
        top = 1
        while top > 0:
            top -= 1
            level, node = stack_level[top], stack_node[top]
            if level >= 0:
                between = squared_to_boxes(
                    target_boxes[cloud, level_start[level] + node],
                    box[0, slot], box[1, slot], box[2, slot], box[3, slot], box[4, slot], box[5, slot],
                )  # fmt: skip
                top = _push_children(between, limit, level, node, top, stack_level, stack_node)
                continue
            near = _near_points(targets[cloud, node], target_lengths[cloud] - node * LANES, box, slot, limit)
            while near != 0:
                j = lowest_bit(near)
                near &= near - 1
                dx = x - targets[cloud, node, 0, j]
                dy = y - targets[cloud, node, 1, j]
                dz = z - targets[cloud, node, 2, j]
                beyond = greater(dx * dx + dy * dy + dz * dz - offset, NOTHING)
                e = _weights(beyond, scale)
                by_distance = e * beyond
                total += e
                total_beyond += by_distance
                straight_x += e * dx
                straight_y += e * dy
                straight_z += e * dz
                bent_x += by_distance * dx
                bent_y += by_distance * dy
                bent_z += by_distance * dz
        mean = total_beyond / total
        store(sums, (0, 0), total)
        store(sums, (1, 0), offset + mean)
        # The derivative of e / Σ e adds its part to that of the distances.
        twice, along = 2.0 / total, ONE + mean * inverse_temperature
        store(sums, (2, 0), (straight_x * along - bent_x * inverse_temperature) * twice)
        store(sums, (3, 0), (straight_y * along - bent_y * inverse_temperature) * twice)
        store(sums, (4, 0), (straight_z * along - bent_z * inverse_temperature) * twice)
        for lane in range(own):
            i = query_order[cloud, block * LANES + lane]
            weight[cloud, i], value[cloud, i] = sums[0, lane], sums[1, lane]
            for axis in range(3):
                pull[cloud, i, axis] = sums[2 + axis, lane]


@compiled
def _pull_on_targets(  # type: ignore[no-untyped-def]
    targets, target_order, target_boxes, target_lengths, queries, query_boxes, lengths, level_start,
    factors, node_reach, reach, inverse_temperature, gradient, first, last,
):  # fmt: skip
    """Add to gradient (B, M, 3) that of Σ upstream · value for the targets in the blocks first … last - 1.

    factors: (B, blocks, 3, 16) in the queries' arrangement: nearest; then p and q, so that the derivative of the sum by
    one squared distance d is e · (p - q (d - nearest)). node_reach: (B, groups, 16) how far each box's queries see.
    """
    sums = np.empty((3, LANES), np.float32)
    stack_level = np.empty(STACK, np.int64)
    stack_node = np.empty(STACK, np.int64)
    blocks = targets.shape[1]
    scale = inverse_temperature * LOG2_E
    for place in range(first, last):
        cloud, block = place // blocks, place % blocks
        own = min(LANES, target_lengths[cloud] - block * LANES)
        if own <= 0:
            continue
        x, y, z = (
            load(targets, (cloud, block, 0, 0)),
            load(targets, (cloud, block, 1, 0)),
            load(targets, (cloud, block, 2, 0)),
        )
        sum_x = sum_y = sum_z = everywhere(NOTHING)
        box, slot = target_boxes[cloud, block // LANES], block % LANES
        stack_level[0], stack_node[0] = len(level_start) - 2, 0
        top = 1
        while top > 0:
            top -= 1
            level, node = stack_level[top], stack_node[top]
            if level >= 0:
                group = level_start[level] + node
                between = squared_to_boxes(
                    query_boxes[cloud, group],
                    box[0, slot], box[1, slot], box[2, slot], box[3, slot], box[4, slot], box[5, slot],
                )  # fmt: skip
                limit = load(node_reach, (cloud, group, 0))
                top = _push_children(between, limit, level, node, top, stack_level, stack_node)
                continue
            factor = factors[cloud, node]
            limit = load(factor, (0, 0)) + reach
            near = _near_points(queries[cloud, node], lengths[cloud] - node * LANES, box, slot, limit)
            while near != 0:
                i = lowest_bit(near)
                near &= near - 1
                dx = x - queries[cloud, node, 0, i]
                dy = y - queries[cloud, node, 1, i]
                dz = z - queries[cloud, node, 2, i]
                beyond = greater(dx * dx + dy * dy + dz * dz - factor[0, i], NOTHING)
                slope = _weights(beyond, scale) * (factor[1, i] - factor[2, i] * beyond)
                sum_x += slope * dx
                sum_y += slope * dy
                sum_z += slope * dz
        store(sums, (0, 0), sum_x)
        store(sums, (1, 0), sum_y)
        store(sums, (2, 0), sum_z)
        for lane in range(own):
            j = target_order[cloud, block * LANES + lane]
            for axis in range(3):
                gradient[cloud, j, axis] += np.float32(2) * sums[axis, lane]


@compiled
def _arrange_factors(order, lengths, level_start, nearest, p, q, reach, factors, node_reach, first, last):  # type: ignore[no-untyped-def]
    """Bring the queries' factors into their tree's arrangement, and find how far each box's queries see."""
    for cloud in range(first, last):
        for group in range(node_reach.shape[1]):
            for lane in range(LANES):
                node_reach[cloud, group, lane] = -ONE
        for place in range(lengths[cloud]):
            i, block, lane = order[cloud, place], place // LANES, place % LANES
            factors[cloud, block, 0, lane] = nearest[cloud, i]
            factors[cloud, block, 1, lane] = p[cloud, i]
            factors[cloud, block, 2, lane] = q[cloud, i]
            old = node_reach[cloud, block // LANES, block % LANES]
            node_reach[cloud, block // LANES, block % LANES] = max(old, nearest[cloud, i] + reach)
        for level in range(1, len(level_start) - 1):
            for child in range(level_start[level] - level_start[level - 1]):
                group = level_start[level] + child // LANES
                seen = greatest_of(load(node_reach, (cloud, level_start[level - 1] + child, 0)))
                node_reach[cloud, group, child % LANES] = seen


def sum_over_targets(
    queries: BlockTree, targets: BlockTree, nearest: np.ndarray, temperature: float, reach: float,
    weight: np.ndarray, value: np.ndarray, pull: np.ndarray,
) -> None:  # fmt: skip
    """Fill weight (B, N), value (B, N) and pull (B, N, 3), float32: see `_sum_over_targets`."""
    sums = _sum_over_targets.on(
        queries.points, queries.order, queries.boxes, queries.lengths, targets.points, targets.boxes,
        targets.lengths, targets.level_start, nearest, np.float32(1 / temperature), np.float32(reach),
        weight, value, pull,
    )  # fmt: skip
    parallel_for(sums, queries.points.shape[0] * queries.points.shape[1], grain=8)


def pull_on_targets(
    queries: BlockTree, targets: BlockTree, nearest: np.ndarray, p: np.ndarray, q: np.ndarray, temperature: float,
    reach: float, gradient: np.ndarray,
) -> None:  # fmt: skip
    """Add to gradient (B, M, 3) the pull of all queries on each target: see `_pull_on_targets`."""
    factors = np.zeros(queries.points.shape, np.float32)
    node_reach = np.empty((queries.boxes.shape[0], queries.boxes.shape[1], LANES), np.float32)
    arrange = _arrange_factors.on(
        queries.order, queries.lengths, queries.level_start, nearest, p, q, np.float32(reach), factors, node_reach
    )
    parallel_for(arrange, len(factors))
    pull = _pull_on_targets.on(
        targets.points, targets.order, targets.boxes, targets.lengths, queries.points, queries.boxes,
        queries.lengths, queries.level_start, factors, node_reach, np.float32(reach), np.float32(1 / temperature),
        gradient,
    )  # fmt: skip
    parallel_for(pull, targets.points.shape[0] * targets.points.shape[1], grain=8)
