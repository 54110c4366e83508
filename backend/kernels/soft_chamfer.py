"""Chamfer distance with a soft minimum, smooth in both clouds."""

import math
from typing import Any

import numpy as np
import torch

from .block_tree import BlockTree, build_block_trees
from .chamfer import Reduction, check_reduction, cloud_mean, reduce_batch
from .checks import check_cloud, check_lengths, check_same_batch, check_same_device
from .devices import computing_device
from .nearest import as_array
from .nearest_cpu import search
from .soft_chamfer_cpu import FLOAT32_ROUNDING, pull_on_targets, sum_over_targets

FLOAT32_DIGITS = 17.0  # exp(-17) is below float32's precision


def soft_chamfer_distance(
    a: torch.Tensor,
    b: torch.Tensor,
    temperature: float,
    *,
    reduction: Reduction = "mean",
    a_lengths: torch.Tensor | None = None,
    b_lengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """The Chamfer distance whose minimum over the other cloud is replaced by its softmax-weighted mean.

    mean_i Σ_j w_ij d_ij + mean_j Σ_i v_ij d_ij with d_ij = |a_i - b_j|², w_ij = softmax_j(-d_ij / T) and
    v_ij = softmax_i(-d_ij / T). It tends to `chamfer_distance` as T → 0. The gradient passes through the weights.

    a: (B, N, 3) float32. b: (B, M, 3) float32. temperature: T > 0, in squared units of the points.
    reduction: over the batch, "mean" or "sum" (a scalar) or "none" (B,). a_lengths, b_lengths: (B,) int64.
    Targets whose weights could not change a float32 are skipped (absolute error below T · 1e-6). Memory is linear in
    N + M. Devices and errors as in `nearest_neighbors`, and ValueError for a temperature that is not positive.
    """
    check_cloud("a", a)
    check_cloud("b", b)
    check_same_device(a=a, b=b)
    check_same_batch("a", a, "b", b)
    check_reduction(reduction)
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be a positive number, not {temperature}.")
    a_count, b_count = check_lengths("a_lengths", a_lengths, a), check_lengths("b_lengths", b_lengths, b)
    forth, back = _SoftMinima.apply(a, b, a_count, b_count, float(temperature))
    return reduce_batch(cloud_mean(forth, a_count) + cloud_mean(back, b_count), reduction)


class _SoftMinima(torch.autograd.Function):
    """Softmax-weighted squared distances both ways, (B, N) and (B, M); 0 for padding."""

    @staticmethod
    def forward(
        ctx: Any, a: torch.Tensor, b: torch.Tensor, a_count: torch.Tensor, b_count: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.temperature = temperature
        ctx.reaches = tuple(temperature * (FLOAT32_DIGITS + math.log(cloud.shape[1])) for cloud in (b, a))
        ctx.on_cuda = computing_device(a.device).type == "cuda"
        if ctx.on_cuda:
            from .soft_chamfer_cuda import soft_minima_cuda

            ctx.sides = soft_minima_cuda(a, b, a_count, b_count, temperature)
        else:
            arrays = [(as_array(a), a_count.numpy()), (as_array(b), b_count.numpy())]
            ctx.trees = build_block_trees(arrays)
            ctx.sides = _soft_minima_cpu(ctx.trees[0], ctx.trees[1], temperature, ctx.reaches)
        ctx.save_for_backward(a, b, a_count, b_count)
        forth, back = (side[2].to(a.device) for side in ctx.sides)
        return forth, back

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_forth: torch.Tensor, grad_back: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        a, b, a_count, b_count = ctx.saved_tensors
        temperature = ctx.temperature
        gradients = []
        factors = []
        for (nearest, weight, value, pull), upstream in zip(ctx.sides, (grad_forth, grad_back), strict=True):
            upstream = upstream.to(value.device)
            gradients.append(upstream[..., None] * pull)
            share = torch.where(weight > 0, upstream / weight, 0)
            factors.append((nearest, share * (1 + (value - nearest) / temperature), share / temperature))
        if ctx.on_cuda:
            from .soft_chamfer_cuda import pull_on_targets_cuda

            pull_on_targets_cuda(a, b, a_count, b_count, factors[0], temperature, gradients[1])
            pull_on_targets_cuda(b, a, b_count, a_count, factors[1], temperature, gradients[0])
        else:
            trees = ctx.trees
            for side in (0, 1):
                nearest, p, q = (as_array(factor) for factor in factors[side])
                pull_on_targets(
                    trees[side], trees[1 - side], nearest, p, q, temperature, ctx.reaches[side],
                    gradients[1 - side].numpy(),
                )  # fmt: skip
        return gradients[0].to(a.device), gradients[1].to(a.device), None, None, None


Side = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _soft_minima_cpu(a: BlockTree, b: BlockTree, temperature: float, reaches: tuple[float, ...]) -> list[Side]:
    """For a → b and b → a: nearest, weight and value (B, N) and pull (B, N, 3); see `soft_chamfer_cpu`."""
    pairs = ((a, b), (b, a))
    sides: list[Side] = []
    searches = []
    for queries, targets in pairs:
        shape = (len(queries.lengths), queries.count)
        nearest, index = torch.zeros(shape), np.empty((*shape, 1), np.int64)
        sides.append((nearest, torch.zeros(shape), torch.zeros(shape), torch.zeros(*shape, 3)))
        searches.append((queries, targets, nearest.numpy()[..., None], index))
    search(searches)
    for nearest, *_ in sides:  # so that the nearest target, however its distance is rounded, is not beyond the nearest
        nearest *= 1 + FLOAT32_ROUNDING
    for (queries, targets), side, reach in zip(pairs, sides, reaches, strict=True):
        sum_over_targets(queries, targets, side[0].numpy(), temperature, reach, *(part.numpy() for part in side[1:]))
    return sides
