"""Layers that the view model's encoder and U-Net share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8
HEAD_CHANNELS = 32


class ResidualBlock(nn.Module):
    """Two convolutions whose sum with the input leaves; a vector is added between them, as in Ho et al., "Denoising
    Diffusion Probabilistic Models", 2020."""

    def __init__(self, channels: int, vector: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, channels) for _ in range(2))
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.told = nn.Linear(vector, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, state: Tensor, vector: Tensor) -> Tensor:
        hidden = self.first(functional.silu(self.norms[0](state))) + self.told(vector)[:, :, None, None]
        return state + self.second(functional.silu(self.norms[1](hidden)))


class Attention(nn.Module):
    """Every place attends to all others, and to `tokens` (B, L, W) where the layer takes such."""

    def __init__(self, channels: int, token_width: int = 0) -> None:
        super().__init__()
        self.heads = channels // HEAD_CHANNELS
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.told = nn.Linear(token_width, 2 * channels) if token_width else None
        self.leave = nn.Linear(channels, channels)
        nn.init.zeros_(self.leave.weight)

    def forward(self, state: Tensor, tokens: Tensor | None = None) -> Tensor:
        places = self.norm(state).flatten(2).transpose(1, 2)
        query, key, value = self.query_key_value(places).chunk(3, dim=-1)
        if self.told is not None and tokens is not None:
            more_keys, more_values = self.told(tokens).chunk(2, dim=-1)
            key, value = torch.cat([key, more_keys], dim=1), torch.cat([value, more_values], dim=1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        shares = (query @ key.mT * HEAD_CHANNELS**-0.5).softmax(dim=-1)
        attended = (shares.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return state + self.leave(attended).transpose(1, 2).unflatten(2, state.shape[2:])


def enlarged(state: Tensor) -> Tensor:
    """Twice as high and wide, by repetition."""
    return functional.interpolate(state, scale_factor=2.0, mode="nearest")
