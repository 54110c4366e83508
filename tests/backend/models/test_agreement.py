"""Completion with a decoder that is known exactly: every latent is a ball, its radius a coefficient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.models.agreement import Disagreement, FitConfig, fit
from backend.models.conditions import Conditions
from backend.models.latent_prior import LatentPrior, LatentPriorConfig
from backend.models.observation import Observation
from backend.models.part_completion import complete
from backend.models.placements import Placement
from backend.models.principal_components import PrincipalComponents

CPU = torch.device("cpu")
HERE = Placement(1.0, np.zeros(3))
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


def disagreement(radius: float, placement: Placement = HERE) -> Disagreement:
    return Disagreement(BallDecoder(), ball(radius), placement, torch.Generator().manual_seed(0), CPU)


def latents(*radii: float) -> torch.Tensor:
    return torch.stack([torch.full(SHAPE, radius - 0.5) for radius in radii])


def radius_of(latent: torch.Tensor) -> float:
    return 0.5 + latent[0].mean().item()


def sample(radius: float, *, seed: int = 0, fit_steps: int = 0, **options) -> tuple[torch.Tensor, Placement]:
    torch.manual_seed(0)
    prior = LatentPrior(LatentPriorConfig(components=4, width=16, hidden=24, blocks=1)).requires_grad_(False)
    torch.nn.init.normal_(prior.leave.weight, std=0.1)
    return complete(
        BallDecoder(),
        components(),
        prior,
        ball(radius),
        Conditions(1),
        seed=seed,
        steps=8,
        guidance_scale=1.0,
        config=FitConfig(steps=fit_steps),
        **options,
    )


def test_the_right_shape_disagrees_least() -> None:
    errors = disagreement(0.6)(latents(0.4, 0.55, 0.6, 0.65, 0.8))
    assert errors.shape == (5,)
    assert errors[2] < 0.01 and errors.argmin() == 2
    assert errors[0] > errors[1] and errors[4] > errors[3]


def test_an_observation_is_held_against_the_shape_where_it_is_placed() -> None:
    doubled = disagreement(0.3, Placement(2.0, np.zeros(3)))
    assert doubled(latents(0.6)).item() < 0.01 < doubled(latents(0.3)).item()
    aside = disagreement(0.6, Placement(1.0, np.array([0.2, 0.0, 0.0])))
    assert aside(latents(0.6)).item() > 0.05


@pytest.mark.parametrize("radius", [0.45, 0.6, 0.7])
def test_a_fit_brings_a_latent_to_what_was_observed(radius: float) -> None:
    told: list[int] = []
    fitted = fit(latents(0.55), disagreement(radius), FitConfig(steps=60, rate=0.02), told.append)
    assert radius_of(fitted[0]) == pytest.approx(radius, abs=0.02)
    assert told == list(range(1, 61))


def test_a_fit_leaves_cells_alone_of_which_nothing_is_known() -> None:
    generator = np.random.default_rng(3)
    queries = generator.uniform([-1, -1, 0.01], [1, 1, 1], (3000, 3)).astype(np.float32)
    distances = np.linalg.norm(queries, axis=1).astype(np.float32) - np.float32(0.7)
    upper = DIRECTIONS[DIRECTIONS[:, 2] > 0.01].astype(np.float32) * np.float32(0.7)
    above = Observation(upper, None, 0.0, queries, distances)
    compared = Disagreement(BallDecoder(), above, HERE, torch.Generator().manual_seed(0), CPU)
    start = latents(0.5)
    moved = (fit(start, compared, FitConfig(steps=5), lambda done: None) - start)[0, 0]
    assert (moved[..., :4] == 0).all() and (moved[..., 4:] != 0).any()


def test_completion_gives_one_latent_a_seed() -> None:
    (first, place), (again, same), (other, _) = sample(0.6), sample(0.6), sample(0.6, seed=1)
    assert first.shape == SHAPE and torch.equal(first, again) and place.scale == same.scale
    assert (first[1] - other[1]).abs().max() > 0.1, "what was not observed differs"


def test_completion_keeps_the_candidate_that_agrees_best_and_fits_it() -> None:
    """A scan without normals has one placement, so candidates differ by their noise alone."""
    kept, place = sample(0.6)
    scale = place.scale
    assert scale == pytest.approx(1.5, abs=0.01), "the ball of 0.6 fills the size of a whole"
    fitted, _ = sample(0.6, fit_steps=80)
    assert abs(radius_of(fitted) - 0.9) < abs(radius_of(kept) - 0.9)


def test_every_step_is_told_and_may_stop() -> None:
    told: list[tuple[int, int]] = []
    sample(0.6, fit_steps=3, step=lambda done, total: told.append((done, total)))
    assert told == [(done, 23) for done in range(1, 24)], "8 steps, 12 candidates of a scan, 3 of the fit"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(0.6, step=stop)


def test_a_scan_without_normals_has_no_queries() -> None:
    nothing = np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    observation = Observation((0.6 * DIRECTIONS).astype(np.float32), None, 0.0, *nothing)
    compared = Disagreement(BallDecoder(), observation, HERE, torch.Generator().manual_seed(0), CPU)
    errors = compared(latents(0.5, 0.6))
    assert errors[1] < 1e-3 < errors[0]
