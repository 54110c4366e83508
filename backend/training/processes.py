"""Training by several processes, one a GPU, where torchrun started them; without it there is one, and nothing to do.

    torchrun --nproc-per-node 4 -m backend.training.latent_prior --data train.zip

Every process draws batches of its own, and gradients are means over all (torch's DistributedDataParallel), so a step of
n processes learns from n times the batch size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as together
from torch.nn.parallel import DistributedDataParallel


def join() -> torch.device:
    """Joins the processes that torchrun started, where it did; returns this one's device."""
    cuda = torch.cuda.is_available()
    if not (together.is_available() and together.is_torchelastic_launched()):
        return torch.device("cuda" if cuda else "cpu")
    if not together.is_initialized():
        together.init_process_group("nccl" if cuda else "gloo")
    if not cuda:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def several() -> bool:
    """Whether other processes train the same model."""
    return together.is_available() and together.is_initialized()


def rank() -> int:
    """This process among them, from 0."""
    return together.get_rank() if several() else 0


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process does what is within before the others, who then find it done."""
    if rank() > 0:
        together.barrier()
    yield
    if several() and rank() == 0:
        together.barrier()


def of_first(seconds: float) -> float:
    """The first process's number, which all processes ask for at once: their clocks differ."""
    if not several():
        return seconds
    device = "cuda" if together.get_backend() == "nccl" else "cpu"
    told = torch.tensor([seconds], dtype=torch.float64, device=device)
    together.broadcast(told, src=0)
    return told.item()


class _Objective(nn.Module):
    """The losses as a module's forward pass, which is what gradients are synchronised for."""

    def __init__(self, model: nn.Module, losses_of: Callable[[Any, Any], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.losses_of = model, losses_of

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return self.losses_of(self.model, batch)


def synchronised(
    model: nn.Module, losses_of: Callable[[Any, Any], dict[str, Tensor]]
) -> Callable[[Any], dict[str, Tensor]]:
    """The losses of a batch, whose gradients are means over all processes."""
    objective = _Objective(model, losses_of)
    # Not every batch has every kind of condition.
    return DistributedDataParallel(objective, find_unused_parameters=True) if several() else objective
