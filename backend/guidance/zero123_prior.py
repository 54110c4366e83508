"""Zero123 as a prior for score distillation, told of a picture."""

from __future__ import annotations

import copy
import dataclasses

from torch import Tensor, nn

from ..models.zero123 import EncodedView, Zero123
from ..representations.cameras import Cameras


class Zero123Prior:
    """Views of the object in an encoded picture, as `DiffusionPrior` has them, in the latents of the auto-encoder."""

    def __init__(self, model: Zero123, view: EncodedView) -> None:
        self.model, self.view = model, view

    @property
    def network(self) -> nn.Module:
        return self.model.diffusion.unet

    def encode(self, images: Tensor) -> Tensor:
        """As `DiffusionPrior` has it; the opacity is not looked at."""
        return self.model.diffusion.encode(images[:, :3])

    def signal_and_noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """As `DiffusionPrior` has it."""
        return self.model.diffusion.signal_and_noise(time)

    def denoise(self, noisy: Tensor, time: Tensor, cameras: Cameras, guidance_scale: float) -> Tensor:
        """As `DiffusionPrior` has it."""
        return self.model.denoise(noisy, time, self.view, cameras, guidance_scale)

    def adapted(self, network: nn.Module) -> Zero123Prior:
        """As `DiffusionPrior` has it."""
        model = copy.copy(self.model)
        model.diffusion = dataclasses.replace(self.model.diffusion, unet=network)
        return Zero123Prior(model, self.view)
