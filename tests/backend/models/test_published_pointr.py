"""A published checkpoint's layout, and what the published definition answers with it.

The expected numbers are the outputs of the authors' own model (github.com/yuxumin/PoinTr, models/PoinTr.py, its CUDA
operations in plain torch) at trans_dim 24, num_query 8, num_pred 24, knn_layer 1, with the weights of `filled`.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.models.pointr import Completion, PoinTr, with_input
from backend.models.published_pointr import from_published, load_published, published_config, published_state, renamed

WIDTH, QUERIES, FOLD, GLOBAL = 24, 8, 2, 1024
COARSE = [
    [-1.86834, 2.24557, 0.4409],
    [-2.36274, 1.35557, 1.95029],
    [-2.0821, -0.16341, 2.59441],
    [-1.17923, -1.7445, 2.19965],
    [0.1244, -2.66212, 1.06773],
    [1.49689, -2.45842, -0.30908],
    [2.45366, -1.24513, -1.51301],
    [2.51271, 0.37842, -2.25557],
]
EVERY_THIRD_FINE = [
    [6.90878, -7.17626, 9.22303],
    [6.92443, -7.19337, 9.24064],
    [6.40996, -8.06167, 10.72791],
    [6.64619, -9.53259, 11.32297],
    [7.47915, -11.03777, 10.85052],
    [7.49495, -11.05505, 10.86831],
    [8.76292, -11.93389, 9.69664],
    [10.17276, -11.77063, 8.36111],
    [11.19897, -10.6325, 7.23391],
    [11.2181, -10.65319, 7.25502],
    [11.33998, -9.09766, 6.58189],
]


def filled(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Weights that depend on the name and the shape alone."""
    wave = np.sin(np.arange(np.prod(shape)) * 0.37 + zlib.crc32(name.encode()) % 1000).astype(np.float32).reshape(shape)
    if name.endswith("running_var"):
        wave = 1 + 0.5 * wave
    elif len(shape) >= 2:
        wave = wave * 1.5 / np.sqrt(np.prod(shape[1:]))
    else:
        wave = 1 + 0.3 * wave if name.endswith("weight") else 0.2 * wave
    return torch.from_numpy(np.asarray(wave, np.float32))


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Name → shape of the small model's state, as its authors' code names and shapes it."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, out: int, width: int, kernel: int = 0, *, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (out, width, *[1] * kernel)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def norm(name: str, width: int, *, batch: bool = False) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)
        if batch:
            shapes[f"{name}.running_mean"] = shapes[f"{name}.running_var"] = (width,)
            shapes[f"{name}.num_batches_tracked"] = ()

    layer("base_model.grouper.input_trans", 8, 3, 1)
    for index, (width, out) in enumerate(((16, 32), (64, 64), (128, 64), (128, 128)), 1):
        layer(f"base_model.grouper.layer{index}.0", out, width, 2, bias=False)
        norm(f"base_model.grouper.layer{index}.1", out)
    for name, width, hidden, out in (
        ("base_model.pos_embed", 3, 128, WIDTH),
        ("base_model.input_proj", 128, WIDTH, WIDTH),
        ("base_model.increase_dim", WIDTH, GLOBAL, GLOBAL),
        ("increase_dim", WIDTH, GLOBAL, GLOBAL),
    ):
        layer(f"{name}.0", hidden, width, 1)
        norm(f"{name}.1", hidden, batch=True)
        layer(f"{name}.3", out, hidden, 1)
    for part, count in (("encoder", 6), ("decoder", 8)):
        for index in range(count):
            block = f"base_model.{part}.{index}"
            own = "attn" if part == "encoder" else "self_attn"
            for name in ("norm1", "norm2") if part == "encoder" else ("norm1", "norm_q", "norm_v", "norm2"):
                norm(f"{block}.{name}", WIDTH)
            layer(f"{block}.{own}.qkv", 3 * WIDTH, WIDTH, bias=False)
            layer(f"{block}.{own}.proj", WIDTH, WIDTH)
            if part == "decoder":
                for name in ("q_map", "k_map", "v_map"):
                    layer(f"{block}.attn.{name}", WIDTH, WIDTH, bias=False)
                layer(f"{block}.attn.proj", WIDTH, WIDTH)
            for suffix in ("",) if part == "encoder" else ("", "_cross"):
                layer(f"{block}.knn_map{suffix}.0", WIDTH, 2 * WIDTH)
                layer(f"{block}.merge_map{suffix}", WIDTH, 2 * WIDTH)
            layer(f"{block}.mlp.fc1", 2 * WIDTH, WIDTH)
            layer(f"{block}.mlp.fc2", WIDTH, 2 * WIDTH)
    layer("base_model.coarse_pred.0", GLOBAL, GLOBAL)
    layer("base_model.coarse_pred.2", 3 * QUERIES, GLOBAL)
    layer("base_model.mlp_query.0", GLOBAL, GLOBAL + 3, 1)
    layer("base_model.mlp_query.2", GLOBAL, GLOBAL, 1)
    layer("base_model.mlp_query.4", WIDTH, GLOBAL, 1)
    layer("reduce_map", WIDTH, WIDTH + GLOBAL + 3)
    for name, width in (("foldingnet.folding1", WIDTH + 2), ("foldingnet.folding2", WIDTH + 3)):
        layer(f"{name}.0", 256, width, 1)
        norm(f"{name}.1", 256, batch=True)
        layer(f"{name}.3", 128, 256, 1)
        norm(f"{name}.4", 128, batch=True)
        layer(f"{name}.6", 3, 128, 1)
    return shapes


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return {name: filled(name, shape) if shape else torch.tensor(0) for name, shape in published_shapes().items()}


