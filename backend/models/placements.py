"""Where in model space a partial shape may lie: the prior knows whole shapes, centred and of one size.

What is missing decides where the middle of the whole is. A box says at most how far the missing part reaches, since
people draw boxes with room to spare; a scan lacks its far side. So there are several placements to try.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..representations.field import Field
from .observation import Observation

HALF_EXTENT = 0.9
SCAN_SCALE = 0.85
"""Share of model space's size that a scan is given, since the far side of it is missing."""
BOX_FILLED = (0.97, 1.0, 0.9, 0.8)
"""Shares of the way from the known part's bounds to the box's that the whole may reach, likelier ones first."""
DEPTH_BEHIND = (0.25, 0.05, 0.5, 0.12)
"""How much of the seen part's size the far side of a scan may lie behind it."""


@dataclass(frozen=True)
class Placement:
    """`scale` · x + `offset` (3,) takes a place of the observation to where the whole shape has it."""

    scale: float
    offset: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) float → (N, 3) float32."""
        return (points * self.scale + self.offset).astype(np.float32)


class PlacedField:
    """The field of a whole shape, asked at places of the observation."""

    def __init__(self, field: Field, placement: Placement) -> None:
        self.field, self.placement = field, placement

    def _moved(self, points: Tensor) -> Tensor:
        return points * self.placement.scale + torch.from_numpy(self.placement.offset).to(points)

    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, in the observation's unit."""
        return self.field.signed_distance(self._moved(points)) / self.placement.scale

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        return self.field.color(self._moved(points))


def placements(observation: Observation) -> list[Placement]:
    """The places to try, likeliest first, as many for each kind of observation."""
    low, high = (getattr(observation.surface, side)(axis=0).astype(np.float64) for side in ("min", "max"))
    if observation.unknown is not None:
        whole_low, whole_high = np.minimum(low, observation.unknown.low), np.maximum(high, observation.unknown.high)
        bounds = [(low + share * (whole_low - low), high + share * (whole_high - high)) for share in BOX_FILLED]
    elif observation.normals is not None:
        # The mean of the normals of what is seen points to where it was seen from.
        behind = -observation.normals.astype(np.float64).mean(axis=0)
        behind *= (high - low).max() / np.linalg.norm(behind).clip(1e-6)
        bounds = [(low + (share * behind).clip(max=0), high + (share * behind).clip(min=0)) for share in DEPTH_BEHIND]
    else:
        bounds = [(low, high)] * len(DEPTH_BEHIND)
    return [_centred(*pair) for pair in bounds]


def _centred(low: np.ndarray, high: np.ndarray) -> Placement:
    scale = 2 * HALF_EXTENT / (high - low).max()
    return Placement(float(scale), -(low + high) / 2 * scale)
