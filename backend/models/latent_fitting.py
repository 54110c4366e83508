"""Finding the latent that fits observations, by optimisation: the auto-decoder's way in.

Park et al., "DeepSDF", 2019, eq. 10: ẑ = argmin Σⱼ L(f(z, xⱼ), sⱼ) + ‖z‖² / σ², where L is the absolute difference of
the signed distances, both clamped. The observations may cover a part of space only; the prior then decides the rest.

    found = fit_latent(model.signed_distance, torch.zeros(256), points, distances)              DeepSDF
    latent = fit_shape(space, points, distances)                                                the bundled decoder
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from ..progress import IsCancelled, check_cancelled
from .principal_components import PrincipalComponents
from .shape_autoencoder import ShapeAutoencoder

SignedDistance = Callable[[Tensor, Tensor], Tensor]
"""Latent of any shape, points (N, 3) → (N,) signed distances, differentiable in the latent."""


@dataclass(frozen=True)
class FittingConfig:
    """The defaults are the paper's and its code's, for codes of DeepSDF.

    clamp       distances beyond this (model units) count as this
    deviation   σ: how far latents lie from 0 in each direction
    steps       of Adam; the rate falls to a tenth after half of them
    batch       observations looked at in a step
    """

    clamp: float = 0.1
    deviation: float = 0.01
    steps: int = 800
    rate: float = 5e-4
    batch: int = 8000


WHITENED = FittingConfig(deviation=1.0, steps=150, rate=0.05, batch=4096)
"""For whitened coefficients of the bundled decoder, which have unit variance."""


class DecodedSpace(Protocol):
    """What `fit_shape` needs of a shape space."""

    @property
    def autoencoder(self) -> ShapeAutoencoder: ...

    @property
    def components(self) -> PrincipalComponents: ...


def fit_latent(
    signed_distance: SignedDistance,
    start: Tensor,
    points: Tensor,
    distances: Tensor,
    *,
    config: FittingConfig | None = None,
    seed: int = 0,
    cancelled: IsCancelled | None = None,
) -> Tensor:
    """The latent, of the shape and on the device of `start`, whose distances come nearest to the observed ones.

    points (N, 3), distances (N,) float32, negative inside. The same arguments on the same device give the same latent.
    Raises InputError when there are no observations or they are no numbers, and Cancelled.
    """
    config = config or FittingConfig()
    if points.ndim != 2 or points.shape[1] != 3 or distances.shape != points.shape[:1] or not len(points):
        raise InputError(
            f"There must be one signed distance for each observed point, not {tuple(distances.shape)} for "
            f"{tuple(points.shape)}."
        )
    if not (torch.isfinite(points).all() and torch.isfinite(distances).all()):
        raise InputError("The observations contain numbers that are not finite.")
    points, wanted = points.to(start), distances.to(start).clamp(-config.clamp, config.clamp)
    generator = torch.Generator().manual_seed(seed)
    batch = min(config.batch, len(points))
    latent = start.detach().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latent], lr=config.rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=max(config.steps // 2, 1), gamma=0.1)
    with torch.enable_grad():
        for _ in range(config.steps):
            check_cancelled(cancelled)
            chosen = torch.randperm(len(points), generator=generator)[:batch].to(start.device)
            found = signed_distance(latent, points[chosen]).clamp(-config.clamp, config.clamp)
            # The sum over all observations, estimated from those of this step.
            misfit = (found - wanted[chosen]).abs().mean() * len(points)
            loss = misfit + latent.square().sum() / config.deviation**2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return latent.detach()


def fit_shape(
    space: DecodedSpace,
    points: Tensor,
    distances: Tensor,
    *,
    config: FittingConfig = WHITENED,
    seed: int = 0,
    cancelled: IsCancelled | None = None,
) -> Tensor:
    """The bundled decoder's latent (C, 8, 8, 8) that fits signed distances (N,) at points (N, 3) of model space.

    What is optimised are the whitened coefficients, so that eq. 10's prior is that of the training shapes. Raises as
    `fit_latent` does.
    """
    decoder, components = space.autoencoder.decoder, space.components

    def signed_distance(coefficients: Tensor, at: Tensor) -> Tensor:
        return decoder.signed_distance(decoder.grids(components.restore(coefficients[None])), at[None])[0]

    start = torch.zeros(len(components.deviations), device=components.mean.device)
    found = fit_latent(signed_distance, start, points, distances, config=config, seed=seed, cancelled=cancelled)
    return components.restore(found[None])[0]
