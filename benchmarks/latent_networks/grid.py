"""Latents on a grid of 8³ cells: the product's own auto-encoder with smaller widths, and the same quantised.

Quantised by rounding each number to eight levels (Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple",
2023), as `backend.models.shape_codes` does: three bits a number, and no codebook that could collapse.
"""

from __future__ import annotations

import torch
from torch import Tensor

from backend.models.shape_autoencoder import FeatureGrids, ShapeAutoencoder, ShapeAutoencoderConfig
from backend.models.shape_codes import quantized
from benchmarks.latent_networks.network import LatentNetwork

CONFIG = ShapeAutoencoderConfig(
    latent_channels=12,
    patch_channels=128,
    mid_channels=40,
    latent_width=88,
    coarse_channels=40,
    fine_channels=16,
    hidden_channels=128,
)


class GridNetwork(LatentNetwork[FeatureGrids]):
    """A latent is (latent_channels, 8, 8, 8)."""

    def __init__(self, config: ShapeAutoencoderConfig = CONFIG) -> None:
        super().__init__()
        self.autoencoder = ShapeAutoencoder(config)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # missing from torch's overloads

    def encode(self, distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
        return self.autoencoder.encoder(distances, positions, colors)

    def expand(self, latent: Tensor) -> FeatureGrids:
        return self.autoencoder.decoder.grids(latent)

    def signed_distance(self, expanded: FeatureGrids, points: Tensor) -> Tensor:
        return self.autoencoder.decoder.signed_distance(expanded, points)

    def srgb(self, expanded: FeatureGrids, points: Tensor) -> Tensor:
        return self.autoencoder.decoder.srgb(expanded, points)


class QuantizedGridNetwork(GridNetwork):
    """The same, each number of a latent one of eight levels in (−1, 1)."""

    quantized = True

    def encode(self, distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
        return quantized(super().encode(distances, positions, colors).float())
