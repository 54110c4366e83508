"""Latent-diffusion checkpoints in their authors' layout, as states of the networks that the `diffusers` and
`transformers` packages define, and the sizes of those networks.

The layouts: CompVis' latent diffusion (Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models",
2022) for the U-Net and the auto-encoder, OpenAI's CLIP (Radford et al., "Learning Transferable Visual Models From
Natural Language Supervision", 2021) for the picture encoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

HEADS = 8
"""Of attention in the U-Net of Stable Diffusion 1 and its kin; no tensor tells it."""
CLIP_HEAD_WIDTH = 64

State = dict[str, Tensor]
_Names = tuple[tuple[str, str], ...]

_RESNET: _Names = (
    ("in_layers.0.", "norm1."),
    ("in_layers.2.", "conv1."),
    ("emb_layers.1.", "time_emb_proj."),
    ("out_layers.0.", "norm2."),
    ("out_layers.3.", "conv2."),
    ("skip_connection.", "conv_shortcut."),
)
_UNET_ENDS: _Names = (
    ("time_embed.0.", "time_embedding.linear_1."),
    ("time_embed.2.", "time_embedding.linear_2."),
    ("input_blocks.0.0.", "conv_in."),
    ("middle_block.0.", "mid_block.resnets.0."),
    ("middle_block.1.", "mid_block.attentions.0."),
    ("middle_block.2.", "mid_block.resnets.1."),
    ("out.0.", "conv_norm_out."),
    ("out.2.", "conv_out."),
)
_VAE_PARTS: _Names = (
    ("mid.block_1.", "mid_block.resnets.0."),
    ("mid.block_2.", "mid_block.resnets.1."),
    ("mid.attn_1.norm.", "mid_block.attentions.0.group_norm."),
    ("mid.attn_1.q.", "mid_block.attentions.0.to_q."),
    ("mid.attn_1.k.", "mid_block.attentions.0.to_k."),
    ("mid.attn_1.v.", "mid_block.attentions.0.to_v."),
    ("mid.attn_1.proj_out.", "mid_block.attentions.0.to_out.0."),
    ("norm_out.", "conv_norm_out."),
    ("nin_shortcut.", "conv_shortcut."),
)
_CLIP: _Names = (
    ("class_embedding", "vision_model.embeddings.class_embedding"),
    ("conv1.", "vision_model.embeddings.patch_embedding."),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("ln_pre.", "vision_model.pre_layrnorm."),
    ("ln_post.", "vision_model.post_layernorm."),
)
_CLIP_LAYER: _Names = (
    ("attn.out_proj.", "self_attn.out_proj."),
    ("ln_1.", "layer_norm1."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("ln_2.", "layer_norm2."),
)


def unet_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `diffusers.UNet2DConditionModel` for a U-Net's state. Raises KeyError for another state."""
    layers = _layers_of_unet(state)
    last = max(int(found[1]) for name in state if (found := re.match(r"input_blocks\.(\d+)\.", name)))
    levels = (last + 1) // (layers + 1)
    channels, attends = [], []
    for level in range(levels):
        first = f"input_blocks.{1 + level * (layers + 1)}"
        channels.append(state[f"{first}.0.out_layers.3.weight"].shape[0])
        attends.append(f"{first}.1.norm.weight" in state)
    kinds = {True: "CrossAttn{}Block2D", False: "{}Block2D"}
    text = next(tensor for name, tensor in state.items() if name.endswith("attn2.to_k.weight"))
    return {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "out_channels": state["out.2.weight"].shape[0],
        "block_out_channels": tuple(channels),
        "layers_per_block": layers,
        "down_block_types": tuple(kinds[own].format("Down") for own in attends),
        "up_block_types": tuple(kinds[own].format("Up") for own in reversed(attends)),
        "cross_attention_dim": text.shape[1],
        "attention_head_dim": HEADS,  # which diffusers takes for the number of heads
    }


def unet_state(state: Mapping[str, Tensor]) -> State:
    """The state of a `diffusers.UNet2DConditionModel`."""
    layers = _layers_of_unet(state)
    return {_unet_name(name, layers): tensor for name, tensor in state.items()}


def vae_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `diffusers.AutoencoderKL` for an auto-encoder's state. Raises KeyError for another state."""
    blocks = {(int(found[1]), int(found[2])) for name in state if (found := _VAE_BLOCK.match(name))}
    levels, layers = (1 + max(places) for places in zip(*blocks, strict=True))
    channels = tuple(state[f"encoder.down.{level}.block.0.conv2.weight"].shape[0] for level in range(levels))
    return {
        "block_out_channels": channels,
        "layers_per_block": layers,
        "latent_channels": state["post_quant_conv.weight"].shape[0],
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }


