"""Choosing among sampled shapes: the one that hangs together best."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy import ndimage

from ..representations.field import Field

RESOLUTION = 32


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


def most_whole(fields: Iterable[Field]) -> int:
    """The index of the field whose largest part holds most of its volume; the first of equals."""
    return int(np.argmax([round(wholeness(field), 2) for field in fields]))
