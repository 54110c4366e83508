"""Jittered pictures are the same objects a little elsewhere in other light, and nothing else."""

from __future__ import annotations

import numpy as np
import torch

from backend.training.picture_jitter import LIGHT, SHIFT, ZOOM, jittered

SIZE = 64
AXIS = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1


def red_square(count: int, half: float = 0.5) -> torch.Tensor:
    """A square in the middle of (count, 4, 64, 64) pictures, on transparent green."""
    inside = (AXIS.abs() < half).float()
    alpha = inside[:, None] * inside
    color = torch.tensor([0.8, 0.0, 0.0])[:, None, None] * alpha + torch.tensor([0.0, 1.0, 0.0])[:, None, None] * (
        1 - alpha
    )
    return torch.cat([color, alpha[None]])[None].expand(count, -1, -1, -1)


def test_the_object_moves_and_scales_no_farther_than_said_and_its_ground_does_not_bleed_into_it() -> None:
    made = jittered(red_square(64), np.random.default_rng(0))
    alpha = made[:, 3]
    areas = alpha.mean((1, 2)) / 0.25
    assert areas.min() > np.exp(-2 * ZOOM) * 0.97 and areas.max() < np.exp(2 * ZOOM) * 1.03
    assert areas.std() > 0.03
    middles = (
        torch.stack([(alpha * AXIS).sum((1, 2)), (alpha * AXIS[:, None]).sum((1, 2))], dim=1)
        / alpha.sum((1, 2))[:, None]
    )
    assert middles.abs().max() < 2 * SHIFT * np.exp(ZOOM) * 2**0.5 + 0.01 and middles.std() > 0.02
    seen = made[:, :3].transpose(0, 1)[:, alpha > 0.3]
    assert seen[1:].max() < 1e-6, "no green, no blue"
    assert seen[0].min() > 0.8 ** LIGHT[1] * LIGHT[0] - 1e-3


def test_the_generator_alone_decides_and_none_are_none() -> None:
    pictures = torch.rand(3, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    first, again = (jittered(pictures, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, jittered(pictures, np.random.default_rng(8)))
    assert first.min() >= 0 and first.max() <= 1
    assert jittered(pictures[:0], np.random.default_rng(0)).shape == (0, 4, SIZE, SIZE)
