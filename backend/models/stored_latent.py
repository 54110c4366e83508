"""A latent in a file: safetensors, with the hashes of the weights that give it meaning."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError, MachineError


def save_latent(path: Path, latent: Tensor, weights: dict[str, str]) -> None:
    """Writes `latent` (C, 8, 8, 8) float32. Raises MachineError when the disk cannot take it."""
    path = Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        content = save({"latent": latent.detach().cpu().float().contiguous()}, {"weights": json.dumps(weights)})
        # Through bytes: safetensors' own file writer makes files that only their owner can read.
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise MachineError(f"The latent cannot be written to {path} ({error}).") from error


def load_latent(path: Path, weights: dict[str, str]) -> Tensor:
    """The latent (C, 8, 8, 8) float32 that `save_latent` wrote.

    Raises InputError when the file is missing, is no latent, or was made with other weights than `weights`.
    """
    try:
        with safe_open(Path(path), "pt") as file:
            made_with = json.loads((file.metadata() or {})["weights"])
            latent = file.get_tensor("latent")
    except FileNotFoundError:
        raise InputError(f"The latent file {path} does not exist.") from None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a latent file of Gen3D ({error}).") from error
    if made_with != weights:
        raise InputError(f"{path} was made with other weights than the ones in use; encode the mesh again.")
    return latent
