"""Joins what hangs together but for a hair: the parts of a decoded shape with next to nothing between them.

Where a thin rod is only nearly inside, a field's surface is a string of beads. Between two beads the field stays close
to zero, and where it does the rod was. Such ways are shortest paths through a graph of the grid's nodes whose edges
cost the signed distance along them; of all that lead from part to part, a minimum spanning tree is bridged (Mehlhorn,
"A faster approximation algorithm for the Steiner problem in graphs", 1988).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, dijkstra, minimum_spanning_tree

from .sparse_grid import DistanceGrid

WIDEST_GAP = 0.025
"""Of a way from part to part no place is farther from both than half of this, in model units."""
RADIUS = 0.01
"""Of bridges, in model units."""
COST_OF_LENGTH = 0.1
"""What a way costs by its length alone, in shares of what it costs at the middle of the widest gap."""


@dataclass(frozen=True)
class _Ways:
    """The cheapest way between each two of the parts that have one.

    parts (W, 2): from 0; costs (W,); meetings (W, 2): nodes, as places in `nodes`, where the ways out of both parts
    meet. nodes (N,): flat indices into the grid; previous (N,): the node before on the way out of a part, negative at
    the part itself.
    """

    parts: np.ndarray
    costs: np.ndarray
    meetings: np.ndarray
    nodes: np.ndarray
    previous: np.ndarray

    def between(self, way: int) -> Iterator[int]:
        """The nodes of a way that lie outside of both parts, as flat indices."""
        for node in self.meetings[way]:
            while self.previous[node] >= 0:
                yield int(self.nodes[node])
                node = self.previous[node]


def bridged(grid: DistanceGrid, smallest_share: float) -> DistanceGrid:
    """The grid with bridges between parts that are near enough to one another; the same where it is one part.

    What would hang on a bridge and holds less than `smallest_share` of the largest part's volume is left as it is.
    """
    inside = grid.values < 0
    parts, count = ndimage.label(inside)
    if count < 2:
        return grid
    ways = _cheapest_ways(grid, inside, parts.ravel() - 1)
    volumes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    path = [node for way in _worthwhile(ways, volumes, smallest_share) for node in ways.between(way)]
    return replace(grid, values=_with_rods(grid, np.unique(path).astype(np.int64))) if path else grid


def _cheapest_ways(grid: DistanceGrid, inside: np.ndarray, part_of: np.ndarray) -> _Ways:
    """part_of (n³,): the part that a node is in, −1 outside."""
    half = WIDEST_GAP / 2
    distance = np.maximum(grid.values, 0) / grid.gradient
    edges = _edges(distance < half, inside)
    costs = (distance.ravel()[edges].mean(axis=0) + COST_OF_LENGTH * half) * (2 / grid.cells)
    nodes, places = np.unique(edges, return_inverse=True)
    start, end = places.reshape(edges.shape)
    graph = csr_matrix((costs, (start, end)), shape=(len(nodes), len(nodes)))
    sources = np.flatnonzero(part_of[nodes] >= 0)
    reached, previous, source = dijkstra(
        graph, directed=False, indices=sources, return_predecessors=True, min_only=True
    )
    # An edge whose ends are nearest to two parts is where ways out of both meet.
    there = np.where(np.isfinite(reached), part_of[nodes[np.maximum(source, 0)]], -1)
    meets = (there[start] != there[end]) & (there[start] >= 0) & (there[end] >= 0)
    start, end, costs = start[meets], end[meets], (reached[start] + costs + reached[end])[meets]
    pairs = np.sort(np.stack([there[start], there[end]], axis=1), axis=1)
    order = np.argsort(costs, kind="stable")
    pairs, first = np.unique(pairs[order], axis=0, return_index=True)
    chosen = order[first]
    return _Ways(pairs, costs[chosen], np.stack([start, end], axis=1)[chosen], nodes, previous)


def _edges(near: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Flat indices (2, E) of both ends of all edges between two nodes that are `near` and not both inside."""
    found = []
    for axis in range(3):
        lower, upper = [slice(None)] * 3, [slice(None)] * 3
        lower[axis], upper[axis] = slice(-1), slice(1, None)
        one, other = tuple(lower), tuple(upper)
        edge = near[one] & near[other] & ~(inside[one] & inside[other])
        start = np.ravel_multi_index(np.nonzero(edge), near.shape)
        found.append(np.stack([start, start + near.strides[axis] // near.itemsize]))
    return np.concatenate(found, axis=1)


def _worthwhile(ways: _Ways, volumes: np.ndarray, smallest_share: float) -> Iterator[int]:
    """The ways of the minimum spanning trees that lead to enough volume."""
    count = len(volumes)
    a, b = ways.parts.T
    tree = minimum_spanning_tree(csr_matrix((ways.costs, (a, b)), shape=(count, count)))
    number = {(int(one), int(other)): way for way, (one, other) in enumerate(ways.parts)}
    left = set(range(count))
    for root in np.argsort(-volumes, kind="stable"):
        if root not in left:
            continue
        order, before = breadth_first_order(tree, root, directed=False)
        left.difference_update(order.tolist())
        beyond = volumes.astype(np.int64)
        for part in order[:0:-1]:
            beyond[before[part]] += beyond[part]
            if beyond[part] >= smallest_share * volumes.max():
                yield number[min(part, before[part]), max(part, before[part])]


def _with_rods(grid: DistanceGrid, path: np.ndarray) -> np.ndarray:
    """The grid's values, united with everything within RADIUS of the nodes of a path, which are inside in any case."""
    shape, cell = grid.values.shape, 2 / grid.cells
    values = grid.values.copy()
    values.ravel()[path] = -RADIUS * grid.gradient
    reach = int(np.ceil(RADIUS / cell)) + 1
    offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    away = (np.linalg.norm(offsets, axis=1) * cell - RADIUS) * grid.gradient
    at = np.stack(np.unravel_index(path, shape), axis=1)[:, None] + offsets
    within = ((at >= 0) & (at < shape)).all(axis=2)
    np.minimum.at(values, tuple(at[within].T), np.broadcast_to(away, within.shape)[within].astype(np.float32))
    return values
