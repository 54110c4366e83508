"""The principal components of the shape space: a latent grid ↔ a short vector of whitened coefficients.

A few thousand training shapes span far fewer directions than a latent has numbers; a prior over those directions is
small, fast, and cannot leave them (Pearson 1901; the randomised decomposition is Halko et al. 2011).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError

OVERSAMPLING = 32


class PrincipalComponents(nn.Module):
    """mean (D,), directions (K, D) orthonormal, deviations (K,) descending; all buffers, D = C · 8³."""

    mean: Tensor
    directions: Tensor
    deviations: Tensor

    def __init__(self, count: int, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.latent_shape = tuple(latent_shape)
        size = torch.Size(latent_shape).numel()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("directions", torch.zeros(count, size))
        self.register_buffer("deviations", torch.ones(count))

    def fit(self, latents: Tensor) -> None:
        """Takes the leading components of `latents` (N, C, 8, 8, 8).

        Random, by torch's global generator. Raises InputError when N latents cannot span that many components.
        """
        flat = latents.flatten(1).float()
        count, most = len(self.deviations), min(len(flat) - 1, flat.shape[1])
        if count > most:
            raise InputError(f"{len(flat)} latents have at most {most} components, not {count}: train on more objects.")
        self.mean.copy_(flat.mean(0))
        centred = flat - self.mean
        _, singular, right = torch.svd_lowrank(centred, q=min(count + OVERSAMPLING, *centred.shape), niter=4)
        self.directions.copy_(right[:, :count].T)
        self.deviations.copy_(singular[:count] / (len(flat) - 1) ** 0.5)

    def explained(self, latents: Tensor) -> float:
        """The share of the variance of `latents` (N, C, 8, 8, 8) about their mean that the components keep."""
        lost = (self.restore(self.whiten(latents)) - latents).flatten(1)
        centred = latents.flatten(1) - latents.flatten(1).mean(0)
        return (1 - lost.square().sum() / centred.square().sum()).item()

    def whiten(self, latents: Tensor) -> Tensor:
        """(N, C, 8, 8, 8) → (N, K), each coefficient of unit variance over the training latents."""
        return (latents.flatten(1) - self.mean) @ self.directions.T / self.deviations

    def restore(self, coefficients: Tensor) -> Tensor:
        """(N, K) → (N, C, 8, 8, 8); the inverse of `whiten` on the span of the components."""
        return (coefficients * self.deviations @ self.directions + self.mean).unflatten(1, self.latent_shape)
