"""The prior over shapes: a rectified flow from noise to the principal components of a latent, given conditions.

Rectified flow (Liu et al., "Flow Straight and Fast", 2022; Lipman et al., "Flow Matching", 2022) with classifier-free
guidance (Ho and Salimans, 2022). The network is a residual MLP, as in the latent prior of Preechakul et al., "Diffusion
Autoencoders", 2022, with adaptive layer norm (Peebles and Xie, "DiT", 2022) whose modulation the blocks share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .conditions import ConditionEncoder, Conditions

TIME_FREQUENCIES = 64
HIDDEN_BY = 8
"""Draws of the noise that samples are judged under."""


@dataclass(frozen=True)
class LatentPriorConfig:
    """`components`: length of the vectors that flow. `width`, `hidden`, `blocks`: the MLP's size. `classes`: the names
    that may be asked for as a condition, in the order of their embeddings. `dropout`: share of the hidden units that
    are left out of a step of training."""

    components: int = 512
    width: int = 640
    hidden: int = 1152
    blocks: int = 6
    classes: tuple[str, ...] = ()
    dropout: float = 0.0


def time_features(time: Tensor) -> Tensor:
    """(B,) in [0, 1] → (B, 128): sines and cosines at frequencies from 1 to 1,000."""
    frequency = torch.exp(torch.linspace(0, math.log(1000), TIME_FREQUENCIES, device=time.device))
    angle = time[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class ModulatedBlock(nn.Module):
    """x + gate · mlp(norm(x) · (1 + scale) + shift)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.offset = nn.Parameter(torch.zeros(3, width))
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, state: Tensor, modulation: Tensor) -> Tensor:
        scale, shift, gate = (modulation + self.offset).unbind(1)
        hidden = functional.silu(self.widen(self.norm(state) * (1 + scale) + shift))
        return state + (1 + gate) * self.narrow(self.dropout(hidden))


class LatentPrior(nn.Module):
    """The velocity of the flow at time t ∈ [0, 1], from noise (0) to data (1)."""

    def __init__(self, config: LatentPriorConfig | None = None) -> None:
        super().__init__()
        self.config = config or LatentPriorConfig()
        width = self.config.width
        self.conditions = ConditionEncoder(width, len(self.config.classes))
        self.enter = nn.Linear(self.config.components, width)
        self.time = nn.Sequential(nn.Linear(2 * TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Linear(width, 3 * width)
        self.blocks = nn.ModuleList(
            ModulatedBlock(width, self.config.hidden, self.config.dropout) for _ in range(self.config.blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, self.config.components)
        nn.init.zeros_(self.leave.weight)

    def encode(self, conditions: Conditions) -> Tensor:
        """The vectors (B, width) by which the network knows the conditions of B shapes."""
        return self.conditions(conditions)

    def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """state (B, K), time (B,), condition (B, width) as `encode` gives it → velocity (B, K)."""
        condition = functional.silu(self.time(time_features(time)) + condition)
        modulation = self.modulate(condition).unflatten(1, (3, -1))
        hidden = self.enter(state) + condition
        for block in self.blocks:
            hidden = block(hidden, modulation)
        return self.leave(self.norm(hidden))


@dataclass(frozen=True)
class Guidance:
    """What a flow is guided by: encoded conditions and their absence, (1, width) or (B, width) each, and how much.

    `scale` 1 is the plain conditional flow, 0 the one without conditions.
    """

    conditional: Tensor
    free: Tensor
    scale: float

    @classmethod
    @torch.no_grad()
    def by(cls, prior: LatentPrior, conditions: Conditions, scale: float) -> Guidance:
        """Guidance towards `conditions`."""
        return cls(prior.encode(conditions), prior.encode(Conditions(conditions.count)), scale)


def guided_velocity(prior: LatentPrior, state: Tensor, time: float, guidance: Guidance) -> Tensor:
    """v(x | nothing) + scale · (v(x | conditions) − v(x | nothing)): Ho and Salimans 2022, eq. 6, in the convention of
    `Guidance`."""
    count = len(state)
    conditional = guidance.conditional.expand(count, -1)
    if guidance.scale == 1:
        return prior(state, state.new_full((count,), time), conditional)
    both = torch.cat([conditional, guidance.free.expand(count, -1)])
    conditional, free = prior(torch.cat([state, state]), state.new_full((2 * count,), time), both).chunk(2)
    return free + guidance.scale * (conditional - free)


@torch.no_grad()
def sample(
    prior: LatentPrior,
    noise: Tensor,
    guidance: Guidance,
    *,
    steps: int,
    step: Callable[[int], None] | None = None,
) -> Tensor:
    """Integrates the flow from `noise` (B, K) with Heun's method: (B, K) whitened coefficients.

    `step(done)` is called after every step and may raise to stop.
    """
    state = noise
    for index in range(steps):
        start, end = index / steps, (index + 1) / steps
        first = guided_velocity(prior, state, start, guidance)
        ahead = state + (end - start) * first
        second = guided_velocity(prior, ahead, end, guidance)
        state = state + (end - start) * (first + second) / 2
        if step:
            step(index + 1)
    return state


@torch.no_grad()
def inconsistency(prior: LatentPrior, samples: Tensor, condition: Tensor, deviations: Tensor) -> Tensor:
    """How far the prior would move samples (B, K) if they were half hidden in noise: (B,), in units of the latent.

    From (x + ε) / 2 the velocity gives the mean x̂ of all that x may have been. ‖x̂ − x‖ over several ε, components by
    their deviations (K,), is small where x is what the prior has seen, and large between such shapes: the error of
    reconstruction of Graham et al., "Denoising Diffusion Models for Out-of-Distribution Detection", 2023. condition:
    (1, width), encoded. The same samples give the same values.
    """
    noise = torch.randn(HIDDEN_BY, samples.shape[1], generator=torch.Generator().manual_seed(0)).to(samples)
    total = samples.new_zeros(len(samples))
    for own in noise:
        state = (samples + own) / 2
        velocity = prior(state, state.new_full((len(state),), 0.5), condition.expand(len(state), -1))
        moved = state + velocity / 2 - samples
        total += (moved * deviations).square().sum(dim=1)
    return (total / HIDDEN_BY).sqrt()
