"""The diffusion models that optimisations listen to, bundled or published, each in the same words.

A view model makes pictures of the other sides of the object in a picture, and is a prior of such pictures; a picture
model is a prior of pictures of a prompt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from ..data.background import object_mask
from ..guidance.bundled_priors import TextPrior, ViewPrior
from ..guidance.prior import DiffusionPrior
from ..guidance.score_distillation import DistillationSettings
from ..guidance.stable_diffusion_prior import StableDiffusionPrior
from ..guidance.zero123_prior import Zero123Prior
from ..models import zero123
from ..models.novel_views import NovelViews
from ..models.stable_diffusion import StableDiffusion
from ..models.zero123 import EncodedView, Zero123
from ..representations.cameras import Cameras
from ..representations.mesh_rendering import Window
from .framing import framed
from .picture_pose import Pose

VIEW_STEPS = 1
"""Of the bundled model's sampler. One gives the mean of all likely views, in which silhouettes agree from view to view;
more make each sharper and all less alike."""


class ViewModel(Protocol):
    """Other views of the object in a picture (S, S, 4) float32, sRGB and alpha, cut out and recentred.

    weights: file → SHA-256. settings: how the model's score is distilled. guidance_weight: of its gradient, a sum over
    pixels, beside a photometric loss, which is a mean.
    """

    guidance_weight: float

    @property
    def device(self) -> torch.device: ...

    @property
    def weights(self) -> dict[str, str]: ...

    @property
    def settings(self) -> DistillationSettings: ...

    def placed(self, picture: np.ndarray, pose: Pose) -> Pose:
        """The pose with the window that the model takes the picture to be seen in."""
        ...

    def views(
        self, picture: np.ndarray, pose: Pose, cameras: Cameras, *, seed: int, step: Callable[[float], None]
    ) -> np.ndarray:
        """(B, S, S, 4) float32 pictures, sRGB and alpha, not premultiplied; alpha is the probability that the object is
        there. `step(share done)` may raise to stop."""
        ...

    def prior(self, picture: np.ndarray, pose: Pose) -> DiffusionPrior:
        """The model as a critic of views of that object."""
        ...


class PictureModel(Protocol):
    """Pictures of prompts; weights: file → SHA-256."""

    @property
    def device(self) -> torch.device: ...

    @property
    def weights(self) -> dict[str, str]: ...

    def settings(self, guidance_scale: float) -> DistillationSettings:
        """How the model's score is distilled."""
        ...

    def prior(self, prompt: str) -> DiffusionPrior:
        """The model as a critic of pictures of a prompt."""
        ...


Network = TypeVar("Network", NovelViews, Zero123, StableDiffusion)


class _Wrapping(Generic[Network]):
    """What is asked of a model wherever it comes from."""

    def __init__(self, model: Network) -> None:
        self.model: Network = model

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def weights(self) -> dict[str, str]:
        return self.model.weights


class BundledViewModel(_Wrapping[NovelViews]):
    """The bundled model as a `ViewModel`."""

    settings = DistillationSettings()
    guidance_weight = 3e-4

    def placed(self, picture: np.ndarray, pose: Pose) -> Pose:
        """As `ViewModel` has it. The feed-forward shape's own window would not do: the views that the model makes have
        the size that the model takes the object for."""
        across, up, half = self.model.window(picture, pose.elevation)
        return dataclasses.replace(pose, window=Window(across, -up, half))

    def views(
        self, picture: np.ndarray, pose: Pose, cameras: Cameras, *, seed: int, step: Callable[[float], None]
    ) -> np.ndarray:
        """As `ViewModel` has it; of 64 pixels."""
        return self.model.views(
            picture,
            elevation=pose.elevation,
            azimuth=pose.azimuth,
            window=_bundled_window(pose.window),
            cameras=cameras,
            seed=seed,
            steps=VIEW_STEPS,
            step=lambda done, total: step(done / total),
        )

    def prior(self, picture: np.ndarray, pose: Pose) -> DiffusionPrior:
        """As `ViewModel` has it."""
        return ViewPrior(
            self.model,
            picture,
            elevation=pose.elevation,
            azimuth=pose.azimuth,
            window=_bundled_window(pose.window),
        )


class PublishedViewModel(_Wrapping[Zero123]):
    """Zero123 as a `ViewModel`. It is shown the picture in the standard framing, in which all of its views are; what is
    white in them is told from the object as in a photograph without transparency."""

    settings = DistillationSettings(guidance_scale=zero123.GUIDANCE_SCALE, weighting="variance")
    guidance_weight = 1e-4
    """Little, as in threestudio's configuration of Zero123, where the ratio is 1.5e-5."""

    def placed(self, picture: np.ndarray, pose: Pose) -> Pose:
        """As `ViewModel` has it: that of the feed-forward shape, as the model is shown no other."""
        return pose

    def views(
        self, picture: np.ndarray, pose: Pose, cameras: Cameras, *, seed: int, step: Callable[[float], None]
    ) -> np.ndarray:
        """As `ViewModel` has it; of 256 pixels."""
        seen = self.model.views(
            self._encoded(picture, pose),
            cameras,
            seed=seed,
            steps=zero123.STEPS,
            step=lambda done, total: step(done / total),
        )
        colors = seen.permute(0, 2, 3, 1).cpu().numpy()
        masks = np.stack([object_mask(one) for one in colors])
        return np.concatenate([colors, masks[..., None]], axis=-1)

    def prior(self, picture: np.ndarray, pose: Pose) -> DiffusionPrior:
        """As `ViewModel` has it."""
        return Zero123Prior(self.model, self._encoded(picture, pose))

    def _encoded(self, picture: np.ndarray, pose: Pose) -> EncodedView:
        shown = framed(picture, pose.window, zero123.SIZE)
        over_white = shown[..., :3] * shown[..., 3:] + 1 - shown[..., 3:]
        return self.model.encode(torch.from_numpy(over_white).permute(2, 0, 1), pose.elevation, pose.azimuth)


class BundledPictureModel(_Wrapping[NovelViews]):
    """The bundled model as a `PictureModel`. It is told each picture's camera."""

    def settings(self, guidance_scale: float) -> DistillationSettings:
        """As `PictureModel` has it."""
        return DistillationSettings(guidance_scale=guidance_scale)

    def prior(self, prompt: str) -> DiffusionPrior:
        """As `PictureModel` has it."""
        return TextPrior(self.model, prompt)


class PublishedPictureModel(_Wrapping[StableDiffusion]):
    """Stable Diffusion as a `PictureModel`. It is told in words which side is seen."""

    def settings(self, guidance_scale: float) -> DistillationSettings:
        """As `PictureModel` has it."""
        return DistillationSettings(guidance_scale=guidance_scale, weighting="variance")

    def prior(self, prompt: str) -> DiffusionPrior:
        """As `PictureModel` has it."""
        return StableDiffusionPrior(self.model, prompt)


def _bundled_window(window: Window) -> tuple[float, float, float]:
    """A window as the bundled model has it: the middle to the right and up, and half the side."""
    return window.x, -window.y, window.half
