"""Features carried from a few points to many."""

import torch

from .checks import check_cloud, check_same_batch, check_same_device
from .nearest import nearest_neighbors
from .neighborhoods import group_points

SMALLEST = 1e-10
"""Squared distances below this count as this, so that a query on a point takes that point's features."""


def three_nearest_interpolate(queries: torch.Tensor, points: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The mean of the three nearest points' features, weighted by 1 / squared distance.

    queries: (B, M, 3) float32. points: (B, N, 3) float32; where N < 3 all of them are used.
    features: (B, N, C) float32.
    Returns (B, M, C) float32 with gradients to all three. Source: Qi et al., "PointNet++", 2017, eq. 2, p = 2, k = 3.
    Raises TypeError or ValueError as nearest_neighbors does, or where features do not belong to points.
    """
    check_cloud("features", features, channels=None)
    check_same_device(queries=queries, points=points, features=features)
    check_same_batch("points", points, "features", features)
    if points.shape[1] != features.shape[1]:
        raise ValueError(f"points has {points.shape[1]} points a cloud, but features has {features.shape[1]}.")
    k = min(3, points.shape[1])
    squared, index = nearest_neighbors(queries, points, k)
    if k == 1:
        squared, index = squared[..., None], index[..., None]
    weights = 1 / squared.clamp(min=SMALLEST)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return (weights[..., None] * group_points(features, index)).sum(dim=2)
