"""backend.training.described: sentences for every variant, embedded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.data.packing import PackedData, pack
from backend.data.variants import VIEWS, Variants
from backend.models.text_encoder import TextEncoder
from backend.training.described import SENTENCES, TOKENS, describe_all, embed_all


@pytest.fixture
def data(tmp_path: Path, write_archive) -> PackedData:
    return pack(write_archive(tmp_path / "tiny.zip"), tmp_path / "packed", processes=1)


def test_captions_tell_what_the_variant_shows(data: PackedData) -> None:
    matrices = np.tile(np.eye(3, dtype=np.float32), (VIEWS, 1, 1))
    matrices[3, 2, 2] = 2.0
    variants = [Variants(matrices, (None, None, None, None, "blue", None))] * 3
    captions = describe_all(data, variants)
    assert [views[0][0] for views in captions] == ["a wide table", "an apple", "a sheet"]
    assert all(len(views) == VIEWS and {len(told) for told in views} == {SENTENCES} for views in captions)
    table, apple, sheet = (np.array(views) for views in captions)
    assert any("brown" in text or "wooden" in text for text in table[:3].ravel())
    assert any("red" in text.split() for text in apple[:4].ravel())
    assert any("tall" in text.split() for text in apple[3]), "it was stretched"
    assert not any("tall" in text.split() for text in apple[:3].ravel())
    assert any("blue" in text.split() for text in apple[4]) and not any("red" in text.split() for text in apple[4])
    assert not any("wide" in text.split() for text in table[4]), "the file's own word need not be true of a variant"
    assert set(sheet[0]) == {"a sheet"}, "its colour is unknown, and it is the only one of its class"
    assert describe_all(data, variants) == captions


def test_every_sentence_is_embedded_once_and_put_in_its_place() -> None:
    captions = [[["a chair", "a red chair"]], [["a boat", "a chair"]]]
    asked: list[str] = []

    class Recorder(TextEncoder):
        def encode(self, sentences):
            asked.extend(sentences)
            return super().encode(sentences)

    encoder = Recorder()
    embedded = embed_all(captions, encoder)
    assert sorted(asked) == ["a boat", "a chair", "a red chair"]
    assert embedded.of_variants.shape == (2, 1, 2)
    assert embedded.of_variants[0, 0, 0] == embedded.of_variants[1, 0, 1]
    assert embedded.encoded.tokens.shape == (3, TOKENS, 384)
    rows = embedded.of_variants.reshape(-1)
    for place, sentence in zip(rows, ("a chair", "a red chair", "a boat", "a chair"), strict=True):
        wanted = encoder.encode([sentence])
        length = wanted.mask.sum()
        torch.testing.assert_close(embedded.encoded.embedding[place], wanted.embedding[0], atol=1e-5, rtol=0)
        assert embedded.encoded.mask[place].sum() == length
        tokens = embedded.encoded.tokens[place, :length].float()
        torch.testing.assert_close(tokens, wanted.tokens[0], atol=5e-3, rtol=0)
