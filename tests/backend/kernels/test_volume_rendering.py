"""Rays through feature volumes: against a slab that can be worked out, and against float64 grid_sample and autograd."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from backend.kernels.volume_rendering import CHANNELS, render_volumes


def reference(volumes: torch.Tensor, places: torch.Tensor, spacing: float) -> torch.Tensor:
    """NeRF's eq. 3 sample by sample."""
    cells = volumes.permute(0, 4, 1, 2, 3)
    read = functional.grid_sample(cells, places[:, None], align_corners=False)[:, :, 0].permute(0, 2, 3, 1)
    seen, through = torch.zeros(*read.shape[:2], CHANNELS, dtype=read.dtype), torch.ones_like(read[..., 0, 0])
    for s in range(read.shape[2]):
        passed = torch.exp(-read[:, :, s, 0] * spacing)
        what = torch.cat([torch.ones_like(read[:, :, s, :1]), read[:, :, s, 1:]], dim=-1)
        seen = seen + (through * (1 - passed))[..., None] * what
        through = through * passed
    return seen


def test_values_and_gradients_are_the_references() -> None:
    generator = torch.Generator().manual_seed(0)
    volumes = torch.randn(2, 3, 5, 4, CHANNELS, generator=generator)
    volumes[..., 0] = volumes[..., 0].abs() * 3
    places = torch.rand(2, 7, 6, 3, generator=generator) * 3 - 1.5  # a good part of them outside
    wanted_of = torch.randn(2, 7, CHANNELS, generator=generator)
    own, exact = volumes.clone().requires_grad_(), volumes.double().requires_grad_()
    seen, wanted = render_volumes(own, places, 0.3), reference(exact, places.double(), 0.3)
    torch.testing.assert_close(seen, wanted.float(), rtol=1e-5, atol=1e-5)
    seen.backward(wanted_of)
    wanted.backward(wanted_of.double())
    assert own.grad is not None and exact.grad is not None
    torch.testing.assert_close(own.grad, exact.grad.float(), rtol=1e-4, atol=1e-5)


def test_a_slab_of_even_density_lets_through_what_beer_and_lambert_say() -> None:
    volumes = torch.zeros(1, 8, 2, 2, CHANNELS)
    volumes[..., 0], volumes[..., 1] = 0.7, 0.25
    depth = torch.linspace(-0.5, 0.5, 11)
    places = torch.stack([torch.zeros(11), torch.zeros(11), depth], dim=-1)[None, None]
    seen = render_volumes(volumes, places, 0.1)[0, 0]
    opacity = 1 - math.exp(-0.7 * 0.1 * 11)
    assert seen[0].item() == pytest.approx(opacity, rel=1e-5)
    assert seen[1].item() == pytest.approx(0.25 * opacity, rel=1e-5)
    assert not seen[2:].any()


def test_what_lies_outside_is_empty() -> None:
    seen = render_volumes(torch.ones(1, 2, 2, 2, CHANNELS), torch.full((1, 1, 3, 3), 5.0), 1.0)
    assert not seen.any()


@pytest.mark.parametrize(
    ("volumes", "places", "error", "words"),
    [
        (torch.zeros(1, 2, 2, 2, CHANNELS).double(), torch.zeros(1, 1, 1, 3), TypeError, "float32"),
        (torch.zeros(1, 2, 2, 2, 8), torch.zeros(1, 1, 1, 3), ValueError, "16 channels, not 8"),
        (torch.zeros(2, 2, 2, 2, CHANNELS), torch.zeros(1, 1, 1, 3), ValueError, "must be"),
    ],
)
def test_what_does_not_fit_is_refused(volumes, places, error, words) -> None:
    with pytest.raises(error, match=words):
        render_volumes(volumes, places, 1.0)
