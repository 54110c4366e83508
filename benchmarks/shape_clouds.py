"""Shapes as small clouds of points, and which training shapes a cloud is nearest to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from backend.color import linear_to_srgb
from backend.data.captions import proportions
from backend.data.packing import PackedData
from backend.data.sampling import SURFACE_POINTS
from backend.data.surface import sample_surface
from backend.kernels import chamfer_distance_l1
from backend.meshing.bake import field_colors
from backend.meshing.repair import make_manifold
from backend.meshing.solids import keep_solids
from backend.meshing.surface import extract_surface
from backend.representations.field import Field

CLOUD_POINTS = 2048
CLOUD_DETAIL = 64
"""Cells along a side for the mesh that a field's cloud is drawn from."""
HALF_EXTENT = 0.9
PAIRS_AT_ONCE = 256
VOTERS = 3
SHORTLIST = 64
"""Shapes that are ranked with all points, after a quarter of them has picked these."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """positions (2048, 3) float32, spread by area, centred and scaled to a largest half-extent of 0.9; srgb (2048, 3)
    uint8; proportion (2,): height over the larger ground extent, width over depth."""

    positions: np.ndarray
    srgb: np.ndarray
    proportion: np.ndarray


def cloud(positions: np.ndarray, srgb: np.ndarray) -> Cloud:
    """From surface points (8192, 3) in their order along the surface, and their colours (8192, 3) uint8 sRGB."""
    positions = positions.astype(np.float32)
    low, high = positions.min(axis=0), positions.max(axis=0)
    extents = (high - low).clip(1e-3)
    every = len(positions) // CLOUD_POINTS
    placed = (positions[::every] - (low + high) / 2) * (2 * HALF_EXTENT / extents.max())
    return Cloud(placed, np.asarray(srgb[::every]), proportions(extents[None])[0])


def cloud_of_field(field: Field) -> Cloud:
    """From the field's finished surface, without what meshing throws away. Raises InputError when it is empty."""
    vertices, faces = keep_solids(*make_manifold(*extract_surface(field, CLOUD_DETAIL)))
    points = sample_surface(vertices, faces, SURFACE_POINTS, np.random.default_rng(0)).positions
    return cloud(points, np.rint(255 * linear_to_srgb(field_colors(field, points))).astype(np.uint8))


def quarter_turn(positions: np.ndarray, turns: int) -> np.ndarray:
    """(N, 3) positions turned about Z by `turns` × 90°."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns % 4]
    return positions @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]], positions.dtype)


class TrainingShapes:
    """The clouds of a packed data set, with class and caption of each."""

    def __init__(self, data: PackedData) -> None:
        self.data = data
        self.clouds = [cloud(*pair) for pair in zip(data.surface_positions, data.surface_colors, strict=True)]
        self.classes = [record["class"] for record in data.records]
        self.captions = [record["caption"] for record in data.records]
        self.positions = torch.from_numpy(np.stack([shape.positions for shape in self.clouds]))

    def __len__(self) -> int:
        return len(self.clouds)

    def distances(self, positions: np.ndarray, among: Sequence[int] | None = None, *, every: int = 1) -> np.ndarray:
        """Chamfer-L1 (n,) from the points (2048, 3) to every training shape, or to those in `among`, in model units.

        every: takes only each so-manieth point of both.
        """
        own = torch.from_numpy(np.ascontiguousarray(positions[::every], dtype=np.float32))
        theirs = self.positions if among is None else self.positions[list(among)]
        parts = theirs[:, ::every].split(PAIRS_AT_ONCE)
        return np.concatenate(
            [
                chamfer_distance_l1(own.expand(len(part), -1, -1), part.contiguous(), reduction="none").numpy()
                for part in parts
            ]
        )

    def nearest(self, positions: np.ndarray, left_out: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Indices and Chamfer-L1 of the SHORTLIST training shapes nearest to the points (2048, 3), nearest first.

        left_out: the index of one that does not count.
        """
        rough = self.distances(positions, every=4)
        if left_out is not None:
            rough[left_out] = np.inf
        best = np.argsort(rough, kind="stable")[: min(SHORTLIST, int(np.isfinite(rough).sum()))]
        exact = self.distances(positions, best.tolist())
        order = np.argsort(exact, kind="stable")
        return best[order], exact[order]

    def nearest_in_any_turn(self, positions: np.ndarray) -> tuple[int, int]:
        """Index of the training shape nearest to the points (2048, 3), and the quarter turns that bring it there.

        Ranked with a quarter of the points first, and the best few with all of them.
        """
        turned = [quarter_turn(positions, -turns) for turns in range(4)]
        rough = np.stack([self.distances(points, every=4) for points in turned])
        best = np.argsort(rough, axis=None)[: SHORTLIST // 8]
        pairs = [divmod(int(place), len(self)) for place in best]
        exact = [float(self.distances(turned[turns], [index])[0]) for turns, index in pairs]
        turns, index = pairs[int(np.argmin(exact))]
        return index, turns


def class_by_vote(nearest: Sequence[str]) -> str:
    """Of shapes' classes, nearest shape first: that of most of the first three, or the first where all three differ."""
    return Counter(nearest[:VOTERS]).most_common(1)[0][0]  # of equally common ones the first met, which is the nearest


def mean_pairwise_distance(clouds: Sequence[Cloud]) -> float:
    """The mean Chamfer-L1 between two of the clouds, in model units; not a number for fewer than two."""
    if len(clouds) < 2:
        return float("nan")
    positions = torch.from_numpy(np.stack([shape.positions for shape in clouds]))
    first, second = torch.triu_indices(len(clouds), len(clouds), offset=1)
    return float(chamfer_distance_l1(positions[first], positions[second]))
