"""Sums of softmax-weighted distances on the CPU, over block trees, without a matrix of distances.

Weights fall off as exp(-(d - nearest) / T), so blocks of targets whose weights could not change a float32 are skipped:
with a small temperature nearly all of them, with a large one none.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .block_tree import BlockTree
from .compiled import compiled
from .lanes import LANES
from .threads import parallel_for

NOTHING = np.float32(0)
ONE = np.float32(1)
LOG2_E = np.float32(1.4426950408889634)
# Taylor coefficients of 2^f for |f| ≤ 1/2: error 5e-9.
C1, C2, C3, C4, C5, C6, C7 = (
    np.float32(value)
    for value in (
        0.6931471805599453, 0.2402265069591007, 0.05550410866482158, 0.009618129107628477,
        0.0013333558146428443, 0.0001540353039338161, 1.525273380405984e-05,
    )
)  # fmt: skip


@intrinsic
def _as_float(context: Any, bits: types.Type) -> Any:
    """The float32 with these bits (int32)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@compiled
def _power_of_two(y):  # type: ignore[no-untyped-def]
    """2^y for -100 ≤ y ≤ 0, in a form that becomes vector instructions (the library's exp does not)."""
    whole = np.floor(y + np.float32(0.5))
    f = y - whole
    p = ONE + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * (C6 + f * C7))))))
    return p * _as_float(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))  # type: ignore[call-arg] # numba adds context


@compiled
def _sum_over_targets(  # type: ignore[no-untyped-def]
    all_queries, query_order, all_query_boxes, lengths, all_targets, all_target_boxes, target_lengths, level_start,
    nearest, inverse_temperature, reach, first, last, weight, value, pull,
):  # fmt: skip
    """For the queries in the blocks first … last - 1, counted through all clouds, with e = exp(-(d - nearest) / T):

    weight (B, N) = Σ e; value (B, N) = Σ e d / Σ e; pull (B, N, 3) = ∂value/∂query.
    """
    q = np.empty((4, LANES), np.float32)  # x, y, z, nearest
    s = np.empty((8, LANES), np.float32)  # Σ e, Σ e (d - nearest), Σ e (q - t), Σ e (d - nearest) (q - t)
    stack_level = np.empty(LANES * 12, np.int64)
    stack_node = np.empty(LANES * 12, np.int64)
    blocks = all_queries.shape[1]
    scale = inverse_temperature * LOG2_E
    lowest = -reach * scale
    for place in range(first, last):
        cloud, block = place // blocks, place % blocks
        if block * LANES >= lengths[cloud]:
            continue
        targets, boxes, target_length = all_targets[cloud], all_target_boxes[cloud], target_lengths[cloud]
        bound = NOTHING
        for lane in range(LANES):
            for axis in range(3):
                q[axis, lane] = all_queries[cloud, block, axis, lane]
            q[3, lane] = nearest[cloud, query_order[cloud, block * LANES + lane]]
            bound = max(bound, q[3, lane] + reach)
            for row in range(8):
                s[row, lane] = NOTHING
        group, slot = block // LANES, block % LANES
        low_x, high_x = all_query_boxes[cloud, group, 0, slot], all_query_boxes[cloud, group, 3, slot]
        low_y, high_y = all_query_boxes[cloud, group, 1, slot], all_query_boxes[cloud, group, 4, slot]
        low_z, high_z = all_query_boxes[cloud, group, 2, slot], all_query_boxes[cloud, group, 5, slot]
        stack_level[0], stack_node[0] = len(level_start) - 2, 0
        top = 1
        while top > 0:
            top -= 1
            level, node = stack_level[top], stack_node[top]
            if level >= 0:
                group = level_start[level] + node
                for lane in range(LANES):
                    dx = max(max(boxes[group, 0, lane] - high_x, low_x - boxes[group, 3, lane]), NOTHING)
                    dy = max(max(boxes[group, 1, lane] - high_y, low_y - boxes[group, 4, lane]), NOTHING)
                    dz = max(max(boxes[group, 2, lane] - high_z, low_z - boxes[group, 5, lane]), NOTHING)
                    if boxes[group, 0, lane] <= boxes[group, 3, lane] and dx * dx + dy * dy + dz * dz <= bound:
                        stack_level[top], stack_node[top] = level - 1, node * LANES + lane
                        top += 1
                continue
            for j in range(min(LANES, target_length - node * LANES)):
                x, y, z = targets[node, 0, j], targets[node, 1, j], targets[node, 2, j]
                for lane in range(LANES):
                    dx, dy, dz = q[0, lane] - x, q[1, lane] - y, q[2, lane] - z
                    d = dx * dx + dy * dy + dz * dz - q[3, lane]
                    exponent = max(-d * scale, lowest)
                    e = _power_of_two(exponent)
                    e = e if exponent > lowest else NOTHING
                    ed = e * d if exponent > lowest else NOTHING
                    s[0, lane] += e
                    s[1, lane] += ed
                    s[2, lane] += e * dx
                    s[3, lane] += e * dy
                    s[4, lane] += e * dz
                    s[5, lane] += ed * dx
                    s[6, lane] += ed * dy
                    s[7, lane] += ed * dz
        for lane in range(min(LANES, lengths[cloud] - block * LANES)):
            i = query_order[cloud, block * LANES + lane]
            total = s[0, lane]
            mean = s[1, lane] / total
            weight[cloud, i] = total
            value[cloud, i] = q[3, lane] + mean
            for axis in range(3):
                straight, bent = s[2 + axis, lane] / total, s[5 + axis, lane] / total
                pull[cloud, i, axis] = np.float32(2) * (straight + (mean * straight - bent) * inverse_temperature)


