"""Shapes as a small grid of discrete codes: patches of a distance grid, each encoded by itself, and decoded together.

AutoSDF's patch-wise VQ-VAE (Mittal et al. 2022, §3.1): because no patch's code depends on another patch, the codes of
what is known of a partial shape are those that the whole one would have. Vectors are quantised by rounding each number
to a few levels (Mentzer et al., "Finite Scalar Quantization", 2023), in groups of LEVELS³ codes, so that there is no
codebook to learn or to collapse. Grids are indexed (x, y, z) and hold tanh(distance / 0.08) as `data.distance_grids`
makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.distance_grids import RESOLUTION
from .shape_autoencoder import PixelShuffle3d, ResidualConvolution, patches

TOKEN_RESOLUTION = 4
TOKENS = TOKEN_RESOLUTION**3
LEVELS = 8
GROUP = 3
CODES = LEVELS**GROUP
BLOCK = 4
"""Values of the distance grid along each side of what one cell of the finest feature grid decodes."""


@dataclass(frozen=True)
class ShapeCodesConfig:
    """groups: codes a patch has, each of LEVELS³ = 512. patch_channels: of a patch's encoder. widths: of the decoder's
    feature grids of 4³, 8³ and 16³ cells."""

    groups: int = 5
    patch_channels: int = 48
    widths: tuple[int, int, int] = (112, 64, 32)


def quantized(vectors: Tensor) -> Tensor:
    """Numbers → the nearest of LEVELS levels, evenly spread over (−1, 1); the gradient passes straight through."""
    bounded = torch.tanh(vectors)
    levels = ((bounded + 1) * (LEVELS / 2)).floor().clamp(0, LEVELS - 1)
    return bounded + ((levels + 0.5) * (2 / LEVELS) - 1 - bounded).detach()


def codes_of(values: Tensor) -> Tensor:
    """Quantised vectors (..., 3 G) → codes (..., G) int64 in [0, 512), the first number of a group slowest."""
    levels = ((values + 1) * (LEVELS / 2)).floor().long().clamp(0, LEVELS - 1).unflatten(-1, (-1, GROUP))
    return (levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]


def values_of(codes: Tensor) -> Tensor:
    """Codes (..., G) → the quantised vectors (..., 3 G) float32 that they stand for."""
    levels = torch.stack([codes // LEVELS**2, codes // LEVELS % LEVELS, codes % LEVELS], dim=-1)
    return ((levels.float() + 0.5) * (2 / LEVELS) - 1).flatten(-2)


class PatchEncoder(nn.Module):
    """Patches (N, 16, 16, 16), each by itself → vectors (N, out)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        cells = RESOLUTION // TOKEN_RESOLUTION // BLOCK
        self.blocks = nn.Sequential(
            nn.Conv3d(BLOCK**3, 2 * channels, 1), nn.SiLU(), nn.Conv3d(2 * channels, channels, 1)
        )
        self.within = nn.Sequential(ResidualConvolution(channels), ResidualConvolution(channels), nn.SiLU())
        self.leave = nn.Linear(channels * cells**3, out)

    def forward(self, values: Tensor) -> Tensor:
        cells = values.shape[1] // BLOCK
        return self.leave(self.within(self.blocks(patches(values, cells))).flatten(1))


class CodeDecoder(nn.Module):
    """Quantised vectors (B, 64, C) of all patches → distance grid (B, 64, 64, 64) in (−1, 1)."""

    def __init__(self, config: ShapeCodesConfig) -> None:
        super().__init__()
        coarse, middle, fine = config.widths
        self.grid = nn.Sequential(
            nn.Conv3d(GROUP * config.groups, coarse, 3, padding=1),
            ResidualConvolution(coarse),
            ResidualConvolution(coarse),
            nn.SiLU(),
            nn.Conv3d(coarse, 8 * middle, 1),
            PixelShuffle3d(),
            ResidualConvolution(middle),
            ResidualConvolution(middle),
            nn.SiLU(),
            nn.Conv3d(middle, 8 * fine, 1),
            PixelShuffle3d(),
            ResidualConvolution(fine),
            ResidualConvolution(fine),
            nn.SiLU(),
            nn.Conv3d(fine, 2 * BLOCK**3, 1),
            nn.SiLU(),
            nn.Conv3d(2 * BLOCK**3, BLOCK**3, 1),
        )

    def forward(self, values: Tensor) -> Tensor:
        cells = values.transpose(1, 2).unflatten(2, [TOKEN_RESOLUTION] * 3)
        blocks = self.grid(cells).permute(0, 2, 3, 4, 1).unflatten(4, [BLOCK] * 3)
        return torch.tanh(blocks.permute(0, 1, 4, 2, 5, 3, 6).reshape(len(values), *[RESOLUTION] * 3))


class ShapeCodes(nn.Module):
    """Encoder and decoder together, as they are trained."""

    def __init__(self, config: ShapeCodesConfig | None = None) -> None:
        super().__init__()
        self.config = config or ShapeCodesConfig()
        self.encoder = PatchEncoder(self.config.patch_channels, GROUP * self.config.groups)
        self.decoder = CodeDecoder(self.config)

    def forward(self, grids: Tensor) -> Tensor:
        """Distance grids (B, 64, 64, 64) → the same, through the codes."""
        return self.decoder(quantized(self.vectors(grids)))

    def vectors(self, grids: Tensor) -> Tensor:
        """(B, 64, 64, 64) → (B, 64, 3 G), before quantisation; patches in the order of their cells, z fastest."""
        return self.encoder(split(grids).flatten(0, 1)).unflatten(0, (len(grids), TOKENS))

    def encode(self, grids: Tensor) -> Tensor:
        """(B, 64, 64, 64) float32 → codes (B, 64, G) int64."""
        return codes_of(quantized(self.vectors(grids)))

    def decode(self, codes: Tensor) -> Tensor:
        """(B, 64, G) int64 → (B, 64, 64, 64) float32."""
        return self.decoder(values_of(codes))


def split(grids: Tensor) -> Tensor:
    """(B, R, R, R) → (B, 64, R / 4, R / 4, R / 4): the patches of a grid."""
    size = grids.shape[1] // TOKEN_RESOLUTION
    return grids.unfold(1, size, size).unfold(2, size, size).unfold(3, size, size).flatten(1, 3)


def reconstruction_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error, of which half comes from the places near the surface, however few they are."""
    error = (found - wanted).abs()
    near = 1 - wanted.square()
    return functional.l1_loss(found, wanted) + (error * near).sum() / near.sum().clamp(min=1)
