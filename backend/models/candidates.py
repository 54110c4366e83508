"""Choosing among sampled shapes: one that hangs together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy import ndimage

from ..representations.field import Field

RESOLUTION = 32
AS_WHOLE = 0.02
"""A shape that hangs together worse than the best by more than this is not chosen."""


def cell_centres(resolution: int) -> torch.Tensor:
    """The centres (R³, 3) float32 of a grid of cells in model space."""
    axis = (torch.arange(resolution, dtype=torch.float32) + 0.5) * (2 / resolution) - 1
    return torch.cartesian_prod(axis, axis, axis)


def wholeness(field: Field, resolution: int = RESOLUTION) -> float:
    """`wholeness_of` a field on a grid of `resolution`³ cells."""
    inside = field.signed_distance(cell_centres(resolution)).cpu().numpy() < 0
    return wholeness_of(inside.reshape([resolution] * 3))


def wholeness_of(inside: np.ndarray) -> float:
    """The share of the volume of a shape, cells (X, Y, Z) bool, that its largest connected part holds; 0 for none."""
    labels, _ = ndimage.label(inside, np.ones((3, 3, 3)))
    volumes = np.bincount(labels.ravel())[1:]
    return float(volumes.max() / volumes.sum()) if len(volumes) else 0.0


def first_whole(fields: Iterable[Field]) -> int:
    """The index of the first field that hangs together nearly as well as the best of them."""
    found = [wholeness(field) for field in fields]
    return next(index for index, whole in enumerate(found) if whole >= max(found) - AS_WHOLE)
