"""Stable Diffusion as a prior for score distillation, told of a prompt and, in words, of the side that is seen."""

from __future__ import annotations

import copy
import dataclasses
import math

import torch
from torch import Tensor, nn

from ..models.stable_diffusion import StableDiffusion
from ..representations.cameras import Cameras

SIDES = ("front view", "side view", "back view", "overhead view")
"""The words of Poole et al., "DreamFusion", 2022, §3.2."""
OVERHEAD = math.radians(60)
FRONT = math.radians(45)
"""Azimuths to both sides of the front, and of the back, that count as those views."""


def side_of(cameras: Cameras) -> Tensor:
    """Which of SIDES each of B cameras sees, (B,) int64; azimuth 0 is the object's front."""
    away = torch.atan2(cameras.azimuth.sin(), cameras.azimuth.cos()).abs()
    around = (away >= FRONT).long() + (away > math.pi - FRONT).long()
    return around.where(cameras.elevation <= OVERHEAD, torch.full_like(around, 3))


class StableDiffusionPrior:
    """Pictures of what `prompt` says, as `DiffusionPrior` has them, in the latents of the auto-encoder."""

    def __init__(self, model: StableDiffusion, prompt: str) -> None:
        self.diffusion = model.diffusion
        self.told = model.embed([f"{prompt}, {side}" for side in SIDES])
        self.free = model.embed([""])

    @property
    def network(self) -> nn.Module:
        return self.diffusion.unet

    def encode(self, images: Tensor) -> Tensor:
        """As `DiffusionPrior` has it; the opacity is not looked at."""
        return self.diffusion.encode(images[:, :3])

    def signal_and_noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """As `DiffusionPrior` has it."""
        return self.diffusion.signal_and_noise(time)

    def denoise(self, noisy: Tensor, time: Tensor, cameras: Cameras, guidance_scale: float) -> Tensor:
        """As `DiffusionPrior` has it."""
        told = self.diffusion.denoise(noisy, time, self.told[side_of(cameras).to(self.told.device)])
        if guidance_scale == 1:
            return told
        free = self.diffusion.denoise(noisy, time, self.free.expand(len(cameras), -1, -1))
        return free + guidance_scale * (told - free)

    def adapted(self, network: nn.Module) -> StableDiffusionPrior:
        """As `DiffusionPrior` has it."""
        other = copy.copy(self)
        other.diffusion = dataclasses.replace(self.diffusion, unet=network)
        return other
