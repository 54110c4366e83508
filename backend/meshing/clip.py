"""Cutting a mesh along planes, so that neighbours are cut at the same places."""

from __future__ import annotations

import numpy as np

from .topology import without_unused_vertices


def outside_of_box(
    vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a mesh, vertices (V, 3) float and faces (F, 3) int, outside of an axis-aligned box, cut along it and
    left open there: vertices float64, faces int32. Faces that lie in a side of the box count as outside."""
    cut = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    for axis in range(3):
        for place in (low[axis], high[axis]):
            cut = split_along_plane(*cut, axis, float(place))
    middles = cut[0][cut[1]].mean(axis=1)
    return without_unused_vertices(cut[0], cut[1][~((middles > low) & (middles < high)).all(axis=1)])


def split_along_plane(
    vertices: np.ndarray, faces: np.ndarray, axis: int, place: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same surface with no face on both sides of the plane where coordinate `axis` is `place`.

    vertices (V, 3) float64, faces (F, 3) int. An edge is cut at one place, whoever shares it, so that no crack opens.
    """
    side = np.sign(vertices[:, axis] - place).astype(np.int64)
    sides = side[faces]
    crossing = (sides.min(axis=1) < 0) & (sides.max(axis=1) > 0)
    if not crossing.any():
        return vertices, faces
    whole, cut, sides = faces[~crossing], faces[crossing], sides[crossing]
    # Turned so that the corner which is alone on its side comes first; with one on the plane, that one does.
    through = (sides == 0).any(axis=1)
    alone = np.where(through, 0, -np.sign(sides.sum(axis=1)))
    first = np.argmax(sides == alone[:, None], axis=1)
    a, b, c = np.take_along_axis(cut, (first[:, None] + np.arange(3)) % 3, axis=1).T
    edges = np.concatenate([np.stack([b, c], 1)[through], np.stack([a, b], 1)[~through], np.stack([a, c], 1)[~through]])
    ends, number = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    start, end = vertices[ends[:, 0]], vertices[ends[:, 1]]
    share = (place - start[:, axis]) / (end[:, axis] - start[:, axis])
    added = start + share[:, None] * (end - start)
    added[:, axis] = place
    middle = len(vertices) + number.reshape(-1)
    count = int(through.sum())
    opposite, to_b, to_c = middle[:count], *np.split(middle[count:], 2)
    parts = [
        whole,
        np.stack([a[through], b[through], opposite], axis=1),
        np.stack([a[through], opposite, c[through]], axis=1),
        np.stack([a[~through], to_b, to_c], axis=1),
        np.stack([to_b, b[~through], c[~through]], axis=1),
        np.stack([to_b, c[~through], to_c], axis=1),
    ]
    return np.concatenate([vertices, added]), np.concatenate(parts)
