"""backend.models.latent_refinement: descent from the encoder's answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.data.volume import Volume
from backend.models.latent_refinement import Evidence, RefinementConfig, misfit, refined
from backend.models.shape_autoencoder import Decoder, ShapeAutoencoderConfig

TINY = ShapeAutoencoderConfig(
    latent_channels=4, latent_width=16, coarse_channels=8, fine_channels=8, hidden_channels=16
)
SHORT = RefinementConfig(steps=12, rate=0.05, batch=600)


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(4, 8, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def decoder(latent: torch.Tensor) -> Decoder:
    torch.manual_seed(0)
    made = Decoder(TINY).requires_grad_(False)
    made.distance[-1].weight *= 20  # as far from flat as a trained one
    places = torch.rand(1, 1000, 3, generator=torch.Generator().manual_seed(4)) * 2 - 1
    made.distance[-1].bias -= made.signed_distance(made.grids(latent[None]), places).median() * 10  # half is inside
    return made


def evidence_of(decoder: Decoder, latent: torch.Tensor) -> Evidence:
    """What the decoder itself says of a latent: nothing fits better than that."""
    generator = torch.Generator().manual_seed(2)
    points, places = (torch.rand(count, 3, generator=generator) * 2 - 1 for count in (1200, 400))
    grids = decoder.grids(latent[None])
    return Evidence(
        points, decoder.signed_distance(grids, points[None])[0], places, decoder.srgb(grids, places[None])[0]
    )


def test_descent_comes_nearer_to_the_evidence(decoder: Decoder, latent: torch.Tensor) -> None:
    evidence = evidence_of(decoder, latent)
    start = latent + 0.3 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    found = refined(decoder, start, evidence, SHORT)
    everything = torch.arange(1200), torch.arange(400)
    before, after, best = (misfit(decoder, each, evidence, *everything).item() for each in (start, found, latent))
    assert after - best < 0.7 * (before - best)
    assert torch.equal(found, refined(decoder, start, evidence, SHORT)), "the same once more"
    assert not found.requires_grad and found.dtype == torch.float32


def test_a_latent_that_fits_already_is_left_alone(decoder: Decoder, latent: torch.Tensor) -> None:
    assert torch.equal(refined(decoder, latent, evidence_of(decoder, latent), SHORT), latent)


def test_the_pull_keeps_the_latent_near_the_start(decoder: Decoder, latent: torch.Tensor) -> None:
    evidence = evidence_of(decoder, latent)
    start = latent + 0.3 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    free, held = (
        refined(decoder, start, evidence, RefinementConfig(steps=12, rate=0.05, batch=600, pull=pull))
        for pull in (0.0, 30.0)
    )
    assert 0 < (held - start).norm() < 0.8 * (free - start).norm()


def test_evidence_is_the_volume_s_own(box) -> None:
    low, high = np.array([-0.8, -0.5, -0.3]), np.array([0.8, 0.4, 0.6])
    places = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    evidence = Evidence.of(Volume.of(*box(low, high)), places, places, count=400)
    points = evidence.points.numpy()
    assert points.shape == (700, 3) and np.abs(points).max() <= 1
    beyond = np.maximum(low - points, points - high)
    exact = np.linalg.norm(beyond.clip(0), axis=1) + beyond.max(1).clip(max=0)
    np.testing.assert_allclose(evidence.distances.numpy(), exact, atol=1e-5)
    assert (np.abs(exact) < 0.03).mean() > 0.5, "most of them near the surface"
    torch.testing.assert_close(evidence.places, evidence.srgb)
    assert set(map(tuple, evidence.places.tolist())) <= set(map(tuple, places.tolist())) and len(evidence.places) == 200
