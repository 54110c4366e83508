"""A closed mesh without its handles: each is cut along a short loop around it, and both ends are closed by fans.

What is folded where a handle has gone can so be laid out in two discs, one for each end. The loops are those of a tree
of shortest paths and a tree of faces across the other edges, the edges with the longest loops first: the edges that
neither takes close the shortest loops from the root that do not part the surface (Erickson and Whittlesey, "Greedy
optimal homotopy and homology generators", 2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree

from .topology import edge_groups, half_edges

REROOTINGS = 2
"""Times that a shorter loop is looked for from the far side of the last one."""


@dataclass(frozen=True)
class CutMesh:
    """faces (F', 3) int64 of genus 0, the first F those of the mesh that was cut; source (V',): the vertex of that mesh
    which each vertex is or is a copy of; the first V are themselves, and the tip of a fan has one of its rim's."""

    faces: np.ndarray
    source: np.ndarray


def without_handles(vertices: np.ndarray, faces: np.ndarray) -> CutMesh:
    """Cut closed faces (F, 3) at vertices (V, 3)."""
    faces, source = faces.astype(np.int64), np.arange(len(vertices))
    while (loop := _short_loop(vertices[source], faces)) is not None:
        copies = len(source) + np.arange(len(loop))
        left = [_left_of(faces, *three) for three in zip(np.roll(loop, 1), loop, np.roll(loop, -1), strict=True)]
        for vertex, copy, cut in zip(loop, copies, left, strict=True):
            faces[cut] = np.where(faces[cut] == vertex, copy, faces[cut])
        tips = copies[-1] + np.array([[1], [2]]) + np.zeros(len(loop), dtype=np.int64)
        fans = [(tips[0], np.roll(copies, -1), copies), (tips[1], loop, np.roll(loop, -1))]
        faces = np.concatenate([faces, *(np.stack(fan, axis=1) for fan in fans)])
        source = np.concatenate([source, source[loop], source[loop[:1]], source[loop[:1]]])
    return CutMesh(faces, source)


def _short_loop(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray | None:
    """The vertices, in their order, of a short loop that does not part the surface; None where each does."""
    part = connected_components(_graph(*half_edges(faces), len(vertices)), directed=False)[1]
    roots = np.unique(part, return_index=True)[1]
    shortest: np.ndarray | None = None
    for _ in range(1 + REROOTINGS):
        loops = _loops(vertices, faces, roots)
        if not loops:
            return None
        shortest = min(loops, key=lambda loop: _length(vertices, loop))
        roots[part[shortest[0]]] = shortest[len(shortest) // 2]  # where it is farthest from the last root
    return shortest


def _loops(vertices: np.ndarray, faces: np.ndarray, roots: np.ndarray) -> list[np.ndarray]:
    """Two loops for each handle, none of which parts the surface, made of shortest paths from the roots."""
    start, end = half_edges(faces)
    order, first, _ = edge_groups(faces)
    start, end, sides = start[order[first]], end[order[first]], order[first[:, None] + [0, 1]] // 3
    length = np.linalg.norm(vertices[start] - vertices[end], axis=1) + 1e-9  # an edge of no length is an edge still
    away, before = dijkstra(
        _graph(start, end, len(vertices), length), False, roots, return_predecessors=True, min_only=True
    )[:2]
    other = (before[start] != end) & (before[end] != start)
    start, end, sides = start[other], end[other], np.sort(sides[other], axis=1)
    around = away[start] + away[end] + length[other]
    across = minimum_spanning_tree(coo_matrix((-around, sides.T), shape=(len(faces),) * 2)).tocoo()
    taken = np.isin(
        sides @ [len(faces), 1], np.stack([across.row, across.col], axis=1).astype(np.int64) @ [len(faces), 1]
    )
    return [_loop(before, *ends) for ends in zip(start[~taken], end[~taken], strict=True)]


def _loop(before: np.ndarray, start: int, end: int) -> np.ndarray:
    """The loop of the edge from start to end and the paths from both to where these meet."""
    one, other = _path(before, start), _path(before, end)
    while len(one) > 1 and len(other) > 1 and one[-2] == other[-2]:
        one.pop()
        other.pop()
    return np.array(one[::-1] + other[:-1])


def _path(before: np.ndarray, vertex: int) -> list[int]:
    path = [int(vertex)]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path


def _left_of(faces: np.ndarray, before: int, vertex: int, after: int) -> np.ndarray:
    """The faces around a vertex, as numbers, on the left of the way over it from one vertex to another."""
    around = np.flatnonzero((faces == vertex).any(axis=1))
    following = {}
    for face in around:
        corner = int(np.flatnonzero(faces[face] == vertex)[0])
        following[int(faces[face, corner - 2])] = int(faces[face, corner - 1]), face
    left = []
    while after != before:
        after, face = following[int(after)]
        left.append(face)
    return np.array(left)


def _length(vertices: np.ndarray, loop: np.ndarray) -> float:
    return float(np.linalg.norm(vertices[loop] - vertices[np.roll(loop, -1)], axis=1).sum())


def _graph(start: np.ndarray, end: np.ndarray, count: int, length: np.ndarray | None = None) -> csr_matrix:
    return coo_matrix((np.ones(len(start)) if length is None else length, (start, end)), shape=(count, count)).tocsr()
