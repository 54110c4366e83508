"""How triangles hang together: half-edges, their mates, fans around vertices, connected parts.

Half-edge and corner share one number: h = 3 f + c is corner c of face f, and the half-edge that runs from it to the
next corner of that face. Faces are (F, 3) arrays of vertex indices throughout.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def next_corner(corner: np.ndarray) -> np.ndarray:
    """The corner that follows in the same face; any shape of corner numbers."""
    return np.where(corner % 3 == 2, corner - 2, corner + 1)


def half_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last vertex of each half-edge, (3 F,) int64 each."""
    start = faces.astype(np.int64).reshape(-1)
    return start, np.roll(faces, -1, axis=1).astype(np.int64).reshape(-1)


def edge_groups(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half-edges grouped by the undirected edge that they lie on.

    Returns order (3 F,): half-edge numbers, those of one edge side by side; first (E,): where each edge's begin in
    order; count (E,): how many it has (2 where the surface is a manifold).
    """
    start, end = half_edges(faces)
    key = np.minimum(start, end) * (int(faces.max(initial=0)) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    return order, first, np.diff(first, append=len(order))


def is_closed(faces: np.ndarray) -> bool:
    """Whether every edge is walked as often one way as the other, so that the surface has no border."""
    if not len(faces):
        return False
    order, first, _ = edge_groups(faces)
    return _is_balanced(faces, order, first)


def _is_balanced(faces: np.ndarray, order: np.ndarray, first: np.ndarray) -> bool:
    start, end = half_edges(faces)
    return not np.add.reduceat(np.sign(end - start)[order], first).any()


def half_edge_mates(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """For each half-edge the one across the edge, (3 F,) int64. The surface must be closed and have no flat faces.

    Where more than two faces meet in an edge, the two that bound the same wedge of solid are mates, so that solids
    which touch in an edge come apart (the cutting of Guéziec et al., "Cutting and Stitching", 2001).
    """
    order, first, count = edge_groups(faces)
    if not len(faces) or not _is_balanced(faces, order, first):
        raise ValueError("Only a closed surface has a mate for each half-edge.")
    mate = np.empty(faces.size, dtype=np.int64)
    simple = first[count == 2]
    mate[order[simple]] = order[simple + 1]
    mate[order[simple + 1]] = order[simple]
    for begin, size in zip(first[count != 2], count[count != 2], strict=True):
        for one, other in _mates_around_edge(vertices, faces, order[begin : begin + size]):
            mate[one], mate[other] = other, one
    return mate


def _mates_around_edge(vertices: np.ndarray, faces: np.ndarray, group: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of half-edges that bound one wedge of solid, among all half-edges of one edge."""
    flat = faces.reshape(-1)
    start, end = flat[group], flat[next_corner(group)]
    low, high = vertices[min(start[0], end[0])], vertices[max(start[0], end[0])]
    axis = (high - low).astype(np.float64)
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    spokes = vertices[flat[next_corner(next_corner(group))]] - low
    angle = np.arctan2(spokes @ np.cross(axis, side) / max(float(np.linalg.norm(axis)), 1e-30), spokes @ side)

    # Seen along the edge with angles growing counter-clockwise, a face walked from low to high has its outside at
    # larger angles: it ends a wedge of solid, and a face walked the other way begins one. Brackets, so to say.
    around = np.argsort(angle, kind="stable")
    begins = (start > end)[around]
    depth = np.cumsum(np.where(begins, 1, -1))
    shift = int(np.argmin(depth)) + 1
    waiting: list[int] = []
    for half_edge, is_begin in zip(np.roll(group[around], -shift), np.roll(begins, -shift), strict=True):
        if is_begin:
            waiting.append(int(half_edge))
        else:
            yield waiting.pop(), int(half_edge)


def fans(mate: np.ndarray) -> np.ndarray:
    """Which corners belong to one closed fan around a vertex: a label for each corner, (3 F,)."""
    corners = np.arange(len(mate))
    links = coo_matrix((np.ones(len(mate), dtype=bool), (corners, next_corner(mate))), shape=(len(mate),) * 2)
    return connected_components(links, directed=False)[1]


def connected_parts(faces: np.ndarray) -> np.ndarray:
    """Which faces hang together by shared vertices: a label from 0 for each face, (F,)."""
    start, end = half_edges(faces)
    size = int(faces.max(initial=-1)) + 1
    links = coo_matrix((np.ones(len(start), dtype=bool), (start, end)), shape=(size, size))
    labels = connected_components(links, directed=False)[1][faces[:, 0]]
    return np.unique(labels, return_inverse=True)[1]


def without_unused_vertices(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same faces on only those vertices that they use, in the same order."""
    used = np.zeros(len(vertices), dtype=bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces].astype(np.int32)
