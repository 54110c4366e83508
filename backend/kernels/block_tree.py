"""Point clouds arranged for searching: blocks of 16 neighbouring points under a 16-ary tree of bounding boxes.

Points are sorted along a Morton curve (G. M. Morton, 1966), cut into blocks of 16 and boxed; 16 blocks make a group, 16
groups the next level, up to one group. Lanes of one block lie side by side in memory, so that a search compares 16
points at a time. Where many points share one cell of the curve the cell is sorted again within its own bounds, so that
clusters of any density, and coincident points, keep small boxes.
"""

from dataclasses import dataclass

import numpy as np

from .compiled import compiled
from .lanes import LANES, greater, greatest_of, least_of, load
from .threads import parallel_for_each

CROWD = 8 * LANES  # a curve cell with more points than this is sorted again, within its own bounds
SMALL_CLOUD = 8192  # up to this size 7 bits an axis tell the points apart and two counting passes sort them
NOTHING = np.float32(0)
FAR = np.float32(3e38)  # bounds of a box that holds nothing: its distance to anything overflows to infinity


def _spread_bits(count: int) -> np.ndarray:
    """For every number of `count` bits, that number with two zeros before each bit."""
    values = np.arange(1 << count, dtype=np.uint32)
    spread = np.zeros_like(values)
    for bit in range(count):
        spread |= ((values >> np.uint32(bit)) & np.uint32(1)) << np.uint32(3 * bit)
    return spread


SPREAD = _spread_bits(10)


@dataclass(frozen=True)
class BlockTree:
    """B clouds of up to N points; clouds shorter than N leave empty blocks at their end.

    points: (B, blocks, 3, 16) float32; lanes after a cloud's last point repeat that point.
    order: (B, blocks · 16) int32, the place in the given cloud of each arranged point.
    boxes: (B, groups, 6, 16) float32, least x, y, z and greatest x, y, z of 16 children; the groups of the lowest
    level come first.
    level_start: (levels + 1,) int64, where each level's groups begin.
    lengths: (B,) int64, the number of points in each cloud. count: N.
    """

    points: np.ndarray
    order: np.ndarray
    boxes: np.ndarray
    level_start: np.ndarray
    lengths: np.ndarray
    count: int


