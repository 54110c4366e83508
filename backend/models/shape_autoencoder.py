"""The shape auto-encoder: signed distances and coloured points in, a grid of latents, the same at any point out.

The encoder takes a truncated distance grid apart into patches (Mittal et al., "AutoSDF", 2022), adds the colours of the
surface in each, and convolves them; the decoder reads interpolated grid features at a point (Peng et al.,
"Convolutional Occupancy Networks", 2020) and answers signed distance (Park et al., "DeepSDF", 2019) and surface colour
(Oechsle et al., "Texture Fields", 2019).

All positions are in model space, the cube [−1, 1]³, Z up, front −Y. Grids are indexed (x, y, z).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.distance_grids import RESOLUTION as DISTANCE_RESOLUTION

LATENT_RESOLUTION = 8
PATCH_RESOLUTION = 16
COARSE_RESOLUTION = 16
FINE_RESOLUTION = 32
DISTANCE_UNIT = 0.1
"""Model units to one unit of what the distance's head answers."""


@dataclass(frozen=True)
class ShapeAutoencoderConfig:
    """Widths of the network. A latent is (latent_channels, 8, 8, 8)."""

    latent_channels: int = 16
    patch_channels: int = 192
    mid_channels: int = 48
    latent_width: int = 128
    coarse_channels: int = 48
    fine_channels: int = 16
    hidden_channels: int = 128


def cell_indices(points: Tensor, resolution: int) -> Tensor:
    """The flat cell index (B, N) int64 of `points` (B, N, 3) in each shape's grid of `resolution`³ cells."""
    cell = ((points + 1) * (resolution / 2)).long().clamp(0, resolution - 1)
    return (cell[..., 0] * resolution + cell[..., 1]) * resolution + cell[..., 2]


def pool_points(features: Tensor, points: Tensor, resolution: int) -> Tensor:
    """Mean of `features` (B, N, C) over the points (B, N, 3) in each cell: a grid (B, C, R, R, R), 0 where none are."""
    batch, _, channels = features.shape
    cells = resolution**3
    index = (cell_indices(points, resolution) + torch.arange(batch, device=points.device)[:, None] * cells).flatten()
    summed = features.new_zeros(batch * cells, channels).index_add_(0, index, features.reshape(-1, channels))
    count = features.new_zeros(batch * cells).index_add_(0, index, features.new_ones(index.shape))
    pooled = summed / count.clamp(min=1)[:, None]
    return pooled.view(batch, resolution, resolution, resolution, channels).permute(0, 4, 1, 2, 3)


def interpolate(grid: Tensor, points: Tensor) -> Tensor:
    """Trilinear interpolation of `grid` (B, C, R, R, R), values at cell centres, at `points` (B, N, 3): (B, N, C).

    Beyond the outermost centres the nearest value holds. Needs R ≥ 2."""
    batch, channels, resolution = grid.shape[:3]
    place = ((points + 1) * (resolution / 2) - 0.5).clamp(0, resolution - 1)
    low = place.floor().clamp(max=resolution - 2)
    fraction = place - low
    low = low.long()
    stride = points.new_tensor([resolution * resolution, resolution, 1], dtype=torch.long)
    corner = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3)
    base = (low * stride).sum(-1) + torch.arange(batch, device=points.device)[:, None] * resolution**3
    index = base[..., None] + (corner * stride).sum(-1)
    weight = torch.where(corner.bool(), fraction[..., None, :], 1 - fraction[..., None, :]).prod(-1)
    rows = grid.permute(0, 2, 3, 4, 1).reshape(-1, channels)
    summed = functional.embedding_bag(
        index.reshape(-1, 8), rows, per_sample_weights=weight.reshape(-1, 8).to(rows.dtype), mode="sum"
    )
    return summed.view(batch, -1, channels)


def place_in_cell(points: Tensor) -> Tensor:
    """Where `points` (B, N, 3) lie within the cells of the latent and of the fine grid, as sines and cosines, and at
    all: (B, N, 15)."""
    turns = torch.cat([points * LATENT_RESOLUTION, points * FINE_RESOLUTION], dim=-1) * torch.pi
    return torch.cat([points, turns.sin(), turns.cos()], dim=-1)


