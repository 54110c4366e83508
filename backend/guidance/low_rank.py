"""Low-rank changes to a network's weights: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRankChange(nn.Module):
    """W + B A, for a weight (out, …) seen as a matrix; B is 0 at first."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        width = weight[0].numel()
        down = torch.randn(rank, width, generator=generator) * width**-0.5
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight, of the same shape and type."""
        return weight + (self.up @ self.down).view_as(weight).to(weight.dtype)


def add_low_rank(network: nn.Module, rank: int, generator: torch.Generator) -> None:
    """Gives every linear layer and convolution of `network` a LowRankChange; what it answers stays as it was."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankChange(layer.weight, rank, generator))


def low_rank_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that `add_low_rank` added."""
    for module in network.modules():
        if isinstance(module, LowRankChange):
            yield from module.parameters()
