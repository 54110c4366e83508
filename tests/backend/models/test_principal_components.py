from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.models.principal_components import PrincipalComponents

SHAPE = (2, 8, 8, 8)
COUNT = 5


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    """60 latents whose variance falls by half from direction to direction, around a mean that is not 0."""
    generator = np.random.default_rng(0)
    directions, _ = np.linalg.qr(generator.normal(size=(1024, 12)))
    amounts = generator.normal(size=(60, 12)) * 2.0 ** -np.arange(12)
    flat = generator.normal(size=1024) + amounts @ directions.T
    return torch.from_numpy(flat.reshape(60, *SHAPE).astype(np.float32))


@pytest.fixture(scope="module")
def fitted(latents: torch.Tensor) -> tuple[PrincipalComponents, float]:
    torch.manual_seed(0)
    components = PrincipalComponents(COUNT, SHAPE)
    components.fit(latents)
    return components, components.explained(latents)


def test_components_are_those_of_a_full_decomposition(
    latents: torch.Tensor, fitted: tuple[PrincipalComponents, float]
) -> None:
    components, explained = fitted
    flat = latents.flatten(1).double().numpy()
    centred = flat - flat.mean(0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(components.mean, flat.mean(0), atol=1e-6)
    np.testing.assert_allclose(components.deviations, singular[:COUNT] / np.sqrt(59), rtol=1e-4)
    # Directions are the same but for their sign.
    agreement = np.abs(components.directions.numpy() @ right[:COUNT].T)
    np.testing.assert_allclose(agreement, np.eye(COUNT), atol=1e-3)
    assert explained == pytest.approx((singular[:COUNT] ** 2).sum() / (singular**2).sum(), rel=1e-4)


def test_whitened_coefficients_have_unit_variance_and_no_correlation(
    latents: torch.Tensor, fitted: tuple[PrincipalComponents, float]
) -> None:
    coefficients = fitted[0].whiten(latents).numpy()
    assert coefficients.shape == (60, COUNT)
    np.testing.assert_allclose(coefficients.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(coefficients.T), np.eye(COUNT), atol=1e-3)


def test_restoring_gives_the_nearest_latent_in_the_span(
    latents: torch.Tensor, fitted: tuple[PrincipalComponents, float]
) -> None:
    components, explained = fitted
    restored = components.restore(components.whiten(latents))
    assert restored.shape == latents.shape
    lost = (restored - latents).square().sum() / (latents - latents.mean(0)).square().sum()
    assert lost.item() == pytest.approx(1 - explained, rel=1e-2)
    torch.testing.assert_close(components.restore(components.whiten(restored)), restored, atol=1e-4, rtol=0)


def test_no_coefficients_stand_for_the_mean(latents: torch.Tensor, fitted: tuple[PrincipalComponents, float]) -> None:
    torch.testing.assert_close(fitted[0].restore(torch.zeros(1, COUNT))[0], latents.mean(0), atol=1e-6, rtol=0)


def test_too_few_latents_are_refused(latents: torch.Tensor) -> None:
    with pytest.raises(InputError, match="5 latents have at most 4 components, not 5: train on more objects"):
        PrincipalComponents(COUNT, SHAPE).fit(latents[:5])
    components = PrincipalComponents(COUNT, SHAPE)
    components.fit(latents[:6])
    assert components.explained(latents[:6]) == pytest.approx(1, abs=1e-5)  # six points span five directions


def test_the_checkpoint_holds_mean_directions_and_deviations() -> None:
    state = PrincipalComponents(COUNT, SHAPE).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "mean": (1024,),
        "directions": (COUNT, 1024),
        "deviations": (COUNT,),
    }
