"""Checkpoints that others have trained, read without running anything that is in them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError, is_out_of_memory


class _Inert:
    """What stands for the classes of a trainer that a checkpoint mentions: nothing of theirs is ever run."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Takes whatever the checkpoint would make the class of."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Name → tensor of a `.safetensors` file, or of torch's own format with the tensors at its top or under
    "state_dict"; the numbers of the latter stay on disk until they are used.

    Raises InputError for a file that is no such checkpoint, and lets a lack of memory through.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = _read_pickle(path)
    except (OSError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"'{path}' is no whole checkpoint: fetch it again.") from error
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping):
        raise InputError(f"'{path}' is no checkpoint of a model: it holds no dictionary of tensors.")
    return {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}


def _read_pickle(path: Path) -> Any:
    mentioned = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    stand_ins = [(_Inert, name) for name in mentioned]
    with torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
