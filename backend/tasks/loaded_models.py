"""What this process holds: models, loaded once for each device, and the inputs that were encoded last.

Both are let go on request."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import torch

from ..errors import InputError, MachineError
from ..models.cloud_completion import CloudCompleter
from ..models.code_completion import CodeCompleter
from ..models.novel_views import NovelViews
from ..models.shape_space import ShapeSpace
from ..models.stable_diffusion import StableDiffusion
from ..models.zero123 import Zero123
from ..recipe import BUNDLED, MOST_MESHES
from ..weights.published import files_of
from .diffusion_models import (
    BundledPictureModel,
    BundledViewModel,
    PictureModel,
    PublishedPictureModel,
    PublishedViewModel,
    ViewModel,
)


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
def view_model(device: str, name: str = BUNDLED, checkpoint: str | None = None, saving: str = "none") -> ViewModel:
    """What makes pictures of other sides, on that device: the bundled model, or a published one by its name, from the
    file of a checkpoint where one is given.

    Raises MachineError when weights or packages are missing, InputError for a file that is no such checkpoint.
    """
    if name == BUNDLED:
        _refuse_files(checkpoint, "view model", "--view-model")
        return BundledViewModel(novel_views(device))
    path, weights = files_of(name, checkpoint)
    return PublishedViewModel(Zero123.load(path, name, device=device, saving=saving, weights=weights))


@lru_cache(maxsize=1)
def picture_model(device: str, name: str = BUNDLED, folder: str | None = None, saving: str = "none") -> PictureModel:
    """What knows pictures of prompts, on that device; as `view_model`, but published ones are folders."""
    if name == BUNDLED:
        _refuse_files(folder, "text prior", "--text-prior")
        return BundledPictureModel(novel_views(device))
    path, weights = files_of(name, folder)
    return PublishedPictureModel(StableDiffusion.load(path, device=device, saving=saving, weights=weights))


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


def _refuse_files(given: str | None, what: str, option: str) -> None:
    if given is not None:
        raise InputError(f"'{given}' is no bundled {what}: say which published one it is ({option}).")


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


observed_inputs = RecentlyUsed(1)
"""Partial shapes with what is known of them, by file and box."""


def release_models() -> None:
    """Give the memory of models and inputs back; the next task loads them again."""
    for loaded in (shape_space, novel_views, view_model, picture_model, _code_completer, _cloud_completer):
        loaded.cache_clear()
    encoded_inputs.clear()
    observed_inputs.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
