"""Nearest neighbours between point clouds, differentiable in both clouds."""

from typing import Any

import numpy as np
import torch

from .block_tree import build_block_trees
from .checks import check_cloud, check_lengths, check_same_batch, check_same_device
from .devices import computing_device
from .nearest_cpu import MOST_NEIGHBORS, add_gradient, search, search_by_pairs

Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # source, target and their lengths
PAIRS_UP_TO = 1536  # between clouds up to this size, looking at all pairs costs less than arranging and searching


def nearest_neighbors(
    source: torch.Tensor,
    target: torch.Tensor,
    k: int = 1,
    *,
    source_lengths: torch.Tensor | None = None,
    target_lengths: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest points of target for every point of source, nearest first.

    source: (B, N, 3) float32. target: (B, M, 3) float32. k: 1 to 32, no more than the shortest target has points.
    source_lengths, target_lengths: (B,) int64, how many points of each cloud count; the rest is padding.
    Returns squared distances float32 and indices into target int64, both (B, N), or (B, N, k) where k > 1; both are 0
    for padding. Distances carry gradients to both clouds (2 · (source - target), where the neighbour stays the same).
    Among equally near points one is chosen, the same at every call. Distances too large for float32 are infinite.

    Computes on the CPU (block tree, all of torch's threads) or on an NVIDIA GPU; other devices' tensors are copied to
    the CPU and the results back, with one warning.
    Raises TypeError for a wrong dtype and ValueError for a wrong shape, empty clouds, NaN (on the CPU) or a k out of
    range.
    """
    check_cloud("source", source)
    check_cloud("target", target)
    check_same_device(source=source, target=target)
    check_same_batch("source", source, "target", target)
    source_count = check_lengths("source_lengths", source_lengths, source)
    target_count = check_lengths("target_lengths", target_lengths, target)
    most = min(MOST_NEIGHBORS, int(target_count.min()))
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= most:
        raise ValueError(f"k must be a whole number from 1 to {most} here, not {k!r}.")
    squared, index = _Nearest.apply(source, target, source_count, target_count, k)
    return (squared[..., 0], index[..., 0]) if k == 1 else (squared, index)


def mutual_nearest(
    a: torch.Tensor, b: torch.Tensor, a_lengths: torch.Tensor, b_lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nearest neighbours both ways: squared distances (B, N) and indices from a to b, then (B, M) from b to a.

    The clouds must have been checked; lengths are int64 (B,) on the CPU.
    """
    return _MutualNearest.apply(a, b, a_lengths, b_lengths)


class _Nearest(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        source: torch.Tensor,
        target: torch.Tensor,
        source_count: torch.Tensor,
        target_count: torch.Tensor,
        k: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        device = computing_device(source.device)
        if device.type == "cuda":
            from .nearest_cuda import search_cuda

            squared, index = search_cuda(source, target, source_count, target_count, k)
        else:
            (squared, index), *_ = _search_cpu([(source, target, source_count, target_count)], k)
        ctx.save_for_backward(source, target, index, source_count)
        ctx.mark_non_differentiable(index)
        return squared, index

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        source, target, index, source_count = ctx.saved_tensors
        grad_source, grad_target = (
            torch.zeros(source.shape, device=source.device),
            torch.zeros(target.shape, device=target.device),
        )
        _add_gradient(source, target, index, grad, source_count, grad_source, grad_target)
        return grad_source, grad_target, None, None, None


class _MutualNearest(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: torch.Tensor, b: torch.Tensor, a_count: torch.Tensor, b_count: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        device = computing_device(a.device)
        if device.type == "cuda":
            from .nearest_cuda import search_cuda

            forth = search_cuda(a, b, a_count, b_count, 1)
            back = search_cuda(b, a, b_count, a_count, 1)
        else:
            forth, back = _search_cpu([(a, b, a_count, b_count), (b, a, b_count, a_count)], 1)
        ctx.save_for_backward(a, b, forth[1], back[1], a_count, b_count)
        results = tuple(result[..., 0] for result in (*forth, *back))
        ctx.mark_non_differentiable(results[1], results[3])
        return results

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_forth: torch.Tensor, _: Any, grad_back: torch.Tensor, __: Any) -> tuple[Any, ...]:
        a, b, forth, back, a_count, b_count = ctx.saved_tensors
        grad_a, grad_b = torch.zeros(a.shape, device=a.device), torch.zeros(b.shape, device=b.device)
        _add_gradient(a, b, forth, grad_forth[..., None], a_count, grad_a, grad_b)
        _add_gradient(b, a, back, grad_back[..., None], b_count, grad_b, grad_a)
        return grad_a, grad_b, None, None


def _search_cpu(
    tensors: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]], k: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Search for each (source, target, source_count, target_count); a cloud that occurs twice is arranged once."""
    parts = [(as_array(s), as_array(t), ns.numpy(), nt.numpy()) for s, t, ns, nt in tensors]
    results = []
    for source, _, lengths, _ in parts:
        shape = (*source.shape[:2], k)
        make = torch.empty if bool((lengths == shape[1]).all()) else torch.zeros
        results.append((make(shape, dtype=torch.float32), make(shape, dtype=torch.int64)))
    outputs = [(squared.numpy(), index.numpy()) for squared, index in results]
    if k == 1 and max(array.shape[1] for source, target, *_ in parts for array in (source, target)) <= PAIRS_UP_TO:
        search_by_pairs([(*part, *output) for part, output in zip(parts, outputs, strict=True)])
    else:
        _search_trees(parts, outputs)
    device = tensors[0][0].device
    return [(squared.to(device), index.to(device)) for squared, index in results]


def _search_trees(parts: list[Part], outputs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    clouds = {array.ctypes.data: (array, lengths) for s, t, ns, nt in parts for array, lengths in ((s, ns), (t, nt))}
    trees = dict(zip(clouds, build_block_trees(list(clouds.values())), strict=True))
    search(
        [
            (trees[source.ctypes.data], trees[target.ctypes.data], *output)
            for (source, target, *_), output in zip(parts, outputs, strict=True)
        ]
    )


def _add_gradient(
    source: torch.Tensor,
    target: torch.Tensor,
    index: torch.Tensor,
    weight: torch.Tensor,
    source_count: torch.Tensor,
    grad_source: torch.Tensor,
    grad_target: torch.Tensor,
) -> None:
    """Add the gradient of Σ weight · |source - target[index]|² to both gradients, in an order that never changes."""
    if source.device.type == "cpu":
        add_gradient(
            as_array(source), as_array(target), as_array(index), as_array(weight), source_count.numpy(),
            grad_source.numpy(), grad_target.numpy(),
        )  # fmt: skip
        return
    batch, count, k = index.shape
    valid = torch.arange(count).expand(batch, count) < source_count[:, None]
    weight = torch.where(valid.to(weight.device)[..., None], weight, 0)
    rows = torch.arange(batch, device=index.device)[:, None].expand(batch, count * k)
    flat = index.reshape(batch, count * k)
    pull = 2 * weight[..., None] * (source[:, :, None] - target[rows, flat].reshape(batch, count, k, 3))
    grad_source += pull.sum(2)
    # On a GPU, accumulating index_put_ sorts its indices, so that sums do not depend on chance; scatter_add_ would.
    grad_target.index_put_((rows, flat), -pull.reshape(batch, count * k, 3), accumulate=True)


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's values as a contiguous NumPy array in main memory, without a copy where it already is one."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
