"""Latents on three planes through the axes, summed at a point (Chan et al., "EG3D", 2022; Shue et al., "Triplane
Diffusion", 2023).

Each plane sees, at every cell, the whole column of patches behind it; the planes' convolutions are their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.data.distance_grids import RESOLUTION
from backend.models.shape_autoencoder import PATCH_RESOLUTION, patches, place_in_cell, pool_points
from benchmarks.latent_networks.network import FeatureNetwork

PLANES = 3
KEPT = ((1, 2), (0, 2), (0, 1))
"""The two axes of each plane, which leaves out the one of its own number."""


@dataclass(frozen=True)
class TriplaneConfig:
    """A latent is (3 · latent_channels, 16, 16). Widths are those of one plane: at 16², 32² and 64² cells."""

    latent_channels: int = 8
    patch_channels: int = 128
    column_channels: int = 16
    width: int = 88
    coarse_channels: int = 48
    fine_channels: int = 16
    hidden: int = 128


class ResidualConvolution2d(nn.Module):
    """x + conv(silu(norm(x))) of planes (B, 3 C, R, R), each by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8 * PLANES, PLANES * channels)
        self.convolution = planes_convolution(channels, channels, 3)

    def forward(self, planes: Tensor) -> Tensor:
        return planes + self.convolution(functional.silu(self.norm(planes)))


def planes_convolution(channels: int, out: int, size: int) -> nn.Conv2d:
    """A convolution of planes (B, 3 · channels, R, R), with weights of their own."""
    return nn.Conv2d(PLANES * channels, PLANES * out, size, padding=size // 2, groups=PLANES)


def sampled(planes: Tensor, points: Tensor) -> Tensor:
    """The sum of three planes' features (B, 3 C, R, R), bilinear, at `points` (B, N, 3) seen along each: (B, N, C)."""
    each = planes.float().unflatten(1, (PLANES, -1)).flatten(0, 1)
    # grid_sample names the last axis first.
    places = torch.stack([points[..., [second, first]] for first, second in KEPT], dim=1).flatten(0, 1)[:, None]
    values = functional.grid_sample(each, places, padding_mode="border", align_corners=False)[:, :, 0]
    return values.unflatten(0, (-1, PLANES)).sum(dim=1).transpose(1, 2)


class TriplaneNetwork(FeatureNetwork[tuple[Tensor, Tensor]]):
    """See TriplaneConfig for what a latent is."""

    def __init__(self, config: TriplaneConfig | None = None) -> None:
        self.config = config = config or TriplaneConfig()
        width, coarse, fine = config.width, config.coarse_channels, config.fine_channels
        super().__init__(coarse + fine + 15, config.hidden)
        values = (RESOLUTION // PATCH_RESOLUTION) ** 3
        self.patch = nn.Sequential(
            nn.Conv3d(values + 4, config.patch_channels, 1),
            nn.SiLU(),
            nn.Conv3d(config.patch_channels, config.column_channels, 1),
        )
        self.encoder = nn.Sequential(
            planes_convolution(config.column_channels * PATCH_RESOLUTION, width, 1),
            ResidualConvolution2d(width),
            ResidualConvolution2d(width),
            nn.GroupNorm(8 * PLANES, PLANES * width),
            nn.SiLU(),
            planes_convolution(width, config.latent_channels, 1),
        )
        self.latent = nn.Sequential(
            planes_convolution(config.latent_channels, width, 3),
            ResidualConvolution2d(width),
            ResidualConvolution2d(width),
        )
        self.coarse = nn.Sequential(
            nn.SiLU(),
            planes_convolution(width, 4 * coarse, 1),
            nn.PixelShuffle(2),
            ResidualConvolution2d(coarse),
            ResidualConvolution2d(coarse),
        )
        self.fine = nn.Sequential(nn.SiLU(), planes_convolution(coarse, 4 * fine, 1), nn.PixelShuffle(2))
        for planes in (self.encoder, self.latent, self.coarse, self.fine):
            planes.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing from torch's overloads

    def encode(self, distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
        color = torch.cat([colors * 2 - 1, torch.ones_like(colors[..., :1])], dim=-1)
        seen = pool_points(color, positions, PATCH_RESOLUTION)
        grid = self.patch(torch.cat([patches(distances, PATCH_RESOLUTION), seen], dim=1))
        columns = [grid.movedim(2 + axis, 2).flatten(1, 2) for axis in range(PLANES)]
        return self.encoder(torch.cat(columns, dim=1))

    def expand(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3 C, 16, 16) → planes of 32² and of 64² cells."""
        coarse = self.coarse(self.latent(latent))
        return coarse, self.fine(coarse)

    def features(self, expanded: tuple[Tensor, Tensor], points: Tensor) -> Tensor:
        return torch.cat([*(sampled(planes, points) for planes in expanded), place_in_cell(points)], dim=-1)