@compiled
def _pull_on_targets(  # type: ignore[no-untyped-def]
    all_targets, target_order, all_target_boxes, target_lengths, all_queries, all_query_boxes, lengths, level_start,
    factors, node_reach, inverse_temperature, reach, first, last, gradient,
):  # fmt: skip
    """Add to gradient (B, M, 3) that of Σ upstream · value for the targets in the blocks first … last - 1.

    factors: (B, blocks, 3, 16) in the queries' arrangement: nearest; then p and q, so that the derivative of the sum by
    one squared distance d is e · (p - q (d - nearest)). node_reach: (B, groups, 16) how far each box's queries see.
    """
    t = np.empty((3, LANES), np.float32)
    g = np.empty((3, LANES), np.float32)
    stack_level = np.empty(LANES * 12, np.int64)
    stack_node = np.empty(LANES * 12, np.int64)
    blocks = all_targets.shape[1]
    scale = inverse_temperature * LOG2_E
    lowest = -reach * scale
    for place in range(first, last):
        cloud, block = place // blocks, place % blocks
        if block * LANES >= target_lengths[cloud]:
            continue
        queries, boxes, sees, factor = all_queries[cloud], all_query_boxes[cloud], node_reach[cloud], factors[cloud]
        for axis in range(3):
            for lane in range(LANES):
                t[axis, lane] = all_targets[cloud, block, axis, lane]
                g[axis, lane] = NOTHING
        group, slot = block // LANES, block % LANES
        low_x, high_x = all_target_boxes[cloud, group, 0, slot], all_target_boxes[cloud, group, 3, slot]
        low_y, high_y = all_target_boxes[cloud, group, 1, slot], all_target_boxes[cloud, group, 4, slot]
        low_z, high_z = all_target_boxes[cloud, group, 2, slot], all_target_boxes[cloud, group, 5, slot]
        stack_level[0], stack_node[0] = len(level_start) - 2, 0
        top = 1
        while top > 0:
            top -= 1
            level, node = stack_level[top], stack_node[top]
            if level >= 0:
                group = level_start[level] + node
                for lane in range(LANES):
                    dx = max(max(boxes[group, 0, lane] - high_x, low_x - boxes[group, 3, lane]), NOTHING)
                    dy = max(max(boxes[group, 1, lane] - high_y, low_y - boxes[group, 4, lane]), NOTHING)
                    dz = max(max(boxes[group, 2, lane] - high_z, low_z - boxes[group, 5, lane]), NOTHING)
                    near = dx * dx + dy * dy + dz * dz
                    if boxes[group, 0, lane] <= boxes[group, 3, lane] and near <= sees[group, lane]:
                        stack_level[top], stack_node[top] = level - 1, node * LANES + lane
                        top += 1
                continue
            for i in range(min(LANES, lengths[cloud] - node * LANES)):
                x, y, z = queries[node, 0, i], queries[node, 1, i], queries[node, 2, i]
                nearest, p, q = factor[node, 0, i], factor[node, 1, i], factor[node, 2, i]
                for lane in range(LANES):
                    dx, dy, dz = t[0, lane] - x, t[1, lane] - y, t[2, lane] - z
                    d = dx * dx + dy * dy + dz * dz - nearest
                    exponent = max(-d * scale, lowest)
                    e = _power_of_two(exponent) * (p - q * d)
                    e = e if exponent > lowest else NOTHING
                    g[0, lane] += e * dx
                    g[1, lane] += e * dy
                    g[2, lane] += e * dz
        for lane in range(min(LANES, target_lengths[cloud] - block * LANES)):
            j = target_order[cloud, block * LANES + lane]
            for axis in range(3):
                gradient[cloud, j, axis] += np.float32(2) * g[axis, lane]


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
                for lane in range(LANES):
                    seen = node_reach[cloud, level_start[level - 1] + child, lane]
                    node_reach[cloud, group, child % LANES] = max(node_reach[cloud, group, child % LANES], seen)


