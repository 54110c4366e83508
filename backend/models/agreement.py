"""How well decoded latents agree with an observation, and bringing one to agree better.

The prior's principal components hold less than the auto-encoder does, so a sampled latent's cells around the known part
are fitted beyond their span, as an auto-decoder would (Park et al., "DeepSDF", 2019, §4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .observation import Observation
from .placements import Placement
from .shape_autoencoder import LATENT_RESOLUTION, Decoder, cell_indices

SATURATION = 0.05
"""Distances beyond this (model units) hardly differ any more. Small, so that a wrong sign near the surface costs as
much as one far away: by plain distance a field would do that is nearly zero on both sides of the surface."""
SURFACE_POINTS = 512
QUERY_POINTS = 2560
SURFACE_WEIGHT = 0.2
"""Beside the places around it the surface itself says little; where there are none it is all that counts."""


@dataclass(frozen=True)
class FitConfig:
    """Steps of Adam on the latent's cells, and their rate."""

    steps: int = 5
    rate: float = 0.1


class Disagreement:
    """How far decoded latents are from a placed observation; differentiable. Each call looks at other points."""

    def __init__(
        self,
        decoder: Decoder,
        observation: Observation,
        placement: Placement,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.decoder, self.generator, self.device = decoder, generator, device
        self.surface = torch.from_numpy(placement.apply(observation.surface)).to(device)
        self.queries = torch.from_numpy(placement.apply(observation.queries)).to(device)
        self.distances = torch.from_numpy(observation.distances * np.float32(placement.scale)).to(device)
        self.level = observation.level * placement.scale

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

    def known_cells(self) -> Tensor:
        """1 for the cells (8, 8, 8) that hold something known, 0 for the others."""
        points = torch.cat([self.surface, self.queries])[None]
        cells = torch.zeros(LATENT_RESOLUTION**3, device=self.device)
        cells[cell_indices(points, LATENT_RESOLUTION)[0]] = 1
        return cells.view(*[LATENT_RESOLUTION] * 3)


def fit(
    latents: Tensor,
    disagreement: Disagreement,
    config: FitConfig,
    step: Callable[[int], object],
) -> Tensor:
    """(B, C, 8, 8, 8) latents, moved by Adam in the cells around what is known. `step(done)` may raise to stop."""
    mask = disagreement.known_cells()
    latents = latents.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=config.rate, betas=(0.8, 0.95))
    for index in range(config.steps):
        optimizer.param_groups[0]["lr"] = config.rate * (1 - index / config.steps)
        with torch.enable_grad():
            disagreement(latents).sum().backward()
        assert latents.grad is not None
        latents.grad *= mask
        optimizer.step()
        optimizer.zero_grad()
        step(index + 1)
    return latents.detach()
