"""A balanced binary tree of boxes over triangles, held in plain arrays.

Elements are sorted along a Morton curve (G. M. Morton, 1966) and cut into leaves of `leaf_size`; the number of leaves
is a power of two, so that node n has the children 2n + 1 and 2n + 2 and no pointers are stored.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BoxTree:
    """order: (leaves · leaf_size,) int64, the element at each place, -1 where a leaf is not full.
    low, high: (2 · leaves - 1, 3) float64, each node's box; an empty node's low is above its high.
    """

    order: np.ndarray
    low: np.ndarray
    high: np.ndarray
    leaf_size: int

    @property
    def leaves(self) -> int:
        """The number of leaves; the first one is node leaves - 1."""
        return (len(self.low) + 1) // 2

    def boxes_of(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For every node the box around its elements' boxes (E, 3), in the elements' own order."""
        return (
            self._gather(low, np.inf, np.minimum),
            self._gather(high, -np.inf, np.maximum),
        )

    def sums_of(self, values: np.ndarray) -> np.ndarray:
        """For every node the sum over its elements of values (E, C)."""
        return self._gather(values, 0.0, np.add)

    def _gather(self, values: np.ndarray, nothing: float, combine: np.ufunc) -> np.ndarray:
        padded = np.where((self.order >= 0)[:, None], values[self.order], nothing)
        level = combine.reduce(padded.reshape(self.leaves, self.leaf_size, -1), axis=1)
        levels = [level]
        while len(level) > 1:
            level = combine(level[0::2], level[1::2])
            levels.append(level)
        return np.ascontiguousarray(np.concatenate(levels[::-1]))


def build_box_tree(low: np.ndarray, high: np.ndarray, *, leaf_size: int) -> BoxTree:
    """A tree over elements with the boxes low, high (E, 3) float64, E ≥ 1."""
    count = len(low)
    leaves = 1
    while leaves * leaf_size < count:
        leaves *= 2
    curve = morton_order(low + high)
    # Spread evenly: every leaf gets nearly the same number, so that none is far emptier than its neighbours.
    ends = np.arange(leaves + 1) * count // leaves
    places = (
        np.repeat(np.arange(leaves) * leaf_size, np.diff(ends)) + np.arange(count) - np.repeat(ends[:-1], np.diff(ends))
    )
    order = np.full(leaves * leaf_size, -1, np.int64)
    order[places] = curve
    empty = BoxTree(order, np.empty((2 * leaves - 1, 3)), np.empty((2 * leaves - 1, 3)), leaf_size)
    return BoxTree(order, *empty.boxes_of(low, high), leaf_size)


def boxes_of_triangles(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The low and high corners (E, 3) of the boxes around triangles (E, 3, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]  # far faster than a reduction along so short an axis
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def morton_order(points: np.ndarray) -> np.ndarray:
    """The places of points (N, 3) float64 in the order of the Morton curve, (N,) int64."""
    return np.argsort(_morton_codes(points), kind="stable") if len(points) else np.empty(0, np.int64)


def _morton_codes(centers: np.ndarray) -> np.ndarray:
    """Place of each centre (E, 3) on the Morton curve through their bounds, as uint64 with 20 bits an axis."""
    least = centers.min(axis=0)
    extent = float((centers.max(axis=0) - least).max()) or 1.0
    cells = ((centers - least) * ((2**20 - 1) / extent)).astype(np.uint64)
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        cells = (cells | (cells << np.uint64(shift))) & np.uint64(mask)
    return cells[:, 0] | (cells[:, 1] << np.uint64(1)) | (cells[:, 2] << np.uint64(2))
