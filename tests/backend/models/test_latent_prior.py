from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor, nn

from backend.errors import Cancelled
from backend.models.latent_prior import LatentPrior, LatentPriorConfig, guided_velocity, sample, time_features

CONFIG = LatentPriorConfig(components=6, width=16, hidden=24, blocks=2)


@pytest.fixture
def prior() -> LatentPrior:
    """A prior with random weights everywhere, also where a fresh one starts from zero."""
    torch.manual_seed(0)
    prior = LatentPrior(CONFIG).eval().requires_grad_(False)
    for value in prior.parameters():
        value.copy_(torch.randn_like(value) * 0.2)
    return prior


def unit_text(seed: int) -> Tensor:
    text = torch.randn(1, 384, generator=torch.Generator().manual_seed(seed))
    return text / text.norm()


class Flow(nn.Module):
    """Stands for a prior: a velocity that is given as a function of state and time."""

    def __init__(self, velocity) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, state: Tensor, time: Tensor, text: Tensor, with_text: Tensor) -> Tensor:
        return self.velocity(state, time)


def integrate(velocity, noise: Tensor, steps: int, guidance_scale: float = 3.0) -> Tensor:
    return sample(Flow(velocity), noise, unit_text(0), steps=steps, guidance_scale=guidance_scale)


def test_guidance_goes_from_the_free_velocity_through_the_conditional_one(prior: LatentPrior) -> None:
    state = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    text, times = unit_text(2), torch.full((3,), 0.3)
    conditional = prior(state, times, text.expand(3, -1), torch.ones(3, dtype=torch.bool))
    free = prior(state, times, text.expand(3, -1), torch.zeros(3, dtype=torch.bool))
    assert (conditional - free).abs().max() > 1e-3
    for scale in (0.0, 1.0, 4.5):
        ours = guided_velocity(prior, state, 0.3, text, scale)
        torch.testing.assert_close(ours, free + scale * (conditional - free), atol=1e-6, rtol=0)


def test_without_text_the_sentence_does_not_matter(prior: LatentPrior) -> None:
    state, times = torch.randn(2, 6, generator=torch.Generator().manual_seed(3)), torch.tensor([0.1, 0.9])
    texts = [unit_text(seed).expand(2, -1) for seed in (4, 5)]
    only_first = torch.tensor([True, False])
    ours, other = (prior(state, times, text, only_first) for text in texts)
    assert (ours[0] - other[0]).abs().max() > 1e-3
    torch.testing.assert_close(ours[1], other[1], rtol=0, atol=0)


def test_time_is_told_by_sines_of_frequencies_from_1_to_1000() -> None:
    features = time_features(torch.tensor([0.0, 0.7]))
    assert features.shape == (2, 128)
    assert features[0].tolist() == [0.0] * 64 + [1.0] * 64
    frequency = np.geomspace(1, 1000, 64)
    np.testing.assert_allclose(features[1].numpy(), np.r_[np.sin(0.7 * frequency), np.cos(0.7 * frequency)], atol=1e-3)


def test_a_fresh_prior_flows_nowhere_in_particular() -> None:
    torch.manual_seed(0)
    fresh = LatentPrior(CONFIG)
    state = torch.randn(4, 6)
    velocity = fresh(state, torch.rand(4), unit_text(0).expand(4, -1), torch.tensor([True, False] * 2))
    torch.testing.assert_close(velocity, velocity[:1].expand(4, -1), msg="the last layer starts from zero")


def test_sampling_solves_a_linear_flow_to_second_order() -> None:
    generator = np.random.default_rng(0)
    matrix, noise = generator.normal(size=(5, 5)) * 0.8, generator.normal(size=(3, 5))
    exact = noise @ expm(matrix).T
    errors = []
    for steps in (16, 32, 64, 128):
        ours = integrate(lambda state, _: state @ torch.from_numpy(matrix).T, torch.from_numpy(noise), steps)
        errors.append(np.abs(ours.numpy() - exact).max())
    assert errors[-1] < 1e-3
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(2, abs=0.1), errors


def test_sampling_runs_from_time_0_to_time_1() -> None:
    asked: list[float] = []

    def velocity(state: Tensor, time: Tensor) -> Tensor:
        asked.append(time[0].item())
        return torch.cos(3 * time)[:, None].expand_as(state)

    noise = torch.zeros(1, 2, dtype=torch.float64)
    result = integrate(velocity, noise, 100)
    assert result[0, 0].item() == pytest.approx(np.sin(3) / 3, abs=1e-4)
    assert asked[0] == 0 and asked[-1] == 1 and asked[1] == asked[2]


def test_a_straight_flow_takes_one_step() -> None:
    goal, noise = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    straight = (goal - noise).repeat(2, 1)
    torch.testing.assert_close(integrate(lambda state, time: straight, noise, 1), goal)


def test_sampling_reports_every_step_and_stops_where_it_is_told_to(prior: LatentPrior) -> None:
    noise, text = torch.zeros(1, 6), unit_text(0)
    told: list[int] = []
    sample(prior, noise, text, steps=3, guidance_scale=1, step=told.append)
    assert told == [1, 2, 3]

    def stop(done: int) -> None:
        told.append(done)
        if done == 2:
            raise Cancelled

    told.clear()
    with pytest.raises(Cancelled):
        sample(prior, noise, text, steps=9, guidance_scale=1, step=stop)
    assert told == [1, 2]


def test_rows_of_a_batch_flow_by_themselves(prior: LatentPrior) -> None:
    noise = torch.randn(3, 6, generator=torch.Generator().manual_seed(6))
    together = sample(prior, noise, unit_text(7), steps=4, guidance_scale=2)
    alone = sample(prior, noise[1:2], unit_text(7), steps=4, guidance_scale=2)
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=0)
    assert not together.requires_grad
