"""Bringing an encoded latent nearer to the shape that it stands for, by gradient descent through the decoder.

An encoder is amortised inference: it answers at once, and less well than the decoder could (Cremer et al., "Inference
Suboptimality in Variational Autoencoders", 2018). A few steps of the auto-decoder's descent (Park et al., "DeepSDF",
2019, eq. 10) from its answer, held near it by the latent's own prior, close most of that gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.surface import sample_surface
from ..data.volume import Volume
from .shape_autoencoder import Decoder

TRUNCATION = 0.1
SIGN_TEMPERATURE = 0.01
NEAR_DEVIATION, BAND_DEVIATION = 0.012, 0.05
COLOR_WEIGHT = 0.3
HELD_OUT = 4
"""One point in so many judges and does not teach."""


@dataclass(frozen=True)
class RefinementConfig:
    """Steps of Adam, their rate at first, points looked at in each, and the weight of the pull towards the start."""

    steps: int = 32
    rate: float = 0.1
    batch: int = 4096
    pull: float = 0.1


@dataclass(frozen=True)
class Evidence:
    """What is known of a shape: signed distances (Q,) at points (Q, 3), sRGB (S, 3) in [0, 1] at places on its surface
    (S, 3); float32, shuffled."""

    points: Tensor
    distances: Tensor
    places: Tensor
    srgb: Tensor

    @classmethod
    def of(cls, volume: Volume, places: np.ndarray, srgb: np.ndarray, *, count: int = 4096) -> Evidence:
        """`count` points close to the volume's surface, half as many around it and a quarter anywhere, and the colours
        of half as many of the given places; the same for the same shape. places, srgb: (S, 3) float32."""
        generator = np.random.default_rng(0)
        surface = generator.permutation(sample_surface(*volume.surface, count + count // 2, generator).positions)
        deviations = np.repeat([NEAR_DEVIATION, BAND_DEVIATION], [count, count // 2])[:, None]
        around = surface + deviations * generator.standard_normal(surface.shape)
        anywhere = generator.uniform(-1, 1, (count // 4, 3))
        points = generator.permutation(np.concatenate([around, anywhere]).clip(-1, 1).astype(np.float32))
        order = generator.permutation(len(places))[: count // 2]
        asked = torch.from_numpy(points)
        return cls(asked, volume.at_points(asked), torch.from_numpy(places[order]), torch.from_numpy(srgb[order]))


def misfit(decoder: Decoder, latent: Tensor, evidence: Evidence, points: Tensor, places: Tensor) -> Tensor:
    """How far the decoded latent (C, 8, 8, 8) is from the evidence with the given indices: the distance's and the
    sign's terms of the decoder's own training, and the absolute error of the colour.

    Inside and outside count alike, however few points are inside: a bicycle would else be best made of nothing.
    """
    grids = decoder.grids(latent[None])
    found = decoder.signed_distance(grids, evidence.points[points][None])[0].float()
    wanted = evidence.distances[points]
    errors = (found.clamp(-TRUNCATION, TRUNCATION) - wanted.clamp(-TRUNCATION, TRUNCATION)).abs() / TRUNCATION
    occupancy = torch.sigmoid(-wanted / SIGN_TEMPERATURE)
    signs = functional.binary_cross_entropy_with_logits(-found / SIGN_TEMPERATURE, occupancy, reduction="none")
    inside = (wanted < 0).float()
    weights = inside / inside.sum().clamp(min=1) + (1 - inside) / (1 - inside).sum().clamp(min=1)
    shape = (weights * (errors + 0.5 * signs)).sum() / 2
    color = decoder.srgb(grids, evidence.places[places][None])[0].float() - evidence.srgb[places]
    return shape + COLOR_WEIGHT * color.abs().mean()


def refined(decoder: Decoder, latent: Tensor, evidence: Evidence, config: RefinementConfig | None = None) -> Tensor:
    """The latent (C, 8, 8, 8) after descent from `latent`; that itself where evidence held out finds no improvement.

    The same arguments on the same device give the same latent.
    """
    config = config or RefinementConfig()
    device = latent.device
    evidence = Evidence(*(part.to(device) for part in vars(evidence).values()))
    totals = len(evidence.points), len(evidence.places)
    generator = torch.Generator().manual_seed(0)
    moved = latent.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([moved], lr=config.rate, betas=(0.8, 0.95))

    def taught(total: int) -> Tensor:
        """Indices, evenly drawn from what is not held out."""
        count, first = config.batch * total // sum(totals), total // HELD_OUT
        return (first + torch.randint(total - first, (count,), generator=generator)).to(device)

    for index in range(config.steps):
        optimizer.param_groups[0]["lr"] = config.rate * (1 - index / config.steps)
        with torch.enable_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
            loss = misfit(decoder, moved, evidence, *map(taught, totals))
            loss = loss + config.pull * (moved - latent).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    judged = [torch.arange(total // HELD_OUT, device=device) for total in totals]
    with torch.no_grad():
        before, after = (misfit(decoder, either, evidence, *judged) for either in (latent, moved))
    return moved.detach() if after < before else latent
