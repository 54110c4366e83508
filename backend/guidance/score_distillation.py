"""Score distillation: rendered pictures are noised, and should change the way a diffusion model denoises them.

SDS: Poole et al., "DreamFusion: Text-to-3D using 2D Diffusion", 2022, eq. 3. VSD: Wang et al., "ProlificDreamer:
High-Fidelity and Diverse Text-to-3D Generation with Variational Score Distillation", 2023, eq. 9; both on whatever
`DiffusionPrior` they are made with.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..representations.cameras import Cameras
from .guidance import GuidanceStep
from .low_rank import add_low_rank, low_rank_parameters
from .prior import DiffusionPrior


@dataclass(frozen=True)
class DistillationSettings:
    """How pictures are noised, and how loud the answer is.

    first, last: the range that times are drawn from at the beginning and the end of an optimisation, linear between
    them (time annealing: Huang et al., "DreamTime", 2023; Wang et al. 2023, §3.3). weighting: "data" for the gradient
    x − x̂, which is that of half the squared distance from the denoised picture; "variance" for σ² (ε̂ − ε), which is
    DreamFusion's and equals α σ (x − x̂). most: the greatest norm of one picture's gradient, by the data.
    """

    guidance_scale: float = 1.0
    first: tuple[float, float] = (0.6, 0.98)
    last: tuple[float, float] = (0.1, 0.5)
    weighting: Literal["data", "variance"] = "data"
    most: float = 100.0

    def draw_time(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """(count,) float32 times for an optimisation of which the share `progress` is done."""
        low, high = (start + progress * (end - start) for start, end in zip(self.first, self.last, strict=True))
        return low + (high - low) * torch.rand(count, generator=generator)


@dataclass(frozen=True)
class _Noised:
    """noisy = α x + σ ε (B, C, H, W) at time (B,); signal α and deviation σ (B, 1, 1, 1)."""

    noisy: Tensor
    time: Tensor
    noise: Tensor
    signal: Tensor
    deviation: Tensor


def _noised(prior: DiffusionPrior, data: Tensor, time: Tensor, generator: torch.Generator) -> _Noised:
    noise = torch.randn(data.shape, generator=generator).to(data)
    time = time.to(data.device)
    signal, deviation = (level[:, None, None, None] for level in prior.signal_and_noise(time))
    return _Noised(signal * data + deviation * noise, time, noise, signal, deviation)


class ScoreDistillation:
    """SDS as a `Guidance`."""

    def __init__(self, prior: DiffusionPrior, settings: DistillationSettings | None = None) -> None:
        self.prior, self.settings = prior, settings or DistillationSettings()

    def gradient(self, images: Tensor, cameras: Cameras, generator: torch.Generator, progress: float) -> GuidanceStep:
        """As `Guidance` has it. loss: half the squared gradient by the data, the mean of the pictures'."""
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            data = self.prior.encode(leaf)
        of_data = self._of_data(data.detach(), cameras, generator, progress)
        norms = of_data.flatten(1).norm(dim=1)
        of_data = of_data * (self.settings.most / norms.clamp(min=self.settings.most))[:, None, None, None]
        (of_images,) = torch.autograd.grad(data, leaf, of_data)
        return GuidanceStep(of_images, 0.5 * of_data.square().flatten(1).sum(dim=1).mean().item())

    @torch.no_grad()
    def _of_data(self, data: Tensor, cameras: Cameras, generator: torch.Generator, progress: float) -> Tensor:
        time = self.settings.draw_time(len(data), progress, generator)
        noised = _noised(self.prior, data, time, generator)
        wanted = self.prior.denoise(noised.noisy, noised.time, cameras, self.settings.guidance_scale)
        return self._weighted(data - wanted, noised)

    def _weighted(self, difference: Tensor, noised: _Noised) -> Tensor:
        if self.settings.weighting == "data":
            return difference
        return noised.signal * noised.deviation * difference


class VariationalScoreDistillation(ScoreDistillation):
    """VSD as a `Guidance`: what the pictures are now is not the noise that was added to them but what a copy of the
    network says, which learns from the pictures with low-rank changes (Hu et al., "LoRA", 2021).

    rank, rate: of those changes and of their Adam.
    """

    def __init__(
        self,
        prior: DiffusionPrior,
        settings: DistillationSettings | None = None,
        *,
        rank: int = 4,
        rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(prior, settings)
        network = copy.deepcopy(prior.network).requires_grad_(False)
        add_low_rank(network, rank, torch.Generator().manual_seed(seed))
        self.learner = prior.adapted(network)
        self.optimizer = torch.optim.Adam(low_rank_parameters(network), lr=rate)

    def _of_data(self, data: Tensor, cameras: Cameras, generator: torch.Generator, progress: float) -> Tensor:
        time = self.settings.draw_time(len(data), progress, generator)
        noised = _noised(self.prior, data, time, generator)
        with torch.no_grad():
            wanted = self.prior.denoise(noised.noisy, noised.time, cameras, self.settings.guidance_scale)
            present = self.learner.denoise(noised.noisy, noised.time, cameras, 1.0)
        self._learn(data, cameras, generator)
        return self._weighted(present - wanted, noised)

    @torch.enable_grad()
    def _learn(self, data: Tensor, cameras: Cameras, generator: torch.Generator) -> None:
        """One step of the copy towards denoising these pictures, at any time, by the squared error of x̂ times α²."""
        noised = _noised(self.learner, data, torch.rand(len(data), generator=generator), generator)
        denoised = self.learner.denoise(noised.noisy, noised.time, cameras, 1.0)
        loss = (noised.signal * (denoised - data)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