def vae_state(state: Mapping[str, Tensor]) -> State:
    """The state of a `diffusers.AutoencoderKL`."""
    levels = 1 + max(int(found[1]) for name in state if (found := _VAE_BLOCK.match(name)))
    renamed = {_vae_name(name, levels): tensor for name, tensor in state.items() if not name.startswith("loss.")}
    # What was a convolution with a kernel of one is a linear layer here.
    return {
        name: tensor.flatten(1) if ".attentions." in name and tensor.ndim == 4 else tensor
        for name, tensor in renamed.items()
    }


def clip_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `transformers.CLIPVisionConfig` for the state of CLIP's `visual` part. Raises KeyError for
    another state."""
    places, width = state["positional_embedding"].shape
    patch = state["conv1.weight"].shape[-1]
    return {
        "hidden_size": width,
        "intermediate_size": state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": 1 + max(int(found[1]) for name in state if (found := _CLIP_BLOCK.match(name))),
        "num_attention_heads": width // CLIP_HEAD_WIDTH,
        "patch_size": patch,
        "image_size": patch * round((places - 1) ** 0.5),
        "projection_dim": state["proj"].shape[1],
        "hidden_act": "quick_gelu",
    }


def clip_state(state: Mapping[str, Tensor]) -> State:
    """The state of a `transformers.CLIPVisionModelWithProjection`."""
    renamed: State = {"visual_projection.weight": state["proj"].T.contiguous()}
    for name, tensor in state.items():
        if found := _CLIP_BLOCK.match(name):
            renamed |= _clip_layer(found[1], found[2], tensor)
        elif name != "proj":
            renamed[_replaced(name, _CLIP)] = tensor
    return renamed


_VAE_BLOCK = re.compile(r"encoder\.down\.(\d+)\.block\.(\d+)\.")
_CLIP_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")


def _layers_of_unet(state: Mapping[str, Tensor]) -> int:
    """Residual blocks of a level on the way down: those before the first `op`, which halves the resolution."""
    halved = [int(found[1]) for name in state if (found := re.match(r"input_blocks\.(\d+)\.0\.op\.", name))]
    if not halved:
        raise KeyError("input_blocks.3.0.op.weight")
    return min(halved) - 1


def _replaced(name: str, names: _Names) -> str:
    for before, after in names:
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name


def _unet_name(name: str, layers: int) -> str:
    found = re.match(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)", name)
    if found is None or name.startswith("input_blocks.0."):
        renamed = _replaced(name, _UNET_ENDS)
        found = re.match(r"(mid_block\.resnets\.\d+\.)(.+)", renamed)
        return found[1] + _replaced(found[2], _RESNET) if found else renamed
    side, index, part, rest = found.groups()
    down = side == "input"
    level, layer = divmod(int(index) - 1 if down else int(index), layers + 1)
    block = f"{'down' if down else 'up'}_blocks.{level}"
    if rest.startswith("op."):
        return f"{block}.downsamplers.0.conv.{rest.removeprefix('op.')}"
    if rest.startswith("conv."):
        return f"{block}.upsamplers.0.{rest}"
    if part == "0":
        return f"{block}.resnets.{layer}.{_replaced(rest, _RESNET)}"
    return f"{block}.attentions.{layer}.{rest}"


def _vae_name(name: str, levels: int) -> str:
    coder, _, rest = name.partition(".")
    if coder not in ("encoder", "decoder"):
        return name
    if found := re.match(r"(down|up)\.(\d+)\.(block\.(\d+)|downsample|upsample)\.(.+)", rest):
        way, level, kind, block, inner = found.groups()
        place = int(level) if way == "down" else levels - 1 - int(level)
        part = f"resnets.{block}" if block is not None else f"{kind}rs.0"
        return f"{coder}.{way}_blocks.{place}.{part}.{_replaced(inner, _VAE_PARTS)}"
    return f"{coder}.{_replaced(rest, _VAE_PARTS)}"


def _clip_layer(index: str, rest: str, tensor: Tensor) -> State:
    layer = f"vision_model.encoder.layers.{index}"
    if rest.startswith("attn.in_proj_"):  # query, key and value in one
        kind = rest.removeprefix("attn.in_proj_")
        parts = zip(("q", "k", "v"), tensor.chunk(3), strict=True)
        return {f"{layer}.self_attn.{part}_proj.{kind}": own for part, own in parts}
    return {f"{layer}.{_replaced(rest, _CLIP_LAYER)}": tensor}
