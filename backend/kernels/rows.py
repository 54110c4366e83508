"""Taking rows of a matrix and adding into them: each is the other's derivative, and both always give the same sums."""

from typing import Any

import torch


def take_rows(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """values[index]: (R, C) and (K,) int64 give (K, C)."""
    return _TakeRows.apply(values, index)


def add_rows(values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """The matrix (count, C) whose row r is the sum of the rows of values (K, C) with index (K,) r."""
    return _AddRows.apply(values, index, count)


def _sum(values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    total = values.new_zeros((count, values.shape[1]))
    if values.device.type == "cuda":  # index_add_ adds in any order there; this sorts first
        return total.index_put_((index,), values.contiguous(), accumulate=True)
    return total.index_add_(0, index, values)


class _TakeRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(values)
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return add_rows(gradients[0], ctx.saved_tensors[0], ctx.count), None


class _AddRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
        ctx.save_for_backward(index)
        return _sum(values, index, count)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return take_rows(gradients[0], ctx.saved_tensors[0]), None, None
