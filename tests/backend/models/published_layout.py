"""Small checkpoints in the published layouts, made here; zero123_reference.json has names, shapes and answers.

The answers are those of the published definitions (the U-Net and the auto-encoder of github.com/cvlab-columbia/zero123,
the picture encoder of github.com/openai/CLIP) with the weights that `zero123_state` draws, for `inputs`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "zero123_reference.json").read_text(encoding="utf-8"))


def zero123_state() -> dict[str, torch.Tensor]:
    """Weights as layers have them at first, drawn in the order of their names."""
    draw = np.random.RandomState(0)
    state = {}
    for name, shape in REFERENCE["shapes"].items():
        values = torch.from_numpy(draw.standard_normal(tuple(shape)).astype(np.float32))
        if name.endswith("bias"):
            values = 0.1 * values
        elif len(shape) < 2:
            values = 1 + 0.1 * values
        else:
            values = values * values[0].numel() ** -0.5
        state[name] = values
    return state


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture (3, 256, 256) in [0, 1] and noisy latents (2, 4, 32, 32)."""
    draw = np.random.RandomState(1)
    picture = torch.from_numpy(draw.uniform(size=(1, 3, 256, 256)).astype(np.float32))[0]
    return picture, torch.from_numpy(draw.standard_normal((2, 4, 32, 32)).astype(np.float32))


def furthest(answer: torch.Tensor, name: str) -> float:
    """The largest difference of an answer from the published definition's, where that was recorded."""
    wanted = REFERENCE["answers"][name]
    assert list(answer.shape) == wanted["shape"]
    ends = [answer.flatten()[:24], answer.flatten()[-24:], answer.mean(), answer.std()]
    recorded = [wanted[part] for part in ("first", "last", "mean", "deviation")]
    return max(float((end - torch.tensor(value)).abs().max()) for end, value in zip(ends, recorded, strict=True))


def write_stable_diffusion(folder: Path) -> None:
    """A Stable Diffusion of few numbers in the layout of the `diffusers` package, with a tokenizer of letters."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    ).save_pretrained(folder / "vae")
    letters = [*"abcdefghijklmnopqrstuvwxyz,"]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=len(tokens) - 2,
            eos_token_id=len(tokens) - 1,
        )
    ).save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"})
    )
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
