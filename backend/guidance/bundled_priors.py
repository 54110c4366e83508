"""The bundled view model as a prior for score distillation, told of a picture or of a prompt."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.noise_schedule import signal_and_noise
from ..models.novel_views import NovelViews
from ..models.text_encoder import TextEncoder
from ..models.view_diffusion import SIZE, ViewConditions, ViewDiffusion
from ..representations.cameras import Cameras


class _ViewModelPrior(ABC):
    """What both have in common; subclasses say what the network is told."""

    def __init__(self, network: ViewDiffusion) -> None:
        self.network = network

    def encode(self, images: Tensor) -> Tensor:
        """As `DiffusionPrior` has it: 64² pixels, each the mean of what it covers, from −1 to 1."""
        if images.shape[-1] != SIZE:
            images = functional.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
        return images * 2 - 1

    def signal_and_noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """As `DiffusionPrior` has it."""
        return signal_and_noise(time)

    def denoise(self, noisy: Tensor, time: Tensor, cameras: Cameras, guidance_scale: float) -> Tensor:
        """As `DiffusionPrior` has it."""
        conditions = self._conditions(cameras)
        predicted = self.network(noisy, time, conditions)
        if guidance_scale != 1:
            free = self.network(noisy, time, self.network.of_nothing(len(noisy)))
            predicted = free + guidance_scale * (predicted - free)
        return predicted.clamp(-1, 1)

    def adapted(self, network: nn.Module) -> _ViewModelPrior:
        """As `DiffusionPrior` has it."""
        assert isinstance(network, ViewDiffusion)
        other = copy.copy(self)
        other.network = network
        return other

    @abstractmethod
    def _conditions(self, cameras: Cameras) -> ViewConditions: ...


class ViewPrior(_ViewModelPrior):
    """Views of the object in `picture`, which is as `NovelViews.views` takes it, as are the other arguments."""

    def __init__(
        self,
        model: NovelViews,
        picture: np.ndarray,
        *,
        elevation: float,
        azimuth: float,
        window: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__(model.network)
        self.model, self.elevation, self.azimuth = model, elevation, azimuth
        with torch.no_grad():
            self.encoded = model.encode(picture, elevation)
        self.window = self.encoded.window if window is None else model.raw_window(window)

    def _conditions(self, cameras: Cameras) -> ViewConditions:
        return self.model.conditions(self.encoded, self.window, self.elevation, self.azimuth, cameras)


class TextPrior(_ViewModelPrior):
    """Pictures of what `prompt` says, from cameras whose azimuth 0 is the object's front."""

    def __init__(self, model: NovelViews, prompt: str) -> None:
        super().__init__(model.network)
        self.embedding = TextEncoder(model.device)([prompt])

    def _conditions(self, cameras: Cameras) -> ViewConditions:
        return self.network.of_sentences(self.embedding.expand(len(cameras), -1), cameras.to(self.embedding.device))
