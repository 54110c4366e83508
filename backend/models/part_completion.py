"""Whole shapes from a part: the prior samples given the part, the likeliest sample is kept and fitted to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..color import linear_to_srgb
from .agreement import Disagreement, FitConfig, fit
from .conditions import Conditions
from .latent_prior import Guidance, LatentPrior, sample
from .observation import Observation
from .partial_shape import cell_centres, partial_grid
from .placements import Placement, placements
from .principal_components import PrincipalComponents
from .shape_autoencoder import Decoder

CONDITION_POINTS = 2048
TRIED_TWICE = 2
SCAN_TRIES = 3
"""So many of the likeliest placements in a box get a second sample, and every one of a scan so many, since far less is
told of it. A sample costs little beside what is done with the best."""
SCAN_FIT = FitConfig(steps=12)
"""What is known of a scan does not take the decoder's place, so the decoder must come nearer to it."""


def part_of(observation: Observation, placement: Placement) -> Tensor:
    """The observation as the prior reads it, (1, 11, 16, 16, 16) float32."""
    chosen = np.random.default_rng(0).permutation(len(observation.surface))[:CONDITION_POINTS]
    points = placement.apply(observation.surface[chosen])
    nothing = np.zeros_like(points)
    normals = nothing if observation.normals is None else observation.normals[chosen].astype(np.float32)
    colors = nothing if observation.colors is None else linear_to_srgb(observation.colors[chosen]) * 2 - 1
    unknown = None
    if observation.unknown is not None:
        centres = (cell_centres().numpy() - placement.offset) / placement.scale
        unknown = torch.from_numpy(observation.unknown.contains(centres))[None]
    places, directions, tones = (
        torch.from_numpy(array.astype(np.float32))[None] for array in (points, normals, colors)
    )
    return partial_grid(places, directions, tones, torch.ones(1, len(points), dtype=torch.bool), unknown)


def complete(
    decoder: Decoder,
    components: PrincipalComponents,
    prior: LatentPrior,
    observation: Observation,
    told: Conditions,
    *,
    seed: int,
    steps: int,
    guidance_scale: float,
    config: FitConfig | None = None,
    step: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, Placement]:
    """A latent (C, 8, 8, 8) float32 of a whole shape that has the observed part, and where it lies; another seed gives
    another.

    told: what else is known of one shape, a sentence for example. Candidates are sampled for each placement, of which
    the one that agrees best is fitted. `step(done, total)` is called after every step and may raise to stop.
    """
    config = config or (SCAN_FIT if observation.unknown is None else FitConfig())
    device = components.mean.device
    places = placements(observation)
    places = places + places[:TRIED_TWICE] if observation.unknown is not None else SCAN_TRIES * places
    total = steps + len(places) + config.steps

    def tell(done: int) -> None:
        if step is not None:
            step(done, total)

    parts = torch.cat([part_of(observation, place) for place in places]).to(device)
    rows = torch.arange(len(places), device=device)
    conditions = replace(told.repeated(len(places)), parts=(rows, parts))
    guidance = Guidance.by(prior, conditions, guidance_scale)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(places), prior.config.components, generator=generator).to(device)
    latents = components.restore(sample(prior, noise, guidance, steps=steps, step=tell))
    disagreements = [Disagreement(decoder, observation, place, generator, device) for place in places]
    errors = []
    for index, disagreement in enumerate(disagreements):
        with torch.no_grad():
            errors.append(float(disagreement(latents[index : index + 1])))
        tell(steps + index + 1)
    best = int(np.argmin(errors))
    fitted = fit(latents[best : best + 1], disagreements[best], config, lambda done: tell(steps + len(places) + done))
    return fitted[0].clone(), places[best]
