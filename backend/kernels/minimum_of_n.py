"""The Min-of-N loss for models that give several samples for one target."""

from collections.abc import Callable

import torch

from .chamfer import chamfer_distance, check_reduction, reduce_batch
from .checks import check_cloud, check_same_device, check_tensor
from .earth_movers import earth_movers_distance

CloudDistance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def minimum_of_n_loss(
    samples: torch.Tensor, target: torch.Tensor, distance: str | CloudDistance = "chamfer", *, reduction: str = "mean"
) -> torch.Tensor:
    """The distance of the best of n samples to the target (PSGN's MoN loss; Fan, Su & Guibas 2017, eq. 4).

    samples: (B, n, N, 3) float32, n samples for each target. target: (B, M, 3) float32.
    distance: "chamfer" (squared), "emd", or a function of two batches (K, N, 3) and (K, M, 3) that returns (K,).
    reduction: over the batch, "mean" or "sum" (a scalar) or "none" (B,).
    Only the best sample of each target receives a gradient. Devices and errors as in the distance that is used.
    """
    check_tensor("samples", samples, torch.float32)
    if samples.ndim != 4 or samples.shape[3] != 3 or samples.shape[1] == 0:
        raise ValueError(f"samples must have the shape (B, n, N, 3) with n ≥ 1, not {tuple(samples.shape)}.")
    check_cloud("target", target)
    check_same_device(samples=samples, target=target)
    if len(samples) != len(target):
        raise ValueError(f"samples has {len(samples)} targets' samples but target has {len(target)} clouds.")
    check_reduction(reduction)
    batch, n = samples.shape[:2]
    # Distances of all samples choose the best; only that one is computed again with its gradient.
    with torch.no_grad():
        repeated = target[:, None].expand(batch, n, *target.shape[1:]).flatten(0, 1)
        best = _distances(distance, samples.flatten(0, 1), repeated).reshape(batch, n).argmin(1)
    chosen = samples[torch.arange(batch, device=samples.device), best]
    return reduce_batch(_distances(distance, chosen, target), reduction)


def _distances(distance: str | CloudDistance, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if distance == "chamfer":
        return chamfer_distance(a, b, reduction="none")
    if distance == "emd":
        return earth_movers_distance(a, b).distance
    if callable(distance):
        return distance(a, b)
    raise ValueError(f'distance must be "chamfer", "emd" or a function, not {distance!r}.')
