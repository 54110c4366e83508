"""Makes any closed surface a manifold without opening it: what edge collapses and marching cubes can leave behind."""

from __future__ import annotations

import numpy as np

from .topology import edge_groups, fans, half_edge_mates, next_corner, without_unused_vertices

SEPARATION = 0.02
"""How far copies of one vertex move apart: this share of the way to the middle of their own faces."""

SAME_PLACE = 1e-7
"""Vertices this near to one another, in model units, are at one place: float32 knows no finer ones at 1."""


def make_manifold(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same surface with two faces at each edge and one fan of faces around each vertex.

    vertices (V, 3) float, faces (F, 3) int: closed (each edge walked as often one way as the other) and outward, else
    ValueError. Vertices at one place become one, then faces that have a vertex twice and pairs of faces that cancel
    are dropped. Where more than two faces meet in an edge, or two fans in a vertex, the surface is cut along the air
    between its solids; the copies of a vertex move apart a little, so that whoever merges vertices by position does
    not undo the cut. No face is left of a surface that is flat all over.

    Returns vertices (V', 3) float32 and faces (F', 3) int32; unused vertices are gone.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = _first_at_place(vertices)[faces]
    faces = faces[lasting_faces(faces)]
    if not len(faces):
        return np.empty((0, 3), dtype=np.float32), np.empty((0, 3), dtype=np.int32)
    site = np.arange(len(vertices))
    while True:
        mate = half_edge_mates(vertices, faces)
        origin, faces = split_vertices(faces, mate)
        vertices, site = vertices[origin], site[origin]
        crowded = _crowded_half_edges(faces, mate)
        if not len(crowded):
            break
        vertices, faces = _split_edges(vertices, faces, mate, crowded)
        site = np.concatenate([site, site.max() + 1 + np.arange(len(vertices) - len(site))])
    vertices = _move_copies_apart(vertices, faces, site)
    vertices, faces = without_unused_vertices(vertices, faces)
    return vertices.astype(np.float32), faces


def _first_at_place(vertices: np.ndarray) -> np.ndarray:
    """For each vertex the first one at the same place, (V,)."""
    _, first, inverse = np.unique((vertices / SAME_PLACE).round(), axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)]


def lasting_faces(faces: np.ndarray) -> np.ndarray:
    """Which faces (F,) bool neither name a vertex twice nor are one of a pair of equal faces that look opposite ways.
    Without the others a closed surface is closed still."""
    a, b, c = faces.T
    keep = (a != b) & (b != c) & (c != a)
    number = np.flatnonzero(keep)
    if not len(number):
        return keep
    corners = np.sort(faces[number], axis=1)
    order = np.lexsort(corners.T)
    same = np.flatnonzero(np.r_[True, (np.diff(corners[order], axis=0) != 0).any(axis=1)])
    size = np.diff(same, append=len(order))
    for begin, count in zip(same[size > 1], size[size > 1], strict=True):
        group = order[begin : begin + count]
        turned = faces[number[group]]
        # Two orders of the same three vertices look the same way when one is a rotation of the other.
        lowest = np.argmin(turned, axis=1)
        is_one_way = turned[np.arange(count), (lowest + 1) % 3] == corners[group[0], 1]
        one_way, other_way = number[group[is_one_way]], number[group[~is_one_way]]
        pairs = min(len(one_way), len(other_way))
        keep[one_way[:pairs]] = False
        keep[other_way[:pairs]] = False
    return keep


def split_vertices(faces: np.ndarray, mate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each fan a vertex of its own; returns the old vertex of each new one, and the faces on the new ones."""
    label = fans(mate)
    old = np.empty(label.max(initial=-1) + 1, dtype=np.int64)
    old[label] = faces.reshape(-1)
    order = np.argsort(old, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return old[order], rank[label].reshape(-1, 3)


def _crowded_half_edges(faces: np.ndarray, mate: np.ndarray) -> np.ndarray:
    """One half-edge for each pair of mates too many on an edge, with no face in two of the pairs."""
    order, first, count = edge_groups(faces)
    chosen: list[int] = []
    busy: set[int] = set()
    for begin, size in zip(first[count > 2], count[count > 2], strict=True):
        group = order[begin : begin + size]
        pairs = [int(half_edge) for half_edge in group if half_edge < mate[half_edge]]
        for half_edge in pairs[1:]:
            touched = {half_edge // 3, int(mate[half_edge]) // 3}
            if busy.isdisjoint(touched):
                busy |= touched
                chosen.append(half_edge)
    return np.array(chosen, dtype=np.int64)


def _split_edges(
    vertices: np.ndarray, faces: np.ndarray, mate: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put a vertex of its own on each chosen half-edge and its mate, a little off towards the faces on both sides."""
    new = len(vertices) + np.arange(len(chosen))
    flat = faces.reshape(-1)
    faces = faces.copy()
    added_faces = []
    tips = []
    for half_edge in (chosen, mate[chosen]):
        start, end = flat[half_edge], flat[next_corner(half_edge)]
        tip = flat[next_corner(next_corner(half_edge))]
        faces[half_edge // 3] = np.stack([start, new, tip], axis=1)
        added_faces.append(np.stack([new, end, tip], axis=1))
        tips.append(vertices[tip])
    middle = (vertices[flat[chosen]] + vertices[flat[next_corner(chosen)]]) / 2
    added_vertices = middle + SEPARATION * ((tips[0] + tips[1]) / 2 - middle)
    return np.concatenate([vertices, added_vertices]), np.concatenate([faces, *added_faces])


def _move_copies_apart(vertices: np.ndarray, faces: np.ndarray, site: np.ndarray) -> np.ndarray:
    """Move the vertices that share a site towards the middle of the faces around each."""
    copied = np.bincount(site)[site] > 1
    if not copied.any():
        return vertices
    corners = faces.reshape(-1)
    number = np.bincount(corners, minlength=len(vertices))
    middles = np.repeat(vertices[faces].mean(axis=1), 3, axis=0)
    around = np.stack([np.bincount(corners, middles[:, axis], len(vertices)) for axis in range(3)], axis=1)
    middle = around / np.maximum(number, 1)[:, None]
    return np.where(copied[:, None], vertices + SEPARATION * (middle - vertices), vertices)
