"""Zero123, published: other views of the object in one picture (Liu et al., "Zero-1-to-3: Zero-shot One Image to 3D
Object", 2023; Zero123-XL: Deitke et al., "Objaverse-XL", 2023; Stable Zero123: Stability AI, 2023).

Its checkpoints have one layout: a latent-diffusion U-Net that sees the latents of the picture beside the noisy ones and
attends to one vector, a linear layer of the picture's CLIP embedding and four numbers of the relative camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError, is_out_of_memory
from ..representations.cameras import Cameras, relative
from ..weights.checkpoints import read_state
from .latent_diffusion import LatentDiffusion, Told, placed, require_packages
from .latent_diffusion_layout import (
    State,
    clip_config,
    clip_state,
    unet_config,
    unet_state,
    vae_config,
    vae_state,
)

SIZE = 256
CLIP_SIZE = 224
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
GUIDANCE_SCALE = 3.0
STEPS = 50
AT_ONCE = 4
"""Views that are denoised together."""

STABLE = "stable-zero123"


@dataclass(frozen=True, eq=False)
class EncodedView:
    """A picture in the standard framing as the model is told of it: embedding (1, 1, D), latent (1, 4, s, s); and its
    camera's elevation and azimuth, radians."""

    embedding: Tensor
    latent: Tensor
    elevation: float
    azimuth: float


