from __future__ import annotations

import math

import pytest
import torch

from backend.models.noise_schedule import SHIFT, noise_in, noised, sample_ddim, signal_and_noise


def test_signal_becomes_noise_and_their_power_is_one() -> None:
    signal, deviation = signal_and_noise(torch.linspace(0, 1, 11))
    torch.testing.assert_close(signal.square() + deviation.square(), torch.ones(11))
    assert signal[0] == 1 and deviation[0] == 0 and signal[-1] == 0 and deviation[-1] == 1
    assert (signal.diff() < 0).all()


def test_the_log_snr_is_the_cosine_schedules_and_the_shift() -> None:
    time = torch.tensor([0.2, 0.5, 0.8])
    signal, deviation = signal_and_noise(time)
    wanted = -2 * torch.log(torch.tan(math.pi * time / 2)) + 2 * math.log(SHIFT)
    torch.testing.assert_close(2 * torch.log(signal / deviation), wanted)


def test_the_noise_is_found_again() -> None:
    generator = torch.Generator().manual_seed(1)
    data, noise = torch.randn(2, 3, 4, 4, 4, generator=generator)
    time = torch.tensor([0.1, 0.6, 1.0])
    torch.testing.assert_close(noise_in(noised(data, noise, time), data, time), noise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 4])
def test_with_one_possible_picture_every_number_of_steps_gives_it(steps: int) -> None:
    picture = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    told: list[tuple[int, int]] = []
    noise = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    made = sample_ddim(
        lambda noisy, time: picture.expand_as(noisy), noise, steps=steps, step=lambda *at: told.append(at)
    )
    torch.testing.assert_close(made, picture.expand(2, -1, -1, -1))
    assert told == [(index + 1, steps) for index in range(steps)]


def test_many_steps_give_the_distribution_of_the_data() -> None:
    """The exact denoiser of N(0.1, 0.2²) is α s² / (α² s² + σ²) times what is noisy, and the mean's share."""
    mean, spread = 0.1, 0.2

    def denoise(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        signal, deviation = (level[:, None, None, None] for level in signal_and_noise(time))
        gain = signal * spread**2 / (signal**2 * spread**2 + deviation**2)
        return mean + gain * (noisy - signal * mean)

    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    made = sample_ddim(denoise, noise, steps=600)
    assert made.mean().item() == pytest.approx(mean, abs=0.01)
    assert made.std().item() == pytest.approx(spread, rel=0.05)
