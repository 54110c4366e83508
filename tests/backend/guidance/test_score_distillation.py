"""Score distillation with a prior whose score is known: pictures that are all N(mode, spread²)."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from backend.guidance.low_rank import add_low_rank, low_rank_parameters
from backend.guidance.score_distillation import (
    DistillationSettings,
    ScoreDistillation,
    VariationalScoreDistillation,
)
from backend.models.noise_schedule import signal_and_noise
from backend.representations.cameras import Cameras

MODE = 0.6
SPREAD = 0.3
CAMERAS = Cameras.framing(torch.zeros(2), torch.zeros(2))


class GaussianPrior:
    """x̂ = mode + α s² / (α² s² + σ²) (x_t − α mode), of data that are pictures times 2, less 1. The network adds what
    it has learned, which is nothing at first."""

    def __init__(self) -> None:
        self.network: nn.Module = nn.Conv2d(4, 4, 1)
        nn.init.zeros_(self.network.weight)
        nn.init.zeros_(self.network.bias)

    def encode(self, images: Tensor) -> Tensor:
        return images * 2 - 1

    def signal_and_noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        return signal_and_noise(time)

    def denoise(self, noisy: Tensor, time: Tensor, cameras: Cameras, guidance_scale: float) -> Tensor:
        signal, deviation = (level[:, None, None, None] for level in signal_and_noise(time))
        gain = signal * SPREAD**2 / (signal**2 * SPREAD**2 + deviation**2)
        return MODE + gain * (noisy - signal * MODE) + self.network(noisy)

    def adapted(self, network: nn.Module) -> GaussianPrior:
        other = copy.copy(self)
        other.network = network
        return other


def pictures(seed: int = 0) -> Tensor:
    return torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("weighting", ["data", "variance"])
def test_the_gradient_is_the_one_worked_out_by_hand(weighting) -> None:
    settings = DistillationSettings(first=(0.4, 0.4), weighting=weighting)
    images = pictures()
    step = ScoreDistillation(GaussianPrior(), settings).gradient(images, CAMERAS, torch.Generator().manual_seed(5), 0.0)
    generator = torch.Generator().manual_seed(5)
    torch.rand(2, generator=generator)  # the times
    noise = torch.randn(images.shape, generator=generator).double()
    signal, deviation = (level.double() for level in signal_and_noise(torch.tensor(0.4)))
    data = images.double() * 2 - 1
    noisy = signal * data + deviation * noise
    gain = signal * SPREAD**2 / (signal**2 * SPREAD**2 + deviation**2)
    predicted_noise = (noisy - signal * (MODE + gain * (noisy - signal * MODE))) / deviation
    weight = deviation**2 if weighting == "variance" else deviation / signal
    wanted = 2 * weight * (predicted_noise - noise)  # pictures become data by the factor 2
    torch.testing.assert_close(step.gradient, wanted.float(), rtol=1e-4, atol=1e-5)
    assert step.loss == pytest.approx(0.5 * (wanted / 2).square().sum().item() / 2, rel=1e-4)


def test_pictures_go_to_the_mode() -> None:
    guidance = ScoreDistillation(GaussianPrior(), DistillationSettings(most=10.0))
    images, generator = pictures(), torch.Generator().manual_seed(0)
    steps = 200
    for step in range(steps):
        told = guidance.gradient(images, CAMERAS, generator, step / steps)
        assert told.gradient.shape == images.shape and torch.isfinite(told.gradient).all()
        images = images - 0.02 * told.gradient
    assert (images * 2 - 1).mean().item() == pytest.approx(MODE, abs=0.05)


def test_the_same_state_of_the_generator_gives_the_same_answer() -> None:
    first, again = (
        ScoreDistillation(GaussianPrior()).gradient(pictures(), CAMERAS, torch.Generator().manual_seed(2), 0.3).gradient
        for _ in range(2)
    )
    assert torch.equal(first, again)


def test_a_gradient_is_cut_to_its_greatest_norm() -> None:
    settings = DistillationSettings(most=0.25)
    step = ScoreDistillation(GaussianPrior(), settings).gradient(pictures(), CAMERAS, torch.Generator(), 0.0)
    torch.testing.assert_close(step.gradient.flatten(1).norm(dim=1), torch.full((2,), 0.5))


def test_times_are_annealed() -> None:
    settings, generator = DistillationSettings(first=(0.6, 0.9), last=(0.1, 0.3)), torch.Generator().manual_seed(0)
    early, late = settings.draw_time(500, 0.0, generator), settings.draw_time(500, 1.0, generator)
    assert early.min() >= 0.6 and early.max() <= 0.9 and early.mean().item() == pytest.approx(0.75, abs=0.02)
    assert late.min() >= 0.1 and late.max() <= 0.3


def test_the_variational_gradient_is_what_the_copy_says_less_what_the_prior_says() -> None:
    guidance = VariationalScoreDistillation(GaussianPrior(), DistillationSettings(first=(0.5, 0.5)))
    with torch.no_grad():
        guidance.learner.network.bias += 0.1
    step = guidance.gradient(pictures(), CAMERAS, torch.Generator().manual_seed(0), 0.0)
    torch.testing.assert_close(step.gradient, torch.full_like(step.gradient, 2 * 0.1))


def test_the_variational_copy_learns_what_the_pictures_are() -> None:
    """Of black pictures that never change, the copy's x̂ comes nearer to them; the prior itself stays as it was."""
    guidance = VariationalScoreDistillation(GaussianPrior(), rank=4, rate=0.02)
    images, generator = torch.zeros(2, 4, 8, 8), torch.Generator().manual_seed(0)
    time = torch.full((2,), 0.5)
    noisy = torch.full((2, 4, 8, 8), -signal_and_noise(time)[0][0].item())

    def distance() -> float:
        with torch.no_grad():
            return (guidance.learner.denoise(noisy, time, CAMERAS, 1.0) + 1).abs().mean().item()

    before, untouched = distance(), guidance.prior.network.weight.clone()
    for _ in range(60):
        guidance.gradient(images, CAMERAS, generator, 0.0)
    assert distance() < 0.8 * before
    assert torch.equal(guidance.prior.network.weight, untouched)


def test_low_rank_changes_begin_with_none_and_have_their_rank() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 5))
    picture = torch.randn(1, 3, 3, 3)
    before = network(picture)
    weights = [network[0].weight.clone(), network[2].weight.clone()]
    add_low_rank(network, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(picture), before)
    parameters = list(low_rank_parameters(network))
    assert len(parameters) == 4
    for parameter in parameters:
        nn.init.normal_(parameter)
    for layer, weight in zip((network[0], network[2]), weights, strict=True):
        change = (layer.weight - weight).flatten(1)
        assert torch.linalg.matrix_rank(change, rtol=1e-4) == 2
