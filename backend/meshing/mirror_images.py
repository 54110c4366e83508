"""Shells outside of a box, joined to the mirror images in it.

A cut at the box closes a shell with a cap, and so it does its image: the union of both takes the caps away. But where
shells overlap, as the cushions of a sofa and its frame do, a union of all takes away one of two caps at one place. So
shells stay apart, and each is united with the image whose cap is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import manifold3d
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .numbered_solids import OTHERS, NumberedSolid

SAME_CAP = 1e-5
"""In sizes of the box: caps whose places and sizes differ by less are one."""


@dataclass(frozen=True)
class Mirror:
    """The plane on which coordinate `axis` is `at`; what it does not show of the box lies between `low` and `high`
    (3,), where low is below high."""

    axis: int
    at: float
    low: np.ndarray
    high: np.ndarray

    @property
    def reflection(self) -> np.ndarray:
        """(3, 4) float64, x → mirror image."""
        matrix = np.eye(3, 4)
        matrix[self.axis] *= -1
        matrix[self.axis, 3] = 2 * self.at
        return matrix


def with_images(shells: Sequence[NumberedSolid], box: NumberedSolid, mirror: Mirror) -> list[NumberedSolid]:
    """What of the shells lies outside of the box, and the mirror images of them in it, joined along the box."""
    cut = [replace(shell, solid=shell.solid - box.solid) for shell in shells]
    cut += [replace(shell, solid=shell.solid.transform(mirror.reflection) ^ box.solid) for shell in shells]
    pieces = [piece for piece in cut if not piece.solid.is_empty()]
    bounds = np.reshape(box.solid.bounding_box(), (2, 3))
    found = [_caps(piece, bounds) for piece in pieces]
    caps, owner = (
        np.concatenate([np.empty((0, 6)), *found]),
        np.repeat(np.arange(len(pieces)), [len(own) for own in found]),
    )
    links = cKDTree(caps).query_pairs(SAME_CAP, output_type="ndarray") if len(caps) else np.empty((0, 2), np.int64)
    ends = owner[links].T
    graph = coo_matrix((np.ones(len(links), bool), (ends[0], ends[1])), shape=(len(pieces),) * 2)
    group = connected_components(graph, directed=False)[1]
    joined = []
    for index in range(int(group.max(initial=-1)) + 1):
        members = [piece for piece, own in zip(pieces, group, strict=True) if own == index]
        whole = manifold3d.Manifold.batch_boolean([piece.solid for piece in members], manifold3d.OpType.Add)
        joined.append(replace(members[0], solid=whole))
    return joined


def _caps(piece: NumberedSolid, bounds: np.ndarray) -> np.ndarray:
    """What a piece's caps on each side of the box are known by, (N, 6): which side it is and whether of a cavity, and
    in sizes of the box the middle and the root of the area."""
    corners, number = piece.triangles()
    corners, size = corners[number == OTHERS], float(np.ptp(bounds, axis=0).max())
    caps = []
    for side, (end, axis) in enumerate(np.ndindex(2, 3)):
        on_side = (np.abs(corners[:, :, axis] - bounds[end, axis]) < SAME_CAP * size).all(axis=1)
        a, b, c = corners[on_side].transpose(1, 0, 2)
        areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        if areas.sum() > 0:
            middle = areas @ ((a + b + c) / 3 - bounds[0]) / areas.sum()
            caps.append([side, piece.inside_out, *middle / size, np.sqrt(areas.sum()) / size])
    return np.reshape(caps, (-1, 6))
