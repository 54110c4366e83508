"""Point clouds arranged for searching: blocks of 16 neighbouring points under a 16-ary tree of bounding boxes.

Points are sorted along a Morton curve (G. M. Morton, 1966), cut into blocks of 16 and boxed; 16 blocks make a group, 16
groups the next level, up to one group. Lanes of one block lie side by side in memory, so that a search compares 16
points at a time. Where many points share one cell of the curve the cell is sorted again within its own bounds, so that
clusters of any density, and coincident points, keep small boxes.
"""

from dataclasses import dataclass

import numpy as np

from .compiled import compiled
from .threads import parallel_for

LANES = 16
CROWD = 8 * LANES  # a curve cell with more points than this is sorted again, within its own bounds
SMALL_CLOUD = 8192  # up to this size 7 bits an axis tell the points apart and two counting passes sort them
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
    offsets = np.cumsum([0] + [len(clouds) for clouds, _ in parts])

    def arrange_range(start: int, stop: int) -> None:
        for (clouds, _), tree, offset in zip(parts, trees, offsets, strict=False):
            first, last = max(start - offset, 0), min(stop - offset, len(clouds))
            if first < last:
                _arrange(clouds, tree.lengths, tree.points, tree.order, tree.boxes, tree.level_start, first, last)

    parallel_for(arrange_range, int(offsets[-1]))
    return trees


def _empty_tree(clouds: np.ndarray, lengths: np.ndarray) -> BlockTree:
    batch, count = clouds.shape[:2]
    blocks = -(-count // LANES)
    starts, groups = [0], blocks
    while len(starts) == 1 or groups > 1:
        groups = -(-groups // LANES)
        starts.append(starts[-1] + groups)
    return BlockTree(
        np.empty((batch, blocks, 3, LANES), np.float32),
        np.empty((batch, blocks * LANES), np.int32),
        np.empty((batch, starts[-1], 6, LANES), np.float32),
        np.array(starts, np.int64),
        np.ascontiguousarray(lengths, np.int64),
        count,
    )


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
def _write_keys(cloud, order, start, stop, bits, keys):  # type: ignore[no-untyped-def]
    """Curve position of each point of order[start:stop] within those points' own bounds; False if all coincide."""
    low_x = high_x = cloud[order[start], 0]
    low_y = high_y = cloud[order[start], 1]
    low_z = high_z = cloud[order[start], 2]
    for i in range(start, stop):
        x, y, z = cloud[order[i], 0], cloud[order[i], 1], cloud[order[i], 2]
        low_x, high_x = min(low_x, x), max(high_x, x)
        low_y, high_y = min(low_y, y), max(high_y, y)
        low_z, high_z = min(low_z, z), max(high_z, z)
    extent = max(max(high_x - low_x, high_y - low_y), high_z - low_z)
    if not extent > np.float32(0):
        return False
    cells = np.float32(1 << bits)
    last = (1 << bits) - 1
    scale = cells / extent
    for i in range(start, stop):
        x = min(int((cloud[order[i], 0] - low_x) * scale), last)
        y = min(int((cloud[order[i], 1] - low_y) * scale), last)
        z = min(int((cloud[order[i], 2] - low_z) * scale), last)
        keys[i] = SPREAD[x] | (SPREAD[y] << np.uint32(1)) | (SPREAD[z] << np.uint32(2))
    return True


@compiled
def _sort_along_curve(cloud, order, n):  # type: ignore[no-untyped-def]
    """Put order[:n] into Morton order, cell within crowded cell."""
    keys = np.empty(n, np.uint32)
    spare_keys = np.empty(n, np.uint32)
    spare_order = np.empty(n, np.int32)
    counts = np.empty(2048, np.int64)
    waiting = np.empty((2, n // CROWD + 2), np.int64)  # ranges yet to be sorted: they never overlap
    waiting[0, 0], waiting[1, 0] = 0, n
    left = 1
    while left > 0:
        left -= 1
        start, stop = waiting[0, left], waiting[1, left]
        small = stop - start <= SMALL_CLOUD
        if not _write_keys(cloud, order, start, stop, 7 if small else 10, keys):
            continue
        _sort_by_keys(keys, order, spare_keys, spare_order, start, stop, 11 if small else 10, 2 if small else 3, counts)
        run = start
        for i in range(start + 1, stop + 1):
            if i == stop or keys[i] != keys[run]:
                if i - run > CROWD and i - run < stop - start:
                    waiting[0, left], waiting[1, left] = run, i
                    left += 1
                run = i


@compiled
def _arrange(clouds, lengths, points, orders, boxes, level_start, first, last):  # type: ignore[no-untyped-def]
    """Fill the tree's arrays for the clouds first … last - 1."""
    blocks = points.shape[1]
    for b in range(first, last):
        cloud, order, n = clouds[b], orders[b], lengths[b]
        for i in range(n):
            order[i] = i
        _sort_along_curve(cloud, order, n)
        for i in range(n, len(order)):
            order[i] = order[n - 1]
        used = (n + LANES - 1) // LANES
        box = boxes[b]
        for group in range(box.shape[0]):
            for axis in range(3):
                for lane in range(LANES):
                    box[group, axis, lane] = FAR
                    box[group, 3 + axis, lane] = -FAR
        for block in range(used):
            for axis in range(3):
                low, high = FAR, -FAR
                for lane in range(LANES):
                    value = cloud[order[block * LANES + lane], axis]
                    points[b, block, axis, lane] = value
                    low, high = min(low, value), max(high, value)
                box[block // LANES, axis, block % LANES] = low
                box[block // LANES, 3 + axis, block % LANES] = high
        for block in range(used, blocks):
            for axis in range(3):
                for lane in range(LANES):
                    points[b, block, axis, lane] = points[b, used - 1, axis, lane]
        for level in range(1, len(level_start) - 1):
            for child in range(level_start[level] - level_start[level - 1]):
                group = level_start[level] + child // LANES
                for axis in range(3):
                    low, high = FAR, -FAR
                    for lane in range(LANES):
                        low = min(low, box[level_start[level - 1] + child, axis, lane])
                        high = max(high, box[level_start[level - 1] + child, 3 + axis, lane])
                    box[group, axis, child % LANES] = low
                    box[group, 3 + axis, child % LANES] = high