class Zero123:
    """A published checkpoint on one device. Make it with `load`; weights: file name → SHA-256.

    diffusion: the U-Net and the auto-encoder. kind: "zero123-xl" or "stable-zero123", which says what the fourth number
    of the camera is: the change of the distance, or the picture's own polar angle.
    """

    def __init__(
        self,
        diffusion: LatentDiffusion,
        image_encoder: Any,
        projection: torch.nn.Linear,
        kind: str,
        device: str,
        weights: dict[str, str],
    ) -> None:
        self.diffusion, self.image_encoder, self.projection = diffusion, image_encoder, projection
        self.kind, self.device, self.weights = kind, torch.device(device), weights

    @classmethod
    def load(cls, path: Path, kind: str, *, device: str, saving: str, weights: dict[str, str]) -> Zero123:
        """Reads a checkpoint in the published layout; saving: one of `latent_diffusion.SAVINGS`.

        Raises MachineError where the packages are missing, InputError for a file that is no such checkpoint.
        """
        require_packages()
        return cls.from_state(read_state(path), kind, device=device, saving=saving, weights=weights)

    @classmethod
    def from_state(cls, state: State, kind: str, *, device: str, saving: str, weights: dict[str, str]) -> Zero123:
        """The model of a checkpoint's tensors; as `load`."""
        from accelerate import init_empty_weights
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        unet_part = _averaged(state)
        vae_part = _part(state, "first_stage_model.")
        clip_part = _part(state, "cond_stage_model.model.visual.")
        try:
            with init_empty_weights():
                unet = UNet2DConditionModel(**unet_config(unet_part))
                vae = AutoencoderKL(**vae_config(vae_part))
                width, seen = state["cc_projection.weight"].shape
                projection = torch.nn.Linear(seen, width)
                image_encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**clip_config(clip_part)))
            unet.load_state_dict(unet_state(unet_part), assign=True)
            vae.load_state_dict(vae_state(vae_part), assign=True)
            projection.load_state_dict(_part(state, "cc_projection."), assign=True)
            image_encoder.load_state_dict(clip_state(clip_part), assign=True)
        except (KeyError, ValueError, StopIteration, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            wrong = str(error).splitlines()[-1].strip() if str(error) else "its U-Net attends to nothing"
            raise InputError(f"The checkpoint is not Zero123's: {wrong}") from error
        placed_unet, placed_vae = placed(unet, vae, device, saving)
        for part in (image_encoder, projection):
            part.float().to(device).eval().requires_grad_(False)
        diffusion = LatentDiffusion(placed_unet, placed_vae, SIZE)
        return cls(diffusion, image_encoder, projection, kind, device, weights)

    @torch.no_grad()
    def encode(self, picture: Tensor, elevation: float, azimuth: float) -> EncodedView:
        """The picture (3, S, S) in [0, 1], sRGB over white, of a camera at that elevation and azimuth, radians."""
        image = functional.interpolate(picture[None].to(self.device), (SIZE, SIZE), mode="bilinear", antialias=True)
        small = functional.interpolate(image, (CLIP_SIZE, CLIP_SIZE), mode="bicubic", align_corners=True)
        mean, deviation = torch.tensor([CLIP_MEAN, CLIP_DEVIATION], device=self.device)[..., None, None]
        embedding = self.image_encoder((small - mean) / deviation).image_embeds[:, None]
        return EncodedView(embedding, self.diffusion.encoded(image), elevation, azimuth)

    def denoise(
        self, noisy: Tensor, time: Tensor, view: EncodedView, cameras: Cameras, guidance_scale: float
    ) -> Tensor:
        """Latents x̂ (B, 4, s, s) of what `cameras` see, from noisy ones at time (B,), with classifier-free guidance (Ho
        and Salimans 2022) where the scale is not 1."""
        embedding = view.embedding.expand(len(cameras), -1, -1)
        turned = self.camera_numbers(view, cameras).to(embedding)[:, None]
        context = self.projection(torch.cat([embedding, turned], dim=-1))
        beside = view.latent.expand(len(cameras), -1, -1, -1)
        told = self.diffusion.denoise(noisy, time, context, beside)
        if guidance_scale == 1:
            return told
        free = self.diffusion.denoise(noisy, time, torch.zeros_like(context), torch.zeros_like(beside))
        return free + guidance_scale * (told - free)

    def camera_numbers(self, view: EncodedView, cameras: Cameras) -> Tensor:
        """(B, 4): the change of the polar angle, sine and cosine of the change of the azimuth, and for Zero123 the
        change of the distance, for Stable Zero123 the picture's polar angle; angles in radians."""
        own = Cameras.framing(torch.tensor([view.azimuth]), torch.tensor([view.elevation]))
        raised, turned, farther = relative(own, cameras.to("cpu"))
        last = farther if self.kind != STABLE else torch.full_like(raised, math.pi / 2 - view.elevation)
        return torch.stack([-raised, turned.sin(), turned.cos(), last], dim=1)

    @torch.no_grad()
    def views(
        self,
        view: EncodedView,
        cameras: Cameras,
        *,
        seed: int,
        steps: int = STEPS,
        guidance_scale: float = GUIDANCE_SCALE,
        step: Told | None = None,
    ) -> Tensor:
        """What `cameras` see: (B, 3, 256, 256) in [0, 1], sRGB over white. `step(done, total)` may raise to stop."""
        side = view.latent.shape[-1]
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(cameras), view.latent.shape[1], side, side, generator=generator).to(self.device)
        made = []
        parts = torch.arange(len(cameras)).split(AT_ONCE)
        for index, chosen in enumerate(parts):

            def denoise(noisy: Tensor, time: Tensor, own: Cameras = cameras[chosen]) -> Tensor:
                return self.denoise(noisy, time, view, own, guidance_scale)

            def tell(done: int, _: int, before: int = index * steps) -> None:
                if step is not None:
                    step(before + done, len(parts) * steps)

            latents = self.diffusion.sample(noise[chosen], denoise, steps=steps, step=tell)
            made.append(self.diffusion.decode(latents))
        return torch.cat(made)


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _averaged(state: State) -> State:
    """The U-Net's weights, their running averages where the checkpoint has them, as those are what is sampled with."""
    own = _part(state, "model.diffusion_model.")
    averages = {name: state.get("model_ema.diffusion_model" + name.replace(".", "")) for name in own}
    return {name: tensor if (average := averages[name]) is None else average for name, tensor in own.items()}
