"""What this process holds: models, loaded once for each device, and the inputs that were encoded last.

Both are let go on request."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import torch

from ..errors import MachineError
from ..models.cloud_completion import CloudCompleter
from ..models.code_completion import CodeCompleter
from ..models.novel_views import NovelViews
from ..models.shape_space import ShapeSpace
from ..recipe import MOST_MESHES


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


@lru_cache(maxsize=1)
def novel_views(device: str) -> NovelViews:
    """The bundled view model on that device; raises MachineError when its weights are not whole."""
    return NovelViews.load(device)


@lru_cache(maxsize=1)
def _code_completer(device: str) -> CodeCompleter:
    return CodeCompleter.load(shape_space(device))


@lru_cache(maxsize=1)
def _cloud_completer(device: str, checkpoint: str | None) -> CloudCompleter:
    return CloudCompleter.load(shape_space(device), checkpoint)


def completer(method: str, device: str, checkpoint: str | None = None) -> ShapeSpace | CodeCompleter | CloudCompleter:
    """What does a method of shape completion, on that device; `checkpoint` is for "points" alone.

    Raises MachineError when weights are not whole, InputError for a file that is no checkpoint.
    """
    if method == "points":
        return _cloud_completer(device, checkpoint)
    return _code_completer(device) if method == "autoregressive" else shape_space(device)


class RecentlyUsed:
    """The values that were asked for last, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `key`, made when it is not there."""
        value = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = value  # the last used comes last
        while len(self._kept) > self.size:
            del self._kept[next(iter(self._kept))]
        return value

    def clear(self) -> None:
        self._kept.clear()


encoded_inputs = RecentlyUsed(MOST_MESHES)
"""Meshes with their latents, by file and weights."""


def release_models() -> None:
    """Give the memory of models and inputs back; the next task loads them again."""
    for loaded in (shape_space, novel_views, _code_completer, _cloud_completer):
        loaded.cache_clear()
    encoded_inputs.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
