"""Chamfer distances between point clouds."""

from typing import Literal

import torch

from .checks import check_cloud, check_lengths, check_same_batch, check_same_device
from .nearest import mutual_nearest

Reduction = Literal["mean", "sum", "none"]


def chamfer_distance(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    squared: bool = True,
    reduction: Reduction = "mean",
    a_lengths: torch.Tensor | None = None,
    b_lengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over each cloud of the distance to the nearest point of the other cloud, both directions added.

    With squared distances this is the Chamfer-L2 of PCN and PoinTr (Fan et al. 2017, eq. 1, with means for sums):
    mean_i min_j |a_i - b_j|² + mean_j min_i |a_i - b_j|², in squared units of the points; squared=False takes the
    distances themselves. Half of the latter is `chamfer_distance_l1`.

    a: (B, N, 3) float32. b: (B, M, 3) float32. a_lengths, b_lengths: (B,) int64, how many points of each cloud count.
    reduction: over the batch, "mean" or "sum" (a scalar) or "none" (B,).
    Differentiable in both clouds; where two points coincide the plain distance's subgradient 0 is used. Memory is
    linear in N + M. Devices and errors as in `nearest_neighbors`.
    """
    check_cloud("a", a)
    check_cloud("b", b)
    check_same_device(a=a, b=b)
    check_same_batch("a", a, "b", b)
    a_count, b_count = check_lengths("a_lengths", a_lengths, a), check_lengths("b_lengths", b_lengths, b)
    check_reduction(reduction)
    forth, _, back, _ = mutual_nearest(a, b, a_count, b_count)
    if not squared:
        forth, back = root(forth), root(back)
    return reduce_batch(cloud_mean(forth, a_count) + cloud_mean(back, b_count), reduction)


def chamfer_distance_l1(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    reduction: Reduction = "mean",
    a_lengths: torch.Tensor | None = None,
    b_lengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """Chamfer-L1 as PCN and PoinTr report it: half of the sum of both directions' mean distances (not squared).

    (mean_i min_j |a_i - b_j| + mean_j min_i |a_i - b_j|) / 2, in units of the points (Yuan et al., PCN, 2018).
    Arguments, devices and errors as in `chamfer_distance`.
    """
    return 0.5 * chamfer_distance(a, b, squared=False, reduction=reduction, a_lengths=a_lengths, b_lengths=b_lengths)


def check_reduction(reduction: str) -> None:
    """Raise ValueError for an unknown reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction must be "mean", "sum" or "none", not {reduction!r}.')


def reduce_batch(values: torch.Tensor, reduction: str) -> torch.Tensor:
    """values (B,) as they are, or their mean or sum."""
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


def cloud_mean(values: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Mean of each row of values (B, N), of which count[b] count and the others are 0."""
    return values.sum(1) / count.to(values.device, values.dtype)


def root(squared: torch.Tensor) -> torch.Tensor:
    """The square root, with derivative 0 at 0."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)
