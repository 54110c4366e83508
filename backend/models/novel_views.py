"""Other views of the object in one picture, by the bundled view model.

model = NovelViews.load("cpu")
cameras = Cameras.framing(torch.tensor([0.5, 2.0]), torch.tensor([0.2, 0.2]))
views = model.views(picture, elevation=0.2, azimuth=0.0, cameras=cameras, seed=0)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..representations.cameras import Cameras
from ..weights.bundled import FOLDER, VIEWS, expected_hashes, load_weights
from .noise_schedule import sample_ddim
from .view_diffusion import IMAGE_CHANNELS, SIZE, ViewConditions, ViewDiffusion, ViewDiffusionConfig
from .view_volume import EncodedPicture

STEPS = 1
"""More are sharper, but agree less with what is there: `benchmarks/novel_views.py`."""
GUIDANCE_SCALE = 1.0
AT_ONCE = 16
"""Views that are denoised together."""
COVERED = 1 / 255
"""The opacity from which on a pixel has a colour."""


class NovelViews:
    """The view model on one device. Make it with `load`; weights: the hash of its file."""

    def __init__(self, network: ViewDiffusion, weights: dict[str, str]) -> None:
        self.network, self.weights = network, weights
        self.device = network.absent.device

    @classmethod
    def load(cls, device: str | torch.device = "cpu", folder: Path = FOLDER) -> NovelViews:
        """Reads the weights in `folder`, the bundled ones unless said otherwise.

        Raises MachineError when they are missing, cut short or another than recorded.
        """
        state, config = load_weights(VIEWS, folder)
        with torch.device("meta"):
            network = ViewDiffusion(
                ViewDiffusionConfig(
                    encoder=tuple(config["encoder"]), denoiser=tuple(config["denoiser"]), vector=config["vector"]
                )
            )
        network.load_state_dict(state, assign=True)
        network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
        return cls(network, {VIEWS: expected_hashes(folder)[VIEWS]})

    @torch.no_grad()
    def views(
        self,
        picture: np.ndarray,
        *,
        elevation: float,
        azimuth: float,
        cameras: Cameras,
        seed: int,
        window: tuple[float, float, float] | None = None,
        steps: int = STEPS,
        guidance_scale: float = GUIDANCE_SCALE,
        step: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """The pictured object as B cameras see it: (B, 64, 64, 4) float32, sRGB and alpha, not premultiplied.

        picture: (S, S, 4) float32 in [0, 1], sRGB and alpha, not premultiplied; the object's box fills 85 % of a side.
        elevation, azimuth: where its camera is, radians. window: where in the standard framing of that camera the
        picture was cut out, as `window` gives it; inferred where it is not known. The same arguments on the same device
        give the same views. steps: of the sampler; one step gives the mean of all likely views, more give one of them,
        sharper. guidance_scale: 1 is the plain conditional model. `step(done, total)` is called after every step and
        may raise to stop. Raises InputError for a picture of another shape.
        """
        encoded = self.encode(picture, elevation)
        placed = encoded.window if window is None else self.raw_window(window)
        conditions = self.conditions(encoded, placed, elevation, azimuth, cameras)
        generator = torch.Generator().manual_seed(seed)
        # One noise for all views, so that what they make up is alike.
        noise = torch.randn(1, IMAGE_CHANNELS, SIZE, SIZE, generator=generator).expand(len(cameras), -1, -1, -1)
        parts = torch.arange(len(cameras), device=self.device).split(AT_ONCE)
        made = []
        for index, chosen in enumerate(parts):

            def tell(done: int, _: int, before: int = index * steps) -> None:
                if step is not None:
                    step(before + done, len(parts) * steps)

            own = conditions.of(chosen)
            start = noise[: len(chosen)].to(self.device)
            denoise = self.denoiser(own, guidance_scale)
            made.append(sample_ddim(denoise, start, steps=steps, step=tell))
        return straight_alpha(torch.cat(made))

    def window(self, picture: np.ndarray, elevation: float) -> tuple[float, float, float]:
        """Where in the standard framing of its camera (`Cameras.framing`) the picture was probably cut out: the middle,
        to the right and up, and half the side, in halves of the framing's side. Raises InputError as `views` does."""
        with torch.no_grad():
            across, up, half = self.encode(picture, elevation).window[0].double().tolist()
        return across, up, float(np.exp(half))

    def encode(self, picture: np.ndarray, elevation: float) -> EncodedPicture:
        """The picture as the network knows it; see `views`."""
        if picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 4:
            raise InputError(f"A picture must be square with four channels, (S, S, 4), not {picture.shape}.")
        images = as_network_images(torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None])
        return self.network.encoder(images.to(self.device), torch.tensor([elevation], device=self.device))

    def conditions(
        self, encoded: EncodedPicture, window: Tensor, elevation: float, azimuth: float, cameras: Cameras
    ) -> ViewConditions:
        """What the network is told of views by `cameras` of one encoded picture; window (1, 3) as EncodedPicture's."""
        turned = Cameras(cameras.azimuth - azimuth, cameras.elevation, cameras.radius, cameras.field_of_view)
        own = torch.tensor([elevation], device=self.device)
        return self.network.of_pictures(encoded, window, own, turned.to(self.device))

    def denoiser(self, conditions: ViewConditions, guidance_scale: float) -> Callable[[Tensor, Tensor], Tensor]:
        """Noisy views (B, 4, 64, 64) and times (B,) → x̂, with classifier-free guidance (Ho and Salimans 2022) where the
        scale is not 1."""

        def denoise(noisy: Tensor, time: Tensor) -> Tensor:
            if guidance_scale == 1:
                return self.network(noisy, time, conditions)
            both = ViewConditions.joined([conditions, self.network.of_nothing(len(conditions))])
            told, free = self.network(torch.cat([noisy, noisy]), torch.cat([time, time]), both).chunk(2)
            return free + guidance_scale * (told - free)

        return denoise

    def raw_window(self, window: tuple[float, float, float]) -> Tensor:
        """A window as `window` gives it → (1, 3), as EncodedPicture has it."""
        across, up, half = window
        return torch.tensor([[across, up, float(np.log(half))]], dtype=torch.float32, device=self.device)


def as_network_images(pictures: Tensor) -> Tensor:
    """(B, S, S, 4) float32 in [0, 1], not premultiplied → (B, 4, 64, 64) in [−1, 1], sRGB over white and alpha: each
    pixel the mean of what it covers."""
    channels = pictures.permute(0, 3, 1, 2)
    alpha = channels[:, 3:]
    over_white = torch.cat([channels[:, :3] * alpha + 1 - alpha, alpha], dim=1)
    if pictures.shape[1] != SIZE:
        over_white = functional.interpolate(over_white, (SIZE, SIZE), mode="bilinear", antialias=True)
    return over_white * 2 - 1


def straight_alpha(images: Tensor) -> np.ndarray:
    """The network's images (B, 4, 64, 64) → (B, 64, 64, 4) float32 in [0, 1], sRGB and alpha, not premultiplied."""
    values = (images / 2 + 0.5).clamp(0, 1)
    alpha = values[:, 3:]
    colors = ((values[:, :3] - (1 - alpha)) / alpha.clamp(min=COVERED)).clamp(0, 1) * (alpha >= COVERED)
    return torch.cat([colors, alpha], dim=1).permute(0, 2, 3, 1).cpu().numpy()
