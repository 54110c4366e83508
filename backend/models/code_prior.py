"""The order-free autoregressive prior over a shape's codes, given any part of them.

AutoSDF (Mittal et al. 2022, §3.2) draws the patches' codes in a random order, each given all that are there, so that
any part of a shape may be what is given. Here one bidirectional transformer sees all places at once, those without a
code as such, and is trained on random sets of given ones, which is the same likelihood (Hoogeboom et al.,
"Autoregressive Diffusion Models", 2022, eq. 3) and allows several places to be drawn at a time (Chang et al.,
"MaskGIT", 2022). Beside the codes it reads the partial shape itself: patches that are known in part have no code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .partial_shape import CHANNELS
from .partial_shape import RESOLUTION as PARTIAL_RESOLUTION
from .point_transformer import Attention
from .shape_codes import CODES, GROUP, TOKEN_RESOLUTION, TOKENS, split, values_of


@dataclass(frozen=True)
class CodePriorConfig:
    """groups: codes a patch has. width, heads, blocks: the transformer's."""

    groups: int = 5
    width: int = 176
    heads: int = 4
    blocks: int = 5


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)) (Vaswani et al. 2017, with the norms first)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm_attention(tokens)
        tokens = tokens + self.attention(normed, normed)
        return tokens + self.mlp(self.norm_mlp(tokens))


class CodePrior(nn.Module):
    """p(codes of a patch | codes of the patches given, partial shape), for every patch; within a patch code by code."""

    def __init__(self, config: CodePriorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CodePriorConfig()
        width, cells = config.width, (PARTIAL_RESOLUTION // TOKEN_RESOLUTION) ** 3
        self.place = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.absent = nn.Parameter(torch.zeros(width))
        self.given = nn.Sequential(nn.Linear(GROUP * config.groups, width), nn.SiLU(), nn.Linear(width, width))
        self.part = nn.Sequential(nn.Linear(CHANNELS * cells, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.before = nn.ModuleList(nn.Linear(GROUP, width) for _ in range(config.groups - 1))
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(config.groups))
        self.leave = nn.ModuleList(nn.Linear(width, CODES) for _ in range(config.groups))

    def context(self, codes: Tensor, given: Tensor, parts: Tensor) -> Tensor:
        """What is known of every place, (B, 64, width). codes (B, 64, G) int64, of which those count that are `given`
        (B, 64) bool; parts (B, 11, 16, 16, 16) float32 as `partial_shape` makes them."""
        blocks = split(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
        tokens = self.place + self.part(blocks.transpose(1, 2).flatten(2))
        tokens = tokens + torch.where(given[..., None], self.given(values_of(codes)), self.absent)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def logits(self, context: Tensor, codes: Tensor, group: int) -> Tensor:
        """Of code number `group` of places with `context` (..., width), given the codes (..., G) before it:
        (..., 512)."""
        for index, value in enumerate(values_of(codes[..., :group]).split(GROUP, dim=-1)[:group]):
            context = context + self.before[index](value)
        return self.leave[group](functional.silu(self.mix[group](context)))

    def loss(self, codes: Tensor, given: Tensor, parts: Tensor) -> Tensor:
        """Mean of −log₂ p of the codes that are not given, bits a code."""
        missing = ~given
        context, wanted = self.context(codes, given, parts)[missing], codes[missing]
        terms = [
            functional.cross_entropy(self.logits(context, wanted, group).float(), wanted[:, group])
            for group in range(self.config.groups)
        ]
        return torch.stack(terms).mean() / torch.log(torch.tensor(2.0))


@torch.no_grad()
def draw(
    prior: CodePrior,
    codes: Tensor,
    given: Tensor,
    parts: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    temperature: float,
    step: Callable[[int], None] | None = None,
) -> Tensor:
    """All codes (B, 64, G) of B shapes: those given, and the others drawn in a random order within `steps` steps.

    Arguments as `CodePrior.context`; at temperature 0 the likeliest code is taken. `step(done)` may raise to stop.
    """
    codes, given = codes.clone(), given.clone()
    order = torch.rand(given.shape, generator=generator).to(given.device)
    missing = (~given).sum(1)
    for index in range(steps):
        context = prior.context(codes, given, parts)
        left = (~given).sum(1)
        count = left - (missing * (steps - 1 - index)).div(steps, rounding_mode="floor")
        rank = order.masked_fill(given, 2.0).argsort(1).argsort(1)
        chosen = rank < count[:, None]
        drawn = codes[chosen]
        for group in range(prior.config.groups):
            drawn[:, group] = _drawn(prior.logits(context[chosen], drawn, group), temperature, generator)
        codes[chosen], given = drawn, given | chosen
        if step is not None:
            step(index + 1)
    return codes


def _drawn(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    share = (logits.float() / temperature).softmax(-1).cpu()
    if not len(share):
        return share.new_zeros(0, dtype=torch.long)
    return torch.multinomial(share, 1, generator=generator)[:, 0].to(logits.device)
