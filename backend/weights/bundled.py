"""Reading and writing the bundled weights: safetensors of two bytes or one a number, checked against `sha256.json`."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import MachineError

FOLDER = Path(__file__).parent
AUTOENCODER = "shape_autoencoder.safetensors"
PRIOR = "latent_prior.safetensors"
VIEWS = "view_diffusion.safetensors"
POINTS = "point_completion.safetensors"
CODES = "shape_codes.safetensors"
CODE_PRIOR = "code_prior.safetensors"
HASHES = "sha256.json"
SCALE = ":scale"
"""Ends the name of the scales (rows, 1) of a matrix that is stored in bytes."""
LARGE_MATRIX = 1 << 16
REPAIR = "Install the extension again, or restore the file from the release."


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def expected_hashes(folder: Path = FOLDER) -> dict[str, str]:
    """File name → SHA-256 of every weights file in `folder`; empty where none was recorded.

    Raises MachineError when the record is damaged.
    """
    try:
        return json.loads((folder / HASHES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MachineError(f"The hashes of the bundled weights cannot be read ({error}). {REPAIR}") from error


def save_weights(
    name: str, state: dict[str, Tensor], config: dict, folder: Path = FOLDER, *, matrices_in_bytes: bool = False
) -> None:
    """Writes floating-point tensors in half precision, with `config` as metadata, and records the file's hash.

    With `matrices_in_bytes`, large matrices take one byte a number, and each row a scale of its own.
    """
    stored = {}
    for key, value in state.items():
        value = value.detach().cpu()
        if matrices_in_bytes and value.ndim == 2 and value.numel() >= LARGE_MATRIX:
            scale = value.abs().amax(dim=1, keepdim=True).clamp(min=1e-6) / 127
            stored[key] = (value / scale).round().to(torch.int8).contiguous()
            stored[key + SCALE] = scale
        else:
            stored[key] = (value.half() if value.is_floating_point() else value).contiguous()
    unfinished = folder / (name + ".unfinished")
    # Through bytes: safetensors' own file writer makes files that only their owner can read.
    unfinished.write_bytes(save(stored, metadata={"config": json.dumps(config)}))
    os.replace(unfinished, folder / name)
    hashes = {**expected_hashes(folder), name: sha256(folder / name)}
    unfinished = folder / (HASHES + ".unfinished")
    unfinished.write_text(json.dumps(hashes, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / HASHES)


def load_weights(name: str, folder: Path = FOLDER) -> tuple[dict[str, Tensor], dict]:
    """The tensors, in single precision, and the config of the bundled file `name`.

    Raises MachineError when the file is missing, cut short, or not the one that the release was made with.
    """
    path = folder / name
    if not path.is_file():
        raise MachineError(f"The bundled weights {name} are missing. {REPAIR}")
    if sha256(path) != expected_hashes(folder).get(name):
        raise MachineError(f"The bundled weights {name} are damaged: their SHA-256 is not the recorded one. {REPAIR}")
    try:
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MachineError(f"The bundled weights {name} cannot be read ({error}). {REPAIR}") from error
    scales = {key.removesuffix(SCALE): state.pop(key) for key in list(state) if key.endswith(SCALE)}
    single = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    return {**single, **{key: state[key].float() * scale for key, scale in scales.items()}}, config
