"""The published checkpoints of PoinTr, as weights of the model here.

Layout of the files (github.com/yuxumin/PoinTr, MIT): a dictionary with the state under `base_model` or `model`, each
name with `module.` before it where several GPUs trained it. Layers that are applied to every point alike are
convolutions with a kernel of one there and linear here, a query, key and value of self-attention are one matrix there,
and blocks that do not look at neighbourhoods carry the layers for it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from .pointr import PoinTr, PoinTrConfig

CONTAINERS = ("base_model", "model")
MOST_FOLD = 64

_PREFIXES = {
    "base_model.grouper.input_trans": "grouper.enter",
    "base_model.pos_embed": "position",
    "base_model.input_proj": "enter",
    "base_model.increase_dim": "summary",
    "base_model.coarse_pred": "coarse",
    "base_model.mlp_query": "query",
    "base_model.encoder": "encoder",
    "base_model.decoder": "decoder",
    "increase_dim": "rebuilt_summary",
    "reduce_map": "reduce",
    "foldingnet.folding1": "folding.first",
    "foldingnet.folding2": "folding.second",
}
_OF_ENCODER = {
    "norm1": "norm_self",
    "attn.proj": "self_attention.attention.leave",
    "knn_map.0": "self_attention.graph",
    "merge_map": "self_attention.merge",
    "norm2": "norm_mlp",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
_OF_DECODER = {
    **_OF_ENCODER,
    "self_attn.proj": "self_attention.attention.leave",
    "norm_q": "norm_query",
    "norm_v": "norm_memory",
    "attn.q_map": "cross_attention.attention.query",
    "attn.k_map": "cross_attention.attention.key",
    "attn.v_map": "cross_attention.attention.value",
    "attn.proj": "cross_attention.attention.leave",
    "knn_map_cross.0": "cross_attention.graph",
    "merge_map_cross": "cross_attention.merge",
}
_GRAPH = ("knn_map", "merge_map")
_BLOCK = re.compile(r"base_model\.(encoder|decoder)\.(\d+)\.(.+)\.(weight|bias)")
_GROUPER_LAYER = re.compile(r"base_model\.grouper\.layer([1-4])\.([01])\.(weight|bias)")


def load_published(path: Path) -> PoinTr:
    """The model of a published checkpoint, ready to use; its sizes are read from the checkpoint.

    Raises InputError for a file that is no such checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # torch raises whatever its readers do
        raise InputError(f"'{path}' is no checkpoint that torch can read.") from error
    return from_published(checkpoint)


def from_published(checkpoint: Mapping[str, object]) -> PoinTr:
    """The model of a checkpoint's content. Raises InputError where that has another layout."""
    state = published_state(checkpoint)
    model = PoinTr(published_config(state))
    try:
        model.load_state_dict(renamed(state, model.config.graph_blocks))
    except RuntimeError as error:
        raise InputError(f"The checkpoint is not PoinTr's: {str(error).splitlines()[-1].strip()}") from error
    return model.eval()


def published_state(checkpoint: Mapping[str, object]) -> dict[str, Tensor]:
    """Name → tensor, without container and `module.`. Raises InputError for anything else than a PoinTr's state."""
    if not isinstance(checkpoint, Mapping):
        raise InputError("The checkpoint is not PoinTr's: it holds no dictionary.")
    inner: object = next(
        (checkpoint[name] for name in CONTAINERS if isinstance(checkpoint.get(name), Mapping)), checkpoint
    )
    assert isinstance(inner, Mapping)
    state = {str(name).removeprefix("module."): value for name, value in inner.items()}
    if "foldingnet.folding1.0.weight" not in state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError("The checkpoint is not PoinTr's: it has no folding layers with the published names.")
    return state


def published_config(
    state: Mapping[str, Tensor], *, heads: int = 6, fold: int = 8, graph_blocks: int = 1
) -> PoinTrConfig:
    """The sizes that the tensors have; `heads`, `fold` and `graph_blocks`, which no tensor tells, are the published
    configurations' where they are not given. The grouper thins to 512 and 128 points in all of them."""
    try:
        whole, width = state["base_model.increase_dim.0.weight"].shape[:2]
        return PoinTrConfig(
            width=width,
            heads=heads,
            encoder_blocks=_count(state, "encoder"),
            decoder_blocks=_count(state, "decoder"),
            graph_blocks=graph_blocks,
            queries=state["base_model.coarse_pred.2.bias"].shape[0] // 3,
            fold=fold,
            global_width=whole,
            fold_width=state["foldingnet.folding1.0.bias"].shape[0],
        )
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"The checkpoint is not PoinTr's: {error} is missing.") from error


def renamed(state: Mapping[str, Tensor], graph_blocks: int) -> dict[str, Tensor]:
    """The published names and shapes as those of the model here. Raises InputError for a name that PoinTr has not."""
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        result.update(_renamed(name, tensor, graph_blocks))
    return result


def _count(state: Mapping[str, Tensor], part: str) -> int:
    return 1 + max(int(found[2]) for name in state if (found := _BLOCK.fullmatch(name)) and found[1] == part)


def _renamed(name: str, tensor: Tensor, graph_blocks: int) -> dict[str, Tensor]:
    if tensor.ndim > 2:
        tensor = tensor.flatten(1)
    if layer := _GROUPER_LAYER.fullmatch(name):
        kind = "linear" if layer[2] == "0" else "norm"
        return {f"grouper.layers.{int(layer[1]) - 1}.{kind}.{layer[3]}": tensor}
    if block := _BLOCK.fullmatch(name):
        return _renamed_in_block(block, tensor, graph_blocks)
    for prefix, ours in _PREFIXES.items():
        if name.startswith(prefix + "."):
            return {ours + name.removeprefix(prefix): tensor}
    raise InputError(f"The checkpoint is not PoinTr's: '{name}' is none of its layers.")


def _renamed_in_block(block: re.Match[str], tensor: Tensor, graph_blocks: int) -> dict[str, Tensor]:
    part, index, layer, kind = block.groups()
    if layer.startswith(_GRAPH) and int(index) >= graph_blocks:
        return {}
    if layer in ("attn.qkv", "self_attn.qkv"):
        names = [f"{part}.{index}.self_attention.attention.{name}.{kind}" for name in ("query", "key", "value")]
        return dict(zip(names, tensor.chunk(3), strict=True))
    table = _OF_ENCODER if part == "encoder" else _OF_DECODER
    if layer not in table:
        raise InputError(f"The checkpoint is not PoinTr's: '{block[0]}' is none of its layers.")
    return {f"{part}.{index}.{table[layer]}.{kind}": tensor}
