"""What a diffusion prior says about rendered pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from ..representations.cameras import Cameras


@dataclass(frozen=True)
class GuidanceStep:
    """gradient (B, 4, S, S): of the loss that is to fall, by the pictures, finite. loss: for people to watch."""

    gradient: torch.Tensor
    loss: float


class Guidance(Protocol):
    """A critic of rendered pictures, made with its condition (a picture, a prompt); it knows nothing of fields."""

    def gradient(
        self, images: torch.Tensor, cameras: Cameras, generator: torch.Generator, progress: float
    ) -> GuidanceStep:
        """How the pictures should change to be likelier under the prior.

        images: (B, 4, S, S) float32 in [0, 1], sRGB over white and opacity, rendered from `cameras` (B of them).
        generator: draws the noise, so that the same state gives the same answer. progress: how much of the optimisation
        is done, in [0, 1], for schedules of the noise level.
        """
        ...
