"""Posterior sampling with a decoder that is known exactly: every latent is a ball, its radius a coefficient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.models.conditions import Conditions
from backend.models.latent_prior import Guidance, LatentPrior, LatentPriorConfig
from backend.models.observation import Observation
from backend.models.posterior import PosteriorConfig, sample_posterior
from backend.models.principal_components import PrincipalComponents

SHAPE = (2, 8, 8, 8)
DIRECTIONS = np.random.default_rng(0).normal(size=(4000, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


class BallDecoder:
    """Channel 0's mean is the radius above 0.5."""

    def grids(self, latents):
        return latents

    def signed_distance(self, latents, points):
        return points.norm(dim=-1) - 0.5 - latents[:, 0].mean((1, 2, 3))[:, None]


def components() -> PrincipalComponents:
    """Coefficient 0 is the radius, by 0.1 each; the others change channel 1, which nobody sees."""
    found = PrincipalComponents(4, SHAPE)
    found.directions[0, :512] = 512**-0.5
    for index in range(1, 4):
        found.directions[index, 512 + index] = 1
    found.deviations[0] = 0.1 * 512**0.5
    return found


def ball(radius: float) -> Observation:
    queries = np.random.default_rng(1).uniform(-1, 1, (4000, 3)).astype(np.float32)
    distances = np.linalg.norm(queries, axis=1).astype(np.float32) - np.float32(radius)
    return Observation((radius * DIRECTIONS).astype(np.float32), None, 0.0, queries, distances)


def sample(radius: float, *, seed: int = 0, fit_steps: int = 0, **options) -> torch.Tensor:
    torch.manual_seed(0)
    prior = LatentPrior(LatentPriorConfig(components=4, width=16, hidden=24, blocks=1)).requires_grad_(False)
    config = PosteriorConfig(guidance=0.5, fit_steps=fit_steps)
    arguments = (BallDecoder(), components(), prior, ball(radius), Guidance.by(prior, Conditions(1), 1.0))
    return sample_posterior(*arguments, seed=seed, steps=24, config=config, **options)


def radius_of(latent: torch.Tensor) -> float:
    return 0.5 + latent[0].mean().item()


@pytest.mark.parametrize("radius", [0.45, 0.6, 0.7])
def test_samples_agree_with_what_was_observed(radius):
    assert radius_of(sample(radius)) == pytest.approx(radius, abs=0.03)


def test_the_fit_brings_them_nearer():
    errors = [abs(radius_of(sample(0.6, seed=seed)) - 0.6) for seed in range(4)]
    fitted = [abs(radius_of(sample(0.6, seed=seed, fit_steps=40)) - 0.6) for seed in range(4)]
    assert max(fitted) < 0.03 and np.mean(fitted) <= np.mean(errors) + 0.01


def test_what_was_not_observed_differs_between_seeds_and_only_between_them():
    first, again, other = sample(0.6), sample(0.6), sample(0.6, seed=1)
    assert torch.equal(first, again)
    assert (first[1] - other[1]).abs().max() > 0.1


def test_every_step_is_told_and_may_stop():
    told = []
    sample(0.6, fit_steps=3, step=lambda done, total: told.append((done, total)))
    assert told == [(done, 27) for done in range(1, 28)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(0.6, step=stop)


def test_a_scan_without_normals_has_no_queries():
    torch.manual_seed(0)
    prior = LatentPrior(LatentPriorConfig(components=4, width=16, hidden=24, blocks=1)).requires_grad_(False)
    nothing = np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    observation = Observation((0.6 * DIRECTIONS).astype(np.float32), None, 0.0, *nothing)
    guidance = Guidance.by(prior, Conditions(1), 1.0)
    latent = sample_posterior(BallDecoder(), components(), prior, observation, guidance, seed=0, steps=24)
    assert radius_of(latent) == pytest.approx(0.6, abs=0.05)
