"""Stable Diffusion 1.5 and 2.1, published: pictures of a prompt, from a folder as the `diffusers` package writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, is_out_of_memory
from .latent_diffusion import LatentDiffusion, placed, require_packages

FOLDERS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


class StableDiffusion:
    """A published model on one device. Make it with `load`; weights: file name → SHA-256."""

    def __init__(
        self, diffusion: LatentDiffusion, tokenizer: Any, text_encoder: Any, device: str, weights: dict[str, str]
    ) -> None:
        self.diffusion, self.tokenizer, self.text_encoder = diffusion, tokenizer, text_encoder
        self.device, self.weights = torch.device(device), weights

    @classmethod
    def load(cls, folder: Path, *, device: str, saving: str, weights: dict[str, str]) -> StableDiffusion:
        """Reads a folder; saving: one of `latent_diffusion.SAVINGS`.

        Raises MachineError where the packages are missing, InputError for a folder that holds no such model.
        """
        require_packages()
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        absent = [name for name in FOLDERS if not (folder / name).is_dir()]
        if absent:
            raise InputError(f"'{folder}' is no Stable Diffusion: it has no folder '{absent[0]}'.")
        try:
            schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
            predicts = schedule.get("prediction_type", "epsilon")
            unet = UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True)
            vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)
            text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True)
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        except Exception as error:  # the packages have no common one, and tokenizers raises no other
            if is_out_of_memory(error):
                raise
            what = str(error).partition("\n")[0]
            raise InputError(f"'{folder}' holds no whole Stable Diffusion ({what}): fetch it again.") from error
        placed_unet, placed_vae = placed(unet, vae, device, saving)
        size = int(unet.config.sample_size) * 2 ** (len(vae.config.block_out_channels) - 1)
        diffusion = LatentDiffusion(placed_unet, placed_vae, size, predicts)
        text_encoder = text_encoder.float().to(device).eval().requires_grad_(False)
        return cls(diffusion, tokenizer, text_encoder, device, weights)

    @torch.no_grad()
    def embed(self, sentences: list[str]) -> Tensor:
        """(B, L, D): what the U-Net attends to; what is too long for the encoder is cut off."""
        tokens = self.tokenizer(
            sentences,
            padding="max_length",
            max_length=self.text_encoder.config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state