def build_block_trees(parts: list[tuple[np.ndarray, np.ndarray]]) -> list[BlockTree]:
    """A tree for each (clouds (B, N, 3) float32, lengths (B,)), all arranged at once so that all threads have work."""
    trees = [_empty_tree(clouds, lengths) for clouds, lengths in parts]
    works = []
    for (clouds, _), tree in zip(parts, trees, strict=True):
        batch, count = clouds.shape[:2]
        arrange = _arrange.on(
            clouds, tree.lengths, tree.points, tree.order, tree.boxes, tree.level_start,
            np.empty((batch, 2, count), np.uint32), np.empty((batch, count), np.int32),
            np.empty((batch, 2, count // CROWD + 2), np.int64),
        )  # fmt: skip
        works.append((arrange, batch))
    parallel_for_each(works)
    return trees


def _empty_tree(clouds: np.ndarray, lengths: np.ndarray) -> BlockTree:
    batch, count = clouds.shape[:2]
    blocks = -(-count // LANES)
    starts, groups = [0], blocks
    while len(starts) == 1 or groups > 1:
        groups = -(-groups // LANES)
        starts.append(starts[-1] + groups)
    boxes = np.empty((batch, starts[-1], 6, LANES), np.float32)
    boxes[:, :, :3], boxes[:, :, 3:] = FAR, -FAR
    return BlockTree(
        np.empty((batch, blocks, 3, LANES), np.float32),
        np.empty((batch, blocks * LANES), np.int32),
        boxes,
        np.array(starts, np.int64),
        np.ascontiguousarray(lengths, np.int64),
        count,
    )


@compiled
def squared_to_boxes(boxes, low_x, low_y, low_z, high_x, high_y, high_z):  # type: ignore[no-untyped-def]
    """Squared distances between 16 boxes (6, 16) and a box, as lanes; the box's corners may be lanes too.

    Infinite where a box holds nothing. A lower bound of the points' computed distances, because rounding is monotonic.
    """
    dx = greater(greater(load(boxes, (0, 0)) - high_x, low_x - load(boxes, (3, 0))), NOTHING)
    dy = greater(greater(load(boxes, (1, 0)) - high_y, low_y - load(boxes, (4, 0))), NOTHING)
    dz = greater(greater(load(boxes, (2, 0)) - high_z, low_z - load(boxes, (5, 0))), NOTHING)
    return dx * dx + dy * dy + dz * dz


@compiled
def _sort_by_keys(keys, items, spare_keys, spare_items, start, stop, digit_bits, passes, counts):  # type: ignore[no-untyped-def]
    """Sort items[start:stop] by keys[start:stop], stably, counting `passes` digits of digit_bits from the lowest."""
    size = 1 << digit_bits
    mask = np.uint32(size - 1)
    for turn in range(passes):
        shift = np.uint32(turn * digit_bits)
        for digit in range(size):
            counts[digit] = 0
        for i in range(start, stop):
            counts[(keys[i] >> shift) & mask] += 1
        total = start
        for digit in range(size):
            count = counts[digit]
            counts[digit] = total
            total += count
        for i in range(start, stop):
            digit = (keys[i] >> shift) & mask
            place = counts[digit]
            counts[digit] = place + 1
            spare_keys[place] = keys[i]
            spare_items[place] = items[i]
        keys, spare_keys = spare_keys, keys
        items, spare_items = spare_items, items
    if passes % 2 == 1:
        for i in range(start, stop):
            spare_keys[i] = keys[i]
            spare_items[i] = items[i]


@compiled
def _write_keys(cloud, order, start, stop, bits, low, keys):  # type: ignore[no-untyped-def]
    """Curve position of each point of order[start:stop] within those points' own bounds; False if all coincide.

    low: (3,) float32 to work with.
    """
    extent = np.float32(0)
    for axis in range(3):
        least = greatest = cloud[order[start], axis]
        for i in range(start, stop):
            value = cloud[order[i], axis]
            least, greatest = min(least, value), max(greatest, value)
        low[axis] = least
        extent = max(extent, greatest - least)
    if not extent > np.float32(0):
        return False
    scale = np.float32(1 << bits) / extent
    last = (1 << bits) - 1
    for i in range(start, stop):
        key = np.uint32(0)
        for axis in range(3):
            cell = min(int((cloud[order[i], axis] - low[axis]) * scale), last)
            key |= SPREAD[cell] << np.uint32(axis)
        keys[i] = key
    return True


@compiled
def _arrange(  # type: ignore[no-untyped-def]
    clouds, lengths, points, orders, boxes, level_start, all_keys, all_spare, all_waiting, first, last
):
    """Fill the tree's arrays for the clouds first … last - 1, whose points are put into Morton order, cell within
    crowded cell.

    To work with: all_keys (B, 2, N) uint32, all_spare (B, N) int32, and all_waiting (B, 2, N // CROWD + 2) int64, the
    ranges yet to be sorted, which never overlap.
    """
    low = np.empty(3, np.float32)
    counts = np.empty(2048, np.int64)
    for b in range(first, last):
        cloud, order, n = clouds[b], orders[b], lengths[b]
        keys, spare, waiting = all_keys[b], all_spare[b], all_waiting[b]
        for i in range(n):
            order[i] = i
        waiting[0, 0], waiting[1, 0] = 0, n
        left = 1
        while left > 0:
            left -= 1
            start, stop = waiting[0, left], waiting[1, left]
            small = stop - start <= SMALL_CLOUD
            if not _write_keys(cloud, order, start, stop, 7 if small else 10, low, keys[0]):
                continue
            _sort_by_keys(keys[0], order, keys[1], spare, start, stop, 11 if small else 10, 2 if small else 3, counts)
            run = start
            for i in range(start + 1, stop + 1):
                if i == stop or keys[0, i] != keys[0, run]:
                    if i - run > CROWD and i - run < stop - start:
                        waiting[0, left], waiting[1, left] = run, i
                        left += 1
                    run = i
        for i in range(n, len(order)):
            order[i] = order[n - 1]
        for block in range(points.shape[1]):
            for axis in range(3):
                for lane in range(LANES):
                    points[b, block, axis, lane] = cloud[order[block * LANES + lane], axis]
                if block * LANES < n:
                    values = load(points, (b, block, axis, 0))
                    boxes[b, block // LANES, axis, block % LANES] = least_of(values)
                    boxes[b, block // LANES, 3 + axis, block % LANES] = greatest_of(values)
        for level in range(1, len(level_start) - 1):
            for child in range(level_start[level] - level_start[level - 1]):
                group, below = level_start[level] + child // LANES, level_start[level - 1] + child
                for axis in range(3):
                    boxes[b, group, axis, child % LANES] = least_of(load(boxes, (b, below, axis, 0)))
                    boxes[b, group, 3 + axis, child % LANES] = greatest_of(load(boxes, (b, below, 3 + axis, 0)))
