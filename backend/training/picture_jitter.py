"""Pictures as other cameras and lights would have taken them, for networks that must not know them by heart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

TURN = np.radians(6)
ZOOM = 0.08
"""Logarithm of a factor, at most."""
SHIFT = 0.04
"""Of the picture's side, at most."""
GAMMA = LIGHT = (0.8, 1.2)
BLURRED = 0.3
"""Share of the pictures that lose every second pixel."""


def jittered(pictures: Tensor, generator: np.random.Generator) -> Tensor:
    """Pictures (n, 4, S, S) float32, RGBA in [0, 1], not premultiplied: each turned, moved and scaled a little, in
    other light, and some of them blurred. S is even."""
    count = len(pictures)
    if not count:
        return pictures
    gamma, light = (_drawn(generator.uniform(*span, (count, 1, 1, 1))) for span in (GAMMA, LIGHT))
    alpha = pictures[:, 3:]
    premultiplied = torch.cat([(pictures[:, :3] ** gamma * light).clamp(0, 1) * alpha, alpha], dim=1)
    blurred = _drawn(generator.random((count, 1, 1, 1)) < BLURRED)
    halved = functional.interpolate(functional.avg_pool2d(premultiplied, 2), scale_factor=2, mode="bilinear")
    premultiplied = torch.lerp(premultiplied, halved, blurred)

    angle, zoom = generator.uniform(-TURN, TURN, count), np.exp(generator.uniform(-ZOOM, ZOOM, count))
    shift = generator.uniform(-2 * SHIFT, 2 * SHIFT, (2, count))
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    transforms = np.stack([np.stack([cosine, -sine, shift[0]]), np.stack([sine, cosine, shift[1]])])
    places = functional.affine_grid(_drawn(transforms.transpose(2, 0, 1)), list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(premultiplied, places, align_corners=False)
    return torch.cat([moved[:, :3] / moved[:, 3:].clamp(min=1e-3), moved[:, 3:]], dim=1).clamp(0, 1)


def _drawn(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
