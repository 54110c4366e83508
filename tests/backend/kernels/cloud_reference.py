"""Plain float64 definitions of the point-cloud operations, and clouds that are hard for fast code."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """All pairs: (B, N, M) float64."""
    return (a.double()[:, :, None] - b.double()[:, None]).square().sum(3)


def chamfer(a: torch.Tensor, b: torch.Tensor, *, squared: bool = True) -> torch.Tensor:
    """Per pair of clouds (B,)."""
    distances = squared_distances(a, b)
    forth, back = distances.amin(2), distances.amin(1)
    if not squared:
        forth, back = forth.sqrt(), back.sqrt()
    return forth.mean(1) + back.mean(1)


def soft_chamfer(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    """Per pair of clouds (B,)."""
    distances = squared_distances(a, b)
    forth = (torch.softmax(-distances / temperature, 2) * distances).sum(2)
    back = (torch.softmax(-distances / temperature, 1) * distances).sum(1)
    return forth.mean(1) + back.mean(1)


def optimal_cost(a: torch.Tensor, b: torch.Tensor, *, squared: bool) -> np.ndarray:
    """The exact earth mover's distance of each pair of clouds, as a mean over points (B,)."""
    costs = squared_distances(a, b).numpy()
    costs = costs if squared else np.sqrt(costs)
    return np.array([cost[linear_sum_assignment(cost)].mean() for cost in costs])


def clouds(kind: str, count: int, *, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Clouds (batch, count, 3) float32 of one of KINDS."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(batch, count, 3))
    if kind == "surface":
        points /= np.linalg.norm(points, axis=2, keepdims=True)
    elif kind == "clustered":  # tight clusters of very different sizes, and one far point
        scales = 10.0 ** random.integers(-6, 0, size=(batch, count, 1))
        points = points * scales + random.integers(0, 3, size=(batch, count, 1))
        points[:, 0] = 1000.0
    elif kind == "collinear":
        points = points[..., :1] * np.array([1.0, 2.0, -0.5])
    elif kind == "coincident":
        points = np.broadcast_to(points[:, :1], points.shape)
    elif kind == "duplicated":
        points = points[:, random.integers(0, max(count // 8, 1), count)]
    elif kind == "far":
        points = points + 1e6
    elif kind == "flat":
        points[..., 2] = 0.25
    return torch.from_numpy(np.ascontiguousarray(points, np.float32))


KINDS = ["random", "surface", "clustered", "collinear", "coincident", "duplicated", "far", "flat"]
