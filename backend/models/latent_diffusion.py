"""Published latent-diffusion models (Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models",
2022), run by the `diffusers` package.

The packages of requirements/published_models.txt are needed, and imported only when a model is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import MachineError

TIMES = 1000
FIRST_BETA, LAST_BETA = 0.00085, 0.012
"""Of the noise that all models of this family were trained with, linear in its square root."""
SAVINGS = ("none", "half precision", "sliced attention", "offloaded")
"""What a user can ask for where memory is short; each also does what the ones before it do, and is slower."""

Told = Callable[[int, int], None]


def require_packages() -> None:
    """Raises MachineError where the packages of published models are not installed."""
    try:
        import accelerate  # noqa: F401
        import diffusers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MachineError(
            f"Published models need the package '{error.name}': install requirements/published_models.txt with 'python "
            "-m pip install -r requirements/published_models.txt -c requirements/constraints.txt'."
        ) from error


@dataclass(frozen=True, eq=False)
class LatentDiffusion:
    """A U-Net that predicts over the latents of an auto-encoder.

    unet: `diffusers.UNet2DConditionModel`. vae: `diffusers.AutoencoderKL`, in single precision. size: pixels of the
    pictures. predicts: noise ε, or the velocity α ε − σ x of Salimans and Ho (2022).
    """

    unet: Any
    vae: Any
    size: int
    predicts: Literal["epsilon", "v_prediction"] = "epsilon"

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0, 1] → latents (B, 4, s, s) of about unit variance; differentiable."""
        return self.encoded(images) * self.vae.config.scaling_factor

    def encoded(self, images: Tensor) -> Tensor:
        """The auto-encoder's own latents of pictures (B, 3, S, S), before they are scaled."""
        if images.shape[-1] != self.size:
            images = functional.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        return self.vae.encode(images * 2 - 1).latent_dist.mode()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents as `encode` gives them → pictures (B, 3, S, S) in [0, 1]."""
        return (self.vae.decode(latents / self.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)

    def signal_and_noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ of each time (B,) in [0, 1]; α² + σ² = 1."""
        betas = torch.linspace(FIRST_BETA**0.5, LAST_BETA**0.5, TIMES, dtype=torch.float64).square()
        kept = (1 - betas).cumprod(dim=0)[_step_of(time).cpu()]
        return kept.sqrt().float().to(time.device), (1 - kept).sqrt().float().to(time.device)

    def denoise(self, noisy: Tensor, time: Tensor, context: Tensor, beside: Tensor | None = None) -> Tensor:
        """The latents x̂ that α x + σ ε (B, 4, s, s) at time (B,) come from.

        context: what the U-Net attends to, (B, L, D). beside: channels (B, C, s, s) that it sees besides.
        """
        seen = noisy if beside is None else torch.cat([noisy, beside], dim=1)
        kind = self.unet.dtype
        told = self.unet(seen.to(kind), _step_of(time), encoder_hidden_states=context.to(kind)).sample.float()
        signal, deviation = (level[:, None, None, None] for level in self.signal_and_noise(time))
        if self.predicts == "v_prediction":
            return signal * noisy - deviation * told
        return (noisy - deviation * told) / signal

    @torch.no_grad()
    def sample(
        self, noise: Tensor, denoise: Callable[[Tensor, Tensor], Tensor], *, steps: int, step: Told | None = None
    ) -> Tensor:
        """The latents that `noise` (B, 4, s, s) stands for: Song et al., "Denoising Diffusion Implicit Models", 2021,
        eq. 12 with η = 0. denoise: noisy latents and time (B,) → x̂. `step(done, steps)` may raise to stop."""
        state = noise
        times = torch.linspace(1, 0, steps + 1, device=noise.device)
        for index in range(steps):
            time, following = times[index].expand(len(noise)), times[index + 1].expand(len(noise))
            signal, deviation = (level[:, None, None, None] for level in self.signal_and_noise(time))
            data = denoise(state, time)
            next_signal, next_deviation = (level[:, None, None, None] for level in self.signal_and_noise(following))
            state = next_signal * data + next_deviation * (state - signal * data) / deviation
            if step is not None:
                step(index + 1, steps)
        return state


def placed(unet: Any, vae: nn.Module, device: str, saving: str) -> tuple[Any, Any]:
    """The networks on a device, without gradients to their weights, saving memory as one of SAVINGS says.

    The auto-encoder stays in single precision and on the device: pictures' gradients go back through it. A sliced
    U-Net computes its attention in parts; an offloaded one lies in main memory, and each layer is on the device only
    while it is asked (`accelerate`).
    """
    level = SAVINGS.index(saving)
    vae = vae.float().to(device).eval().requires_grad_(False)
    unet = unet.eval().requires_grad_(False)
    # Processors have no arithmetic of float16, but of bfloat16.
    half = torch.bfloat16 if torch.device(device).type == "cpu" else torch.float16
    unet = unet.to(half if level >= SAVINGS.index("half precision") else torch.float32)
    if level >= SAVINGS.index("sliced attention"):
        unet.set_attention_slice("auto")
    if level < SAVINGS.index("offloaded"):
        return unet.to(device), vae
    from accelerate import cpu_offload

    return cpu_offload(unet, execution_device=torch.device(device)), vae


def _step_of(time: Tensor) -> Tensor:
    return (time * (TIMES - 1)).round().long()
