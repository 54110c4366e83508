"""Pictures with the cameras that took them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .cameras import Cameras

AROUND = 3
"""Pixels about the object that are looked at as often as the object itself."""
ELSEWHERE = 0.15
"""How often the rest of the picture is looked at, in comparison."""


@dataclass(frozen=True, eq=False)
class Views:
    """B pictures with S × S pixels, and their cameras, on one device.

    pictures (B, S, S, 4) float32 in [0, 1]: sRGB, not premultiplied, and alpha. weights (B,) float32: how much each
    counts. certainty (B, S, S) float32 in [0, 1]: how much each of their pixels does, all alike where it is None.
    Raises ValueError where that does not fit together.
    """

    pictures: Tensor
    cameras: Cameras
    weights: Tensor
    certainty: Tensor | None = None

    def __post_init__(self) -> None:
        shape, count = self.pictures.shape, len(self.cameras)
        if len(shape) != 4 or shape[0] != count or shape[1] != shape[2] or shape[3] != 4:
            raise ValueError(f"{count} cameras need pictures of the shape ({count}, S, S, 4), not {tuple(shape)}.")
        if self.weights.shape != (count,) or not bool((self.weights >= 0).all()) or not bool(self.weights.any()):
            raise ValueError(f"weights must be {count} numbers, none negative and not all 0.")
        if self.certainty is not None and self.certainty.shape != shape[:3]:
            raise ValueError(f"certainty must have the shape {tuple(shape[:3])}, not {tuple(self.certainty.shape)}.")

    @classmethod
    def alike(cls, pictures: Tensor, cameras: Cameras) -> Views:
        """Views that all count the same."""
        return cls(pictures, cameras, torch.ones(len(cameras), device=pictures.device))

    def __len__(self) -> int:
        return len(self.cameras)

    def to(self, device: torch.device | str) -> Views:
        certainty = None if self.certainty is None else self.certainty.to(device)
        return Views(self.pictures.to(device), self.cameras.to(device), self.weights.to(device), certainty)


@dataclass(frozen=True, eq=False)
class Rays:
    """origins, directions (R, 3); color (R, 3): sRGB, not premultiplied; opacity (R,)."""

    origins: Tensor
    directions: Tensor
    color: Tensor
    opacity: Tensor


class RaySampler:
    """Draws rays through the views' pixels, more through and about the object, through views of more weight and through
    pixels that are certain."""

    def __init__(self, views: Views) -> None:
        alpha = views.pictures[..., 3]
        origins, directions = views.cameras.rays(views.pictures.shape[1])
        self.rays = Rays(
            origins.reshape(-1, 3),
            directions.reshape(-1, 3),
            views.pictures[..., :3].reshape(-1, 3),
            alpha.reshape(-1),
        )
        around = torch.nn.functional.max_pool2d(alpha[:, None], 2 * AROUND + 1, stride=1, padding=AROUND)[:, 0]
        likely = (ELSEWHERE + (1 - ELSEWHERE) * (around > 0)) * views.weights[:, None, None]
        if views.certainty is not None:
            likely = likely * views.certainty
        self.cumulative = likely.reshape(-1).double().cumsum(dim=0)

    def draw(self, count: int, generator: torch.Generator) -> Rays:
        """count rays, independent of one another; the generator is the CPU's."""
        drawn = torch.rand(count, generator=generator, dtype=torch.float64).to(self.cumulative.device)
        index = torch.searchsorted(self.cumulative, drawn * self.cumulative[-1]).clamp(max=len(self.cumulative) - 1)
        rays = self.rays
        return Rays(rays.origins[index], rays.directions[index], rays.color[index], rays.opacity[index])