class ResidualConvolution(nn.Module):
    """x + conv(silu(norm(x))) on a grid (B, C, R, R, R)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        return grid + self.convolution(functional.silu(self.norm(grid)))


def patches(grid: Tensor, resolution: int) -> Tensor:
    """(B, R, R, R) → (B, (R / resolution)³, resolution, resolution, resolution): the values of every block of cells,
    x slowest, as the channels of one cell. The inverse of PixelShuffle3d for one channel."""
    batch, size = grid.shape[0], grid.shape[1] // resolution
    blocks = grid.view(batch, resolution, size, resolution, size, resolution, size).permute(0, 1, 3, 5, 2, 4, 6)
    return blocks.reshape(batch, *[resolution] * 3, size**3).permute(0, 4, 1, 2, 3)


class Encoder(nn.Module):
    """A distance grid and coloured surface points → latent (B, C, 8, 8, 8)."""

    def __init__(self, config: ShapeAutoencoderConfig) -> None:
        super().__init__()
        values = (DISTANCE_RESOLUTION // PATCH_RESOLUTION) ** 3
        self.patches = nn.Sequential(
            nn.Conv3d(values + 4, config.patch_channels, 1),
            nn.SiLU(),
            nn.Conv3d(config.patch_channels, config.mid_channels, 1),
        )
        self.grid = nn.Sequential(
            ResidualConvolution(config.mid_channels),
            nn.SiLU(),
            nn.Conv3d(config.mid_channels, config.latent_width, 3, stride=2, padding=1),
            ResidualConvolution(config.latent_width),
            ResidualConvolution(config.latent_width),
            nn.GroupNorm(8, config.latent_width),
            nn.SiLU(),
            nn.Conv3d(config.latent_width, config.latent_channels, 1),
        )

    def forward(self, distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
        """distances: (B, 64, 64, 64) as `backend.data.distance_grids` gives them. positions of surface points and
        colors there (sRGB in [0, 1]): (B, N, 3). All float32."""
        color = torch.cat([colors * 2 - 1, torch.ones_like(colors[..., :1])], dim=-1)
        seen = pool_points(color, positions, PATCH_RESOLUTION)
        return self.grid(self.patches(torch.cat([patches(distances, PATCH_RESOLUTION), seen], dim=1)))


class PixelShuffle3d(nn.Module):
    """(B, 8 C, R, R, R) → (B, C, 2 R, 2 R, 2 R): every cell becomes 2³ cells (Shi et al. 2016, in three dimensions).

    Input channel ((i · 2 + j) · 2 + k) · C + c goes to channel c of the cell's part (i, j, k).
    """

    def forward(self, grid: Tensor) -> Tensor:
        batch, channels, resolution = grid.shape[:3]
        parts = grid.permute(0, 2, 3, 4, 1).reshape(batch, resolution, resolution, resolution, 2, 2, 2, channels // 8)
        fine = parts.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(batch, *[2 * resolution] * 3, channels // 8)
        return fine.permute(0, 4, 1, 2, 3)


@dataclass(frozen=True)
class FeatureGrids:
    """What a decoded latent is asked at points: coarse (B, C, 16, 16, 16) and fine (B, C', 32, 32, 32) features."""

    coarse: Tensor
    fine: Tensor


def point_heads(features: int, hidden: int) -> tuple[nn.Sequential, nn.Sequential]:
    """MLPs from the features at a point to its distance, one number, and to its colour, three numbers."""
    distance = nn.Sequential(
        nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
    )
    color = nn.Sequential(
        nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, hidden // 2), nn.SiLU(), nn.Linear(hidden // 2, 3)
    )
    return distance, color


class Decoder(nn.Module):
    """Latent → feature grids → signed distance and colour at points."""

    def __init__(self, config: ShapeAutoencoderConfig) -> None:
        super().__init__()
        width, coarse, fine = config.latent_width, config.coarse_channels, config.fine_channels
        self.latent = nn.Sequential(
            nn.Conv3d(config.latent_channels, width, 3, padding=1),
            ResidualConvolution(width),
            ResidualConvolution(width),
        )
        self.coarse = nn.Sequential(
            nn.SiLU(),
            nn.Conv3d(width, 8 * coarse, 1),
            PixelShuffle3d(),
            ResidualConvolution(coarse),
            ResidualConvolution(coarse),
        )
        self.fine = nn.Sequential(nn.SiLU(), nn.Conv3d(coarse, 8 * fine, 1), PixelShuffle3d())
        features, hidden = coarse + fine + 15, config.hidden_channels
        self.distance, self.color = point_heads(features, hidden)

    def grids(self, latent: Tensor) -> FeatureGrids:
        """latent: (B, C, 8, 8, 8)."""
        coarse = self.coarse(self.latent(latent))
        return FeatureGrids(coarse=coarse, fine=self.fine(coarse))

    def features(self, grids: FeatureGrids, points: Tensor) -> Tensor:
        """What the heads read at `points` (B, N, 3): (B, N, coarse + fine + 15)."""
        return torch.cat(
            [interpolate(grids.coarse, points), interpolate(grids.fine, points), place_in_cell(points)], dim=-1
        )

    def signed_distance(self, grids: FeatureGrids, points: Tensor) -> Tensor:
        """(B, N) float, negative inside, model units, at `points` (B, N, 3)."""
        return self.distance(self.features(grids, points))[..., 0] * DISTANCE_UNIT

    def srgb(self, grids: FeatureGrids, points: Tensor) -> Tensor:
        """sRGB colour (B, N, 3) in [0, 1] at `points` (B, N, 3)."""
        return self.color(self.features(grids, points)).sigmoid()


class ShapeAutoencoder(nn.Module):
    """Encoder and decoder together, as they are trained."""

    def __init__(self, config: ShapeAutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or ShapeAutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
