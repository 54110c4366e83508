"""Pinhole cameras on orbits about the origin: what novel views, guidance and radiance fields share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

FIELD_OF_VIEW = math.radians(40)
"""Of the standard framing, from edge to edge."""
FRAMED = 1.35
"""The sphere about the origin that fills the picture in the standard framing (model units)."""
RADIUS = FRAMED / math.sin(FIELD_OF_VIEW / 2)
"""Of the standard framing: how far cameras are from the origin (model units)."""


@dataclass(frozen=True, eq=False)
class Cameras:
    """B cameras with square pictures that look at the origin of model space, Z up in their pictures.

    azimuth (B,): radians from the front (−Y) towards +X. elevation (B,): radians above the ground, within ±π/2.
    radius (B,): distance from the origin in model units. All float32 on one device. field_of_view: radians from edge to
    edge. Raises ValueError where shapes differ.
    """

    azimuth: torch.Tensor
    elevation: torch.Tensor
    radius: torch.Tensor
    field_of_view: float = FIELD_OF_VIEW

    def __post_init__(self) -> None:
        shapes = {tuple(part.shape) for part in (self.azimuth, self.elevation, self.radius)}
        if len(shapes) != 1 or self.azimuth.ndim != 1:
            raise ValueError(f"azimuth, elevation and radius must share one shape (B,), not {sorted(shapes)}.")

    @classmethod
    def framing(cls, azimuth: torch.Tensor, elevation: torch.Tensor) -> Cameras:
        """Cameras in the standard framing (FIELD_OF_VIEW, RADIUS) at azimuth (B,) and elevation (B,), radians."""
        return cls(azimuth.float(), elevation.float(), torch.full_like(azimuth, RADIUS, dtype=torch.float32))

    def __len__(self) -> int:
        return len(self.azimuth)

    def __getitem__(self, chosen: slice | torch.Tensor) -> Cameras:
        """The cameras of a slice, an index tensor or a mask."""
        return Cameras(self.azimuth[chosen], self.elevation[chosen], self.radius[chosen], self.field_of_view)

    def to(self, device: torch.device | str) -> Cameras:
        return Cameras(self.azimuth.to(device), self.elevation.to(device), self.radius.to(device), self.field_of_view)

    @property
    def outward(self) -> torch.Tensor:
        """Unit vectors from the origin to the cameras, (B, 3)."""
        flat = torch.cos(self.elevation)
        x, y = flat * torch.sin(self.azimuth), -flat * torch.cos(self.azimuth)
        return torch.stack([x, y, torch.sin(self.elevation)], dim=1)

    @property
    def origins(self) -> torch.Tensor:
        """Where the cameras are, (B, 3)."""
        return self.radius[:, None] * self.outward

    @property
    def rotations(self) -> torch.Tensor:
        """(B, 3, 3); the rows are the pictures' right and up, and the viewing direction."""
        away = self.outward
        nothing = torch.zeros_like(self.azimuth)
        right = torch.stack([torch.cos(self.azimuth), torch.sin(self.azimuth), nothing], dim=1)
        return torch.stack([right, torch.linalg.cross(away, right), -away], dim=1)

    def rays(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Through the middles of size × size pixels: origins and unit directions, each (B, size, size, 3).

        Row 0 is the top of the picture, column 0 its left.
        """
        steps = (torch.arange(size, device=self.azimuth.device, dtype=torch.float32) + 0.5) * (2 / size) - 1
        steps = steps * math.tan(self.field_of_view / 2)
        across, up = steps[None, :].expand(size, size), -steps[:, None].expand(size, size)
        seen = torch.nn.functional.normalize(torch.stack([across, up, torch.ones_like(up)], dim=-1), dim=-1)
        directions = torch.einsum("hwi,bij->bhwj", seen, self.rotations)
        return self.origins[:, None, None, :].expand_as(directions), directions


def relative(cameras: Cameras, to: Cameras) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How to get from `cameras` to `to`: Δelevation, Δazimuth (wrapped to ±π) and Δradius, each (B,).

    One camera on either side counts for all on the other. Source: Liu et al., "Zero-1-to-3", 2023, §3.2.
    """
    turn = to.azimuth - cameras.azimuth
    return to.elevation - cameras.elevation, torch.atan2(turn.sin(), turn.cos()), to.radius - cameras.radius
