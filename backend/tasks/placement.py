"""From model space into the scene: real size, standing on the ground."""

from __future__ import annotations

import numpy as np


def standing_transform(vertices: np.ndarray, size: float) -> np.ndarray:
    """(4, 4) float64, model space → scene metres, for a shape that is upright with its front to −Y already.

    vertices   (V, 3) in model space, at least one
    size       largest extent in metres along x, y or z

    Afterwards the lowest vertex is at z = 0 and the bounding box is centred in x and y.
    """
    low = vertices.min(axis=0).astype(np.float64)
    high = vertices.max(axis=0).astype(np.float64)
    scale = size / max((high - low).max(), 1e-9)
    anchor = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    transform = np.diag([scale, scale, scale, 1.0])
    transform[:3, 3] = -scale * anchor
    return transform


def model_transform(vertices: np.ndarray) -> np.ndarray:
    """(4, 4) float64 that takes a mesh from anywhere into model space: centred, largest half-extent 0.9.

    vertices   (V, 3), at least one
    """
    low = vertices.min(axis=0).astype(np.float64)
    high = vertices.max(axis=0).astype(np.float64)
    scale = 1.8 / max((high - low).max(), 1e-9)
    transform = np.diag([scale, scale, scale, 1.0])
    transform[:3, 3] = -scale * (low + high) / 2
    return transform
