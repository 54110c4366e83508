"""What score distillation asks of a diffusion model."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from ..representations.cameras import Cameras


class DiffusionPrior(Protocol):
    """A diffusion model that was told what is to be seen: a picture of it, or a prompt."""

    @property
    def network(self) -> nn.Module:
        """What predicts, so that a copy can be adapted."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (B, 4, S, S) in [0, 1], sRGB over white and opacity, as the data (B, C, H, W) that the model knows;
        differentiable."""
        ...

    def signal_and_noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ at time (B,) from 0, data, to 1, noise; α² + σ² = 1."""
        ...

    def denoise(self, noisy: Tensor, time: Tensor, cameras: Cameras, guidance_scale: float) -> Tensor:
        """The data x̂ that noisy data α x + σ ε (B, C, H, W) at time (B,) most likely come from, seen by B cameras;
        guidance_scale: of classifier-free guidance (Ho and Salimans 2022), 1 for none."""
        ...

    def adapted(self, network: nn.Module) -> DiffusionPrior:
        """The same prior with another network of the same kind."""
        ...
