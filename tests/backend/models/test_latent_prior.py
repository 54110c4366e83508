from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor, nn

from backend.errors import Cancelled
from backend.models.conditions import Conditions, Sentences
from backend.models.latent_prior import (
    HIDDEN_BY,
    Guidance,
    LatentPrior,
    LatentPriorConfig,
    guided_velocity,
    inconsistency,
    sample,
    time_features,
)

CONFIG = LatentPriorConfig(components=6, width=16, hidden=24, blocks=2)


@pytest.fixture
def prior() -> LatentPrior:
    """A prior with random weights everywhere, also where a fresh one starts from zero."""
    torch.manual_seed(0)
    prior = LatentPrior(CONFIG).eval().requires_grad_(False)
    for value in prior.parameters():
        value.copy_(torch.randn_like(value) * 0.2)
    return prior


def told(seed: int, count: int = 1) -> Conditions:
    """The same random sentence of one token for each of `count` shapes."""
    text = torch.randn(1, 384, generator=torch.Generator().manual_seed(seed)).expand(count, -1)
    sentences = Sentences(text / text.norm(dim=1, keepdim=True), text[:, None], torch.ones(count, 1, dtype=torch.bool))
    return Conditions(count, sentences=(torch.arange(count), sentences))


NOWHERE = Guidance(torch.zeros(1, 16), torch.zeros(1, 16), 3.0)


class Flow(nn.Module):
    """Stands for a prior: a velocity that is given as a function of state and time."""

    def __init__(self, velocity) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return self.velocity(state, time)


def integrate(velocity, noise: Tensor, steps: int) -> Tensor:
    return sample(Flow(velocity), noise, NOWHERE, steps=steps)


def test_guidance_goes_from_the_free_velocity_through_the_conditional_one(prior: LatentPrior) -> None:
    state = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    times = torch.full((3,), 0.3)
    conditional = prior(state, times, prior.encode(told(2, 3)))
    free = prior(state, times, prior.encode(Conditions(3)))
    assert (conditional - free).abs().max() > 1e-3
    for scale in (0.0, 1.0, 4.5):
        ours = guided_velocity(prior, state, 0.3, Guidance.by(prior, told(2), scale))
        torch.testing.assert_close(ours, free + scale * (conditional - free), atol=1e-5, rtol=0)


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
    velocity = fresh(state, torch.rand(4), fresh.encode(told(0, 4)))
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
    noise, guidance = torch.zeros(1, 6), Guidance.by(prior, told(0), 1.0)
    steps: list[int] = []
    sample(prior, noise, guidance, steps=3, step=steps.append)
    assert steps == [1, 2, 3]

    def stop(done: int) -> None:
        steps.append(done)
        if done == 2:
            raise Cancelled

    steps.clear()
    with pytest.raises(Cancelled):
        sample(prior, noise, guidance, steps=9, step=stop)
    assert steps == [1, 2]


def test_rows_of_a_batch_flow_by_themselves(prior: LatentPrior) -> None:
    noise = torch.randn(3, 6, generator=torch.Generator().manual_seed(6))
    guidance = Guidance.by(prior, told(7), 2.0)
    together = sample(prior, noise, guidance, steps=4)
    alone = sample(prior, noise[1:2], guidance, steps=4)
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=0)
    assert not together.requires_grad


def test_what_the_prior_has_seen_is_consistent() -> None:
    """A prior that has seen two shapes, −1 and 1 in both components: the mean of its data given x_t is known."""

    class TwoShapes(LatentPrior):
        def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
            t = time[:, None]
            mean = torch.tanh(t / (1 - t) ** 2 * state.sum(dim=1, keepdim=True)).expand_as(state)
            return (mean - state) / (1 - t)

    prior = TwoShapes(LatentPriorConfig(components=2, width=8, hidden=8, blocks=1))
    samples = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [0.0, 0.0], [1.0, -1.0], [3.0, 3.0]])
    deviations = torch.tensor([1.0, 1.0])
    moved = inconsistency(prior, samples, torch.zeros(1, 8), deviations)
    assert torch.equal(moved, inconsistency(prior, samples, torch.zeros(1, 8), deviations))
    assert moved[:2].max() < 1 < moved[2:].min()
    assert moved[4].item() == pytest.approx(2 * math.sqrt(2), rel=0.01), "it is taken back to the nearest shape"
    noise = torch.randn(HIDDEN_BY, 2, generator=torch.Generator().manual_seed(0)).double()
    state = (samples[0].double() + noise) / 2
    mean = torch.tanh(2 * state.sum(dim=1, keepdim=True))
    wanted = ((mean - 1) * torch.tensor([2.0, 0.5])).square().sum(dim=1).mean().sqrt()
    weighed = inconsistency(prior, samples[:1], torch.zeros(1, 8), torch.tensor([2.0, 0.5]))
    assert weighed.item() == pytest.approx(wanted.item(), rel=1e-4)