def cloud() -> torch.Tensor:
    """600 points on a bent ball."""
    index = np.arange(600)
    height, angle = 1 - 2 * (index + 0.5) / 600, index * 2.399963
    ring = np.sqrt(1 - height * height)
    places = [ring * np.cos(angle), ring * np.sin(angle) * 0.7, height * (0.6 + 0.2 * np.cos(3 * angle))]
    return torch.from_numpy(np.stack(places, 1).astype(np.float32))[None]


@torch.no_grad()
def test_the_answer_is_the_published_models(state) -> None:
    found = published_state({"base_model": {f"module.{name}": tensor for name, tensor in state.items()}})
    model = PoinTr(published_config(found, fold=FOLD))
    model.load_state_dict(renamed(found, model.config.graph_blocks))
    completion = model.eval()(cloud())
    assert completion.coarse.shape == (1, QUERIES, 3) and completion.fine.shape == (1, QUERIES * FOLD**2, 3)
    torch.testing.assert_close(completion.coarse[0], torch.tensor(COARSE), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(completion.fine[0, ::3], torch.tensor(EVERY_THIRD_FINE), rtol=1e-4, atol=1e-3)


def test_the_sizes_are_read_from_the_tensors(state) -> None:
    config = from_published({"model": state}).config
    assert (config.width, config.queries, config.global_width, config.fold_width) == (WIDTH, QUERIES, GLOBAL, 256)
    assert (config.encoder_blocks, config.decoder_blocks, config.centers) == (6, 8, (512, 128))


def test_a_checkpoint_file_is_read(state, tmp_path: Path) -> None:
    path = tmp_path / "pointr.pth"
    torch.save({"base_model": state, "epoch": 3}, path)
    assert load_published(path).config.queries == QUERIES


def test_what_is_no_checkpoint_of_pointr_is_refused(state, tmp_path: Path) -> None:
    path = tmp_path / "pointr.pth"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_published(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="no checkpoint that torch can read"):
        load_published(path)
    for wrong, words in (
        ([1], "holds no dictionary"),
        ({"base_model": {"weight": torch.zeros(1)}}, "no folding layers"),
        ({**state, "base_model.extra.weight": torch.zeros(1)}, "'base_model.extra.weight' is none of its layers"),
        ({**state, "base_model.encoder.0.extra.weight": torch.zeros(1)}, "is none of its layers"),
        ({name: tensor for name, tensor in state.items() if "coarse_pred" not in name}, "coarse_pred.2.bias"),
        ({name: tensor for name, tensor in state.items() if "norm1" not in name}, "not PoinTr's"),
        ({**state, "reduce_map.bias": torch.zeros(3)}, "size mismatch for reduce.bias"),
    ):
        with pytest.raises(InputError, match=words):
            from_published(wrong)


def test_the_input_counts_as_part_of_the_completion() -> None:
    completion = Completion(torch.zeros(2, 5, 3), torch.ones(2, 20, 3))
    points = torch.rand(2, 30, 3)
    whole = with_input(completion, points)
    assert whole.coarse.shape == (2, 10, 3) and whole.fine.shape == (2, 50, 3)
    torch.testing.assert_close(whole.fine[:, 20:], points)
    given = {tuple(place) for place in points[1].tolist()}
    assert len(given & {tuple(place) for place in whole.coarse[1, 5:].tolist()}) == 5
