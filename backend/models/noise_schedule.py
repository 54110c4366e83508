"""How diffusion mixes a picture with noise, and the way back in few steps.

Variance-preserving diffusion with the cosine schedule (Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic
Models", 2021), shifted in log-SNR (Hoogeboom et al., "Simple diffusion", 2023, eq. 3) and with no signal at all left at
time 1 (Lin et al., "Common Diffusion Noise Schedules and Sample Steps Are Flawed", 2024). Networks predict the data,
which can be done at all times (Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", 2022,
§4); a prediction is written x̂.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SHIFT = 0.5
"""α / σ is this many times that of the cosine schedule, so that more of the time is spent at high noise."""


def signal_and_noise(time: Tensor) -> tuple[Tensor, Tensor]:
    """α and σ, each of the shape of `time`: from (1, 0) at time 0 to (0, 1) at time 1; α² + σ² = 1."""
    quarter = time * (math.pi / 2)
    angle = torch.atan2(quarter.sin(), SHIFT * quarter.cos().clamp(min=0))
    return angle.cos().where(time < 1, torch.zeros_like(time)), angle.sin()


def _as_images(levels: Tensor) -> Tensor:
    return levels[:, None, None, None]


def noised(data: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """α x + σ ε, for data and noise (B, C, H, W) and time (B,)."""
    signal, deviation = map(_as_images, signal_and_noise(time))
    return signal * data + deviation * noise


def noise_in(noisy: Tensor, data: Tensor, time: Tensor) -> Tensor:
    """The ε with which `data` becomes `noisy` at `time` > 0: (x_t − α x) / σ."""
    signal, deviation = map(_as_images, signal_and_noise(time))
    return (noisy - signal * data) / deviation


def sample_ddim(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    *,
    steps: int,
    step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The data (B, C, H, W) that `noise` of that shape stands for, deterministic: Song et al., "Denoising Diffusion
    Implicit Models", 2021, eq. 12 with η = 0.

    denoise: noisy data (B, C, H, W) and time (B,) → x̂, which is cut to [−1, 1]. `step(done, steps)` is called after
    every step and may raise.
    """
    state = noise
    times = torch.linspace(1, 0, steps + 1, device=noise.device)
    for index in range(steps):
        time, following = times[index].expand(len(noise)), times[index + 1].expand(len(noise))
        data = denoise(state, time).clamp(-1, 1)
        state = noised(data, noise_in(state, data, time), following)
        if step is not None:
            step(index + 1, steps)
    return state