def sum_over_targets(
    queries: BlockTree, targets: BlockTree, nearest: np.ndarray, temperature: float, reach: float,
    weight: np.ndarray, value: np.ndarray, pull: np.ndarray,
) -> None:  # fmt: skip
    """Fill weight (B, N), value (B, N) and pull (B, N, 3), float32: see `_sum_over_targets`."""

    def sum_range(start: int, stop: int) -> None:
        _sum_over_targets(
            queries.points, queries.order, queries.boxes, queries.lengths, targets.points, targets.boxes,
            targets.lengths, targets.level_start, nearest, np.float32(1 / temperature), np.float32(reach), start, stop,
            weight, value, pull,
        )  # fmt: skip

    parallel_for(sum_range, queries.points.shape[0] * queries.points.shape[1], grain=8)


def pull_on_targets(
    queries: BlockTree, targets: BlockTree, nearest: np.ndarray, p: np.ndarray, q: np.ndarray, temperature: float,
    reach: float, gradient: np.ndarray,
) -> None:  # fmt: skip
    """Add to gradient (B, M, 3) the pull of all queries on each target: see `_pull_on_targets`."""
    factors = np.zeros(queries.points.shape, np.float32)
    node_reach = np.empty((queries.boxes.shape[0], queries.boxes.shape[1], LANES), np.float32)

    def arrange_range(start: int, stop: int) -> None:
        _arrange_factors(
            queries.order, queries.lengths, queries.level_start, nearest, p, q, np.float32(reach), factors, node_reach,
            start, stop,
        )  # fmt: skip

    def pull_range(start: int, stop: int) -> None:
        _pull_on_targets(
            targets.points, targets.order, targets.boxes, targets.lengths, queries.points, queries.boxes,
            queries.lengths, queries.level_start, factors, node_reach, np.float32(1 / temperature), np.float32(reach),
            start, stop, gradient,
        )  # fmt: skip

    parallel_for(arrange_range, len(factors))
    parallel_for(pull_range, targets.points.shape[0] * targets.points.shape[1], grain=8)
