"""Which part of a shape is known: masks for training, drawn at random.

The kinds are those that completion is measured by: half and octant (Mittal et al., "AutoSDF", 2022), a slab, a box, and
what one camera sees (Yuan et al., "PCN", 2018). All but the last are boxes in which nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAR = 2.0
"""Beyond model space: the bound of a box that ends nowhere."""
VIEW_SHARE = 0.25
VIEW_PIXELS = 40
VIEW_DEPTH = 0.08
"""How far behind the nearest point of its pixel a point is still seen (model units)."""


@dataclass(frozen=True)
class UnknownBoxes:
    """low, high (B, 3) float32: corners of the boxes of what is unknown."""

    low: np.ndarray
    high: np.ndarray

    def contain(self, points: np.ndarray) -> np.ndarray:
        """(B, ..., 3) → (B, ...) bool."""
        around = (slice(None), *[None] * (points.ndim - 2))
        return ((points >= self.low[around]) & (points <= self.high[around])).all(axis=-1)


def draw_boxes(generator: np.random.Generator, count: int) -> UnknownBoxes:
    """Half-spaces, octants, slabs and boxes, as many of each."""
    low, high = np.full((count, 3), -FAR, np.float32), np.full((count, 3), FAR, np.float32)
    for row, kind in enumerate(generator.integers(4, size=count)):
        corner = generator.uniform(-0.3, 0.3, 3)
        upwards = generator.random(3) < 0.5
        axis = generator.integers(3)
        if kind == 0:
            axes = [axis]
        elif kind == 1:
            axes = [0, 1, 2]
        else:
            sides = [axis] if kind == 2 else [0, 1, 2]
            for side in sides:
                width = generator.uniform(0.4, 1.1)
                low[row, side] = generator.uniform(-1, 1 - width)
                high[row, side] = low[row, side] + width
            continue
        for side in axes:
            (low if upwards[side] else high)[row, side] = corner[side]
    return UnknownBoxes(low, high)


def draw_directions(generator: np.random.Generator, count: int) -> np.ndarray:
    """Unit vectors (B, 3) float32 from the shape to a camera, as people hold one: from a little below to far above."""
    azimuth, elevation = generator.uniform(0, 2 * np.pi, count), np.radians(generator.uniform(-10, 60, count))
    parts = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    return np.stack(parts, axis=1).astype(np.float32)


def visible(points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Which of the points (B, N, 3) a far camera in `directions` (B, 3) sees, (B, N) bool: those near the front one of
    their pixel."""
    count = len(points)
    side = np.cross(directions, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    axes = np.stack([side, np.cross(side, directions)], axis=2)
    place = ((np.einsum("bni,bij->bnj", points, axes) / 3**0.5 + 1) * (VIEW_PIXELS / 2)).astype(np.int64)
    place = place.clip(0, VIEW_PIXELS - 1)
    pixel = (np.arange(count)[:, None] * VIEW_PIXELS + place[..., 0]) * VIEW_PIXELS + place[..., 1]
    nearness = np.einsum("bni,bi->bn", points, directions)
    front = np.full(count * VIEW_PIXELS**2, -np.inf, nearness.dtype)
    np.maximum.at(front, pixel.ravel(), nearness.ravel())
    return nearness > front[pixel] - VIEW_DEPTH
