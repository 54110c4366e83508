"""Choosing among sampled shapes: the one that hangs together best."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy import ndimage

from ..representations.field import Field

RESOLUTION = 32


def wholeness(field: Field, resolution: int = RESOLUTION) -> float:
    """The share of the shape's volume that its largest connected part holds, on a grid of `resolution`³ cell centres;
    0 for an empty shape."""
    axis = (torch.arange(resolution, dtype=torch.float32) + 0.5) * (2 / resolution) - 1
    inside = field.signed_distance(torch.cartesian_prod(axis, axis, axis)).cpu().numpy() < 0
    labels, _ = ndimage.label(inside.reshape([resolution] * 3), np.ones((3, 3, 3)))
    volumes = np.bincount(labels.ravel())[1:]
    return float(volumes.max() / volumes.sum()) if len(volumes) else 0.0


def most_whole(fields: Iterable[Field]) -> int:
    """The index of the field whose largest part holds most of its volume; the first of equals."""
    return int(np.argmax([round(wholeness(field), 2) for field in fields]))
