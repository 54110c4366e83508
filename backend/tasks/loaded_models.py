"""The models that this process holds: loaded once for each device, let go on request."""

from __future__ import annotations

import gc
from functools import lru_cache

import torch

from ..errors import MachineError
from ..models.shape_space import ShapeSpace


def choose_device(name: str) -> str:
    """ "auto" → CUDA where there is one, else the CPU; raises MachineError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise MachineError(f"This machine has no device '{name}': choose 'auto' or 'cpu'.") from error
    return name


@lru_cache(maxsize=1)
def shape_space(device: str) -> ShapeSpace:
    """The bundled shape space on that device; raises MachineError when its weights are not whole."""
    return ShapeSpace.load(device)


def release_models() -> None:
    """Give the models' memory back; the next task loads them again."""
    shape_space.cache_clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
