"""Files in the layouts and at the sizes of the published models, with weights drawn at random: what a model needs of
memory and time does not depend on them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Shapes = dict[str, tuple[int, ...]]

WIDTHS = (320, 640, 1280, 1280)
"""Channels of the U-Net's levels, each of RESNETS residual blocks on the way down; all levels but the last attend."""
RESNETS = 2
TIME_WIDTH = 4 * WIDTHS[0]
ENCODER_WIDTHS = (128, 256, 512, 512)
"""Of the auto-encoder's levels."""
CLIP_WIDTH, CLIP_LAYERS, CLIP_PLACES, CLIP_OUT = 1024, 24, 257, 768
"""Of the picture encoder, ViT-L/14: Radford et al. 2021, table 20."""

TEXT_ENCODERS: dict[str, dict[str, Any]] = {
    "stable-diffusion-1.5": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "heads": 12},
    "stable-diffusion-2.1": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "heads": 16},
}
ATTENTION: dict[str, dict[str, Any]] = {
    "stable-diffusion-1.5": {"attention_head_dim": 8, "use_linear_projection": False},
    "stable-diffusion-2.1": {"attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
}


def write_zero123(path: Path) -> None:
    """A checkpoint in Zero123's layout; Liu et al. 2023, the published configuration."""
    shapes = {"cc_projection.weight": (CLIP_OUT, CLIP_OUT + 4), "cc_projection.bias": (CLIP_OUT,)}
    parts = {
        "model.diffusion_model.": unet_shapes(seen=8, attended=CLIP_OUT),
        "first_stage_model.": autoencoder_shapes(),
        "cond_stage_model.model.visual.": clip_shapes(),
    }
    shapes |= {prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()}
    torch.save({"state_dict": _drawn(shapes)}, path)


def write_stable_diffusion(folder: Path, name: str) -> None:
    """A folder of Stable Diffusion as `diffusers` writes it, with a tokenizer of letters."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = dict(TEXT_ENCODERS[name])
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=WIDTHS, cross_attention_dim=text["hidden_size"], **ATTENTION[name]
        )
        vae = AutoencoderKL(
            sample_size=512,
            block_out_channels=ENCODER_WIDTHS,
            layers_per_block=RESNETS,
            down_block_types=("DownEncoderBlock2D",) * len(ENCODER_WIDTHS),
            up_block_types=("UpDecoderBlock2D",) * len(ENCODER_WIDTHS),
        )
        text_encoder = CLIPTextModel(CLIPTextConfig(num_attention_heads=text.pop("heads"), **text))
    for network, part in ((unet, "unet"), (vae, "vae")):
        network.save_config(folder / part)
        _write_weights(network, folder / part / "diffusion_pytorch_model.safetensors")
    text_encoder.config.architectures = ["CLIPTextModel"]
    text_encoder.config.save_pretrained(folder / "text_encoder")
    _write_weights(text_encoder, folder / "text_encoder" / "model.safetensors")
    _write_tokenizer(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "epsilon"}))


def unet_shapes(*, seen: int, attended: int) -> Shapes:
    """Of the U-Net of Rombach et al. 2022 as Stable Diffusion 1 has it, by its authors' names. seen: channels that go
    in. attended: width of what it attends to."""
    shapes = _layer("input_blocks.0.0", WIDTHS[0], seen, 3) | _layer("time_embed.0", TIME_WIDTH, WIDTHS[0])
    shapes |= _layer("time_embed.2", TIME_WIDTH, TIME_WIDTH)
    left, width = [WIDTHS[0]], WIDTHS[0]
    for level, own in enumerate(WIDTHS):
        for _ in range(RESNETS):
            block = f"input_blocks.{len(left)}"
            shapes |= _resnet(f"{block}.0", width, own)
            shapes |= _transformer(f"{block}.1", own, attended) if level < len(WIDTHS) - 1 else {}
            width = own
            left.append(width)
        if level < len(WIDTHS) - 1:
            shapes |= _layer(f"input_blocks.{len(left)}.0.op", width, width, 3)
            left.append(width)
    shapes |= _resnet("middle_block.0", width, width) | _transformer("middle_block.1", width, attended)
    shapes |= _resnet("middle_block.2", width, width)
    index = 0
    for level, own in reversed(list(enumerate(WIDTHS))):
        for layer in range(RESNETS + 1):
            block = f"output_blocks.{index}"
            shapes |= _resnet(f"{block}.0", width + left.pop(), own)
            attends = level < len(WIDTHS) - 1
            shapes |= _transformer(f"{block}.1", own, attended) if attends else {}
            if level > 0 and layer == RESNETS:
                shapes |= _layer(f"{block}.{1 + attends}.conv", own, own, 3)
            width, index = own, index + 1
    return shapes | _norm("out.0", width) | _layer("out.2", 4, width, 3)


def autoencoder_shapes() -> Shapes:
    """Of the auto-encoder of Rombach et al. 2022, by its authors' names."""
    shapes = _layer("quant_conv", 8, 8, 1) | _layer("post_quant_conv", 4, 4, 1)
    last = ENCODER_WIDTHS[-1]
    ends = {"encoder": (ENCODER_WIDTHS[0], 3, last, 8), "decoder": (last, 4, ENCODER_WIDTHS[0], 3)}
    for coder, (first, seen, final, made) in ends.items():
        shapes |= _layer(f"{coder}.conv_in", first, seen, 3) | _norm(f"{coder}.norm_out", final)
        shapes |= _layer(f"{coder}.conv_out", made, final, 3) | _norm(f"{coder}.mid.attn_1.norm", last)
        for index in (1, 2):
            shapes |= _plain_resnet(f"{coder}.mid.block_{index}", last, last)
        for part in ("q", "k", "v", "proj_out"):
            shapes |= _layer(f"{coder}.mid.attn_1.{part}", last, last, 1)
    width = ENCODER_WIDTHS[0]
    for level, own in enumerate(ENCODER_WIDTHS):
        for block in range(RESNETS):
            shapes |= _plain_resnet(f"encoder.down.{level}.block.{block}", width, own)
            width = own
        if level < len(ENCODER_WIDTHS) - 1:
            shapes |= _layer(f"encoder.down.{level}.downsample.conv", own, own, 3)
    for level, own in reversed(list(enumerate(ENCODER_WIDTHS))):
        for block in range(RESNETS + 1):
            shapes |= _plain_resnet(f"decoder.up.{level}.block.{block}", width, own)
            width = own
        if level > 0:
            shapes |= _layer(f"decoder.up.{level}.upsample.conv", own, own, 3)
    return shapes


def clip_shapes() -> Shapes:
    """Of CLIP's picture encoder, by its authors' names."""
    width = CLIP_WIDTH
    shapes: Shapes = {"class_embedding": (width,), "positional_embedding": (CLIP_PLACES, width)}
    shapes |= {"conv1.weight": (width, 3, 14, 14), "proj": (width, CLIP_OUT)}
    shapes |= _norm("ln_pre", width) | _norm("ln_post", width)
    for layer in range(CLIP_LAYERS):
        block = f"transformer.resblocks.{layer}"
        shapes |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        shapes |= _layer(f"{block}.attn.out_proj", width, width)
        shapes |= _layer(f"{block}.mlp.c_fc", 4 * width, width) | _layer(f"{block}.mlp.c_proj", width, 4 * width)
    return shapes


def _layer(name: str, made: int, seen: int, *kernel: int) -> Shapes:
    """A linear layer, or with a kernel's size a convolution."""
    return {f"{name}.weight": (made, seen, *(2 * kernel)), f"{name}.bias": (made,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _resnet(name: str, seen: int, made: int) -> Shapes:
    shapes = _norm(f"{name}.in_layers.0", seen) | _layer(f"{name}.in_layers.2", made, seen, 3)
    shapes |= _layer(f"{name}.emb_layers.1", made, TIME_WIDTH)
    shapes |= _norm(f"{name}.out_layers.0", made) | _layer(f"{name}.out_layers.3", made, made, 3)
    return shapes | (_layer(f"{name}.skip_connection", made, seen, 1) if seen != made else {})


def _plain_resnet(name: str, seen: int, made: int) -> Shapes:
    shapes = _norm(f"{name}.norm1", seen) | _layer(f"{name}.conv1", made, seen, 3)
    shapes |= _norm(f"{name}.norm2", made) | _layer(f"{name}.conv2", made, made, 3)
    return shapes | (_layer(f"{name}.nin_shortcut", made, seen, 1) if seen != made else {})


def _transformer(name: str, width: int, attended: int) -> Shapes:
    block = f"{name}.transformer_blocks.0"
    shapes = _norm(f"{name}.norm", width) | _layer(f"{name}.proj_in", width, width, 1)
    shapes |= _layer(f"{name}.proj_out", width, width, 1)
    for attention, told in (("attn1", width), ("attn2", attended)):
        shapes |= {f"{block}.{attention}.to_q.weight": (width, width)}
        shapes |= {f"{block}.{attention}.to_{part}.weight": (width, told) for part in ("k", "v")}
        shapes |= _layer(f"{block}.{attention}.to_out.0", width, width)
    for index in (1, 2, 3):
        shapes |= _norm(f"{block}.norm{index}", width)
    return shapes | _layer(f"{block}.ff.net.0.proj", 8 * width, width) | _layer(f"{block}.ff.net.2", width, 4 * width)


def _drawn(shapes: Shapes) -> dict[str, Tensor]:
    """Float32 weights of such sizes that numbers stay about as large from layer to layer."""
    generator = torch.Generator().manual_seed(0)
    drawn = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            drawn[name] = torch.randn(shape, generator=generator) * math.prod(shape[1:]) ** -0.5
        else:
            drawn[name] = torch.full(shape, 0.0 if name.endswith("bias") else 1.0)
    return drawn


def _write_weights(network: nn.Module, path: Path) -> None:
    save_file(_drawn({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}), path)


def _write_tokenizer(folder: Path) -> None:
    letters = [*"abcdefghijklmnopqrstuvwxyz,"]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
