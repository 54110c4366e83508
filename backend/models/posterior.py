"""Sampling complete shapes that agree with a partial one, from a prior that was never trained for that.

The prior is a rectified flow. At each of its steps the clean shape that it is heading for is estimated, decoded where
the observation speaks, and moved down the gradient of the disagreement; then the flow goes on from there. This is
diffusion posterior sampling (Chung et al., "Diffusion Posterior Sampling for General Noisy Inverse Problems", 2023) in
the form that flows have it (Kim et al., "FlowDPS", 2025, algorithm 1): the estimate itself is moved, so no gradient
goes through the prior's network, and noise and estimate are mixed anew.

The prior's principal components hold less than the auto-encoder does, so in the end the latent's cells around the known
part are fitted beyond their span.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .latent_prior import Guidance, LatentPrior, guided_velocity
from .observation import Observation
from .principal_components import PrincipalComponents
from .shape_autoencoder import LATENT_RESOLUTION, Decoder, cell_indices

SATURATION = 0.05
"""Distances beyond this (model units) hardly differ any more. Small, so that a wrong sign near the surface costs as
much as one far away: by plain distance a field would do that is nearly zero on both sides of the surface."""
SURFACE_POINTS = 512
QUERY_POINTS = 2560
SURFACE_WEIGHT = 0.2
"""Beside the places around it the surface itself says little; where there are none it is all that counts."""


@dataclass(frozen=True)
class PosteriorConfig:
    """Chosen by measurement (benchmarks/completion.py).

    guidance      length of a gradient step, in standard deviations of what the flow leaves open at that time
    fit_steps     optimisation steps on the latent's cells at the end
    fit_rate      their rate
    """

    guidance: float = 1.5
    fit_steps: int = 6
    fit_rate: float = 0.1


class Disagreement:
    """How far decoded latents are from an observation; differentiable. Each call looks at other points."""

    def __init__(self, decoder: Decoder, observation: Observation, generator: torch.Generator, device: torch.device):
        self.decoder, self.generator, self.device = decoder, generator, device
        self.surface = torch.from_numpy(observation.surface).to(device)
        self.queries = torch.from_numpy(observation.queries).to(device)
        self.distances = torch.from_numpy(observation.distances).to(device)
        self.level = observation.level

    def __call__(self, latents: Tensor) -> Tensor:
        """(B, C, 8, 8, 8) → (B,) mean absolute error of the saturated signed distance, a share of its range."""
        on = self._draw(len(self.surface), SURFACE_POINTS)
        off = self._draw(len(self.queries), QUERY_POINTS)
        points = torch.cat([self.surface[on], self.queries[off]])
        wanted = torch.cat([self.distances.new_full((len(on),), self.level), self.distances[off]])
        found = self.decoder.signed_distance(self.decoder.grids(latents), points.expand(len(latents), -1, -1))
        errors = (torch.tanh(found / SATURATION) - torch.tanh(wanted / SATURATION)).abs()
        of_surface = errors[:, : len(on)].mean(1)
        if len(off) == 0:
            return of_surface
        return SURFACE_WEIGHT * of_surface + errors[:, len(on) :].mean(1)

    def _draw(self, total: int, count: int) -> Tensor:
        if total == 0:
            return torch.zeros(0, dtype=torch.long, device=self.device)
        return torch.randint(total, (min(total, count),), generator=self.generator).to(self.device)


def sample_posterior(
    decoder: Decoder,
    components: PrincipalComponents,
    prior: LatentPrior,
    observation: Observation,
    guidance: Guidance,
    *,
    seed: int,
    steps: int,
    config: PosteriorConfig | None = None,
    step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """A latent (C, 8, 8, 8) float32 that agrees with `observation`; another seed gives another.

    `step(done, total)` is called after every step and may raise to stop.
    """
    config = config or PosteriorConfig()
    device = components.mean.device

    def tell(done: int) -> None:
        if step is not None:
            step(done, steps + config.fit_steps)

    generator = torch.Generator().manual_seed(seed)
    disagreement = Disagreement(decoder, observation, generator, device)
    state = torch.randn(1, prior.config.components, generator=generator).to(device)
    clean = state
    for index in range(steps):
        time, after = index / steps, (index + 1) / steps
        with torch.no_grad():
            velocity = guided_velocity(prior, state, time, guidance)
        clean, noise = state + (1 - time) * velocity, state - time * velocity
        # Of data and noise of unit variance, what is seen at this time leaves this deviation of the data open.
        spread = (1 - time) / (time**2 + (1 - time) ** 2) ** 0.5
        clean = clean - config.guidance * spread * _direction(components, disagreement, clean)
        state = (1 - after) * noise + after * clean
        tell(index + 1)
    latents = components.restore(clean)
    return _fit(latents, disagreement, observation, config, lambda done: tell(steps + done))[0].clone()


def _direction(components: PrincipalComponents, disagreement: Disagreement, clean: Tensor) -> Tensor:
    """The disagreement's gradient by the coefficients (B, K), scaled to the length of a typical vector of noise."""
    with torch.enable_grad():
        clean = clean.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(disagreement(components.restore(clean)).sum(), clean)
    return functional.normalize(gradient, dim=1) * clean.shape[1] ** 0.5


def _fit(
    latents: Tensor,
    disagreement: Disagreement,
    observation: Observation,
    config: PosteriorConfig,
    step: Callable[[int], object],
) -> Tensor:
    """Adam on the cells around what is known."""
    mask = _near_cells(observation).to(latents.device)
    latents = latents.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=config.fit_rate, betas=(0.8, 0.95))
    for index in range(config.fit_steps):
        optimizer.param_groups[0]["lr"] = config.fit_rate * (1 - index / config.fit_steps)
        with torch.enable_grad():
            disagreement(latents).sum().backward()
        assert latents.grad is not None
        latents.grad *= mask
        optimizer.step()
        optimizer.zero_grad()
        step(index + 1)
    return latents.detach()


def _near_cells(observation: Observation) -> Tensor:
    """1 for the cells (8, 8, 8) that hold something known, 0 for the others."""
    points = torch.from_numpy(np.concatenate([observation.surface, observation.queries]))[None]
    cells = torch.zeros(LATENT_RESOLUTION**3)
    cells[cell_indices(points, LATENT_RESOLUTION)[0]] = 1
    return cells.view(*[LATENT_RESOLUTION] * 3)
