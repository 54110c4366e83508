"""Latents as a set of vectors that have no place of their own (Zhang et al., "3DShape2VecSet", 2023).

The encoder's queries are farthest points of the surface, which attend to everything near the surface; self-attention
decodes the set, and points read it by cross-attention. What is attended to are the patches of the distance grid that
the other kinds see, those nearest the surface, so that kinds differ in their latents and not in what they are told.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.data.distance_grids import RESOLUTION
from backend.kernels import farthest_points
from backend.models.shape_autoencoder import PATCH_RESOLUTION, patches, pool_points
from benchmarks.latent_networks.network import FeatureNetwork

FREQUENCIES = 6
POSITION_FEATURES = 3 + 6 * FREQUENCIES


@dataclass(frozen=True)
class LatentSetConfig:
    """vectors × latent_channels: the latent. tokens: patches attended to. width: of all attention, in so many heads."""

    vectors: int = 192
    latent_channels: int = 32
    tokens: int = 768
    width: int = 128
    heads: int = 4
    blocks: int = 4
    hidden: int = 128


def position_features(points: Tensor) -> Tensor:
    """points (B, N, 3) and their sines and cosines at octaves of π: (B, N, 39)."""
    octaves = torch.pi * 2.0 ** torch.arange(FREQUENCIES, device=points.device)
    angle = (points[..., None] * octaves).flatten(-2)
    return torch.cat([points, angle.sin(), angle.cos()], dim=-1)


class Attention(nn.Module):
    """x + attention(x, context), then x + mlp(x), each of what is normalised (Vaswani et al. 2017; pre-norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.context_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """tokens (B, N, width), context (B, M, width) → (B, N, width)."""
        key, value = map(self._split, self.key_value(self.context_norm(context)).chunk(2, dim=-1))
        query = self._split(self.query(self.norm(tokens)))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.leave(mixed.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.mlp_norm(tokens))


class LatentSetNetwork(FeatureNetwork[Tensor]):
    """A latent is (vectors, latent_channels)."""

    def __init__(self, config: LatentSetConfig | None = None) -> None:
        self.config = config = config or LatentSetConfig()
        width = config.width
        super().__init__(width, config.hidden)
        axis = (torch.arange(PATCH_RESOLUTION) + 0.5) * (2 / PATCH_RESOLUTION) - 1
        self.register_buffer("centres", torch.cartesian_prod(axis, axis, axis), persistent=False)
        values = (RESOLUTION // PATCH_RESOLUTION) ** 3
        self.patch = nn.Sequential(
            nn.Linear(values + 4 + POSITION_FEATURES, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.gather = Attention(width, config.heads)
        self.leave = nn.Linear(width, config.latent_channels)
        self.enter = nn.Linear(config.latent_channels, width)
        self.blocks = nn.ModuleList(Attention(width, config.heads) for _ in range(config.blocks))
        self.point = nn.Linear(POSITION_FEATURES, width)
        self.read = Attention(width, config.heads)

    def encode(self, distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
        color = torch.cat([colors * 2 - 1, torch.ones_like(colors[..., :1])], dim=-1)
        values = patches(distances, PATCH_RESOLUTION).flatten(2)
        content = torch.cat([values, pool_points(color, positions, PATCH_RESOLUTION).flatten(2)], dim=1).transpose(1, 2)
        nearest = values.abs().amin(dim=1).topk(self.config.tokens, largest=False).indices
        centres = self.centres[nearest]
        content = content.gather(1, nearest[..., None].expand(-1, -1, content.shape[2]))
        tokens = self.patch(torch.cat([content, position_features(centres)], dim=-1))
        chosen = farthest_points(centres, self.config.vectors)
        queries = tokens.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[2]))
        return self.leave(self.gather(queries, tokens))

    def expand(self, latent: Tensor) -> Tensor:
        """(B, vectors, latent_channels) → (B, vectors, width)."""
        tokens = self.enter(latent)
        for block in self.blocks:
            tokens = block(tokens, tokens)
        return tokens

    def features(self, expanded: Tensor, points: Tensor) -> Tensor:
        return self.read(self.point(position_features(points)), expanded)
