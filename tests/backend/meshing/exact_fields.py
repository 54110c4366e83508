"""Fields whose surface is known exactly, to hold the meshing against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Distance = Callable[[np.ndarray], np.ndarray]


class ExactField:
    """A field from a NumPy function of (N, 3) float64 points; counts the points that it is asked for."""

    def __init__(self, distance: Distance) -> None:
        self.distance = distance
        self.asked = 0

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        self.asked += len(points)
        return torch.from_numpy(self.distance(points.numpy().astype(np.float64)).astype(np.float32))

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """Red grows along x, green along y, blue along z."""
        return (points + 1) / 2


def sphere(radius: float = 0.9, center: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    return lambda points: np.linalg.norm(points - center, axis=1) - radius


def box(half: tuple[float, float, float], center: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    def distance(points: np.ndarray) -> np.ndarray:
        beyond = np.abs(points - center) - half
        return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)

    return distance


def torus(major: float = 0.6, minor: float = 0.25) -> Distance:
    return lambda points: np.hypot(np.linalg.norm(points[:, :2], axis=1) - major, points[:, 2]) - minor


def union(*parts: Distance) -> Distance:
    return lambda points: np.min([part(points) for part in parts], axis=0)


def without(solid: Distance, hole: Distance) -> Distance:
    return lambda points: np.maximum(solid(points), -hole(points))


def chair() -> Distance:
    """Seat, back and four legs: thin parts, corners and a typical outline."""
    legs = [box((0.06, 0.06, 0.42), (x, y, -0.48)) for x in (-0.4, 0.4) for y in (-0.4, 0.4)]
    return union(box((0.48, 0.48, 0.05)), box((0.48, 0.05, 0.45), (0, 0.43, 0.45)), *legs)


def waves(frequency: float = 14.0) -> Distance:
    """A gyroid in a ball: many handles, no straight edge, gradients between about 0.3 and 1.5."""

    def distance(points: np.ndarray) -> np.ndarray:
        x, y, z = frequency * points.T
        gyroid = (np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)) / frequency
        return np.maximum(gyroid, np.linalg.norm(points, axis=1) - 0.85)

    return distance
