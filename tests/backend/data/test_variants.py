"""backend.data.variants: objects stretched, mirrored and tinted."""

from __future__ import annotations

import numpy as np
import pytest

from backend.data.captions import color_word
from backend.data.variants import MIRRORED, STRETCHED, TINTED, TINTS, VIEWS, draw_variants, neutral, tinted


def test_variants_are_mirrored_stretched_and_tinted_in_their_places() -> None:
    extents = np.array([0.9, 0.4, 0.6])
    made = [draw_variants(extents, np.random.default_rng(seed)) for seed in range(40)]
    matrices = np.stack([variants.matrices for variants in made])
    assert matrices.shape == (40, VIEWS, 3, 3) and matrices.dtype == np.float32
    factors = np.diagonal(matrices, axis1=2, axis2=3)
    np.testing.assert_array_equal(matrices, factors[..., None] * np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(factors[:, 0], 1, atol=1e-6)
    assert ((factors < 0).any(axis=(0, 2)) == [view in MIRRORED for view in range(VIEWS)]).all()
    np.testing.assert_allclose((np.abs(factors) * extents).max(axis=2), 0.9, atol=1e-6)
    spread = np.abs(factors).max(axis=2) / np.abs(factors).min(axis=2)
    for view in range(VIEWS):
        assert ((spread[:, view] > 1.25).all()) == (view in STRETCHED)
    for variants in made:
        assert all((tint in TINTS) if view in TINTED else tint is None for view, tint in enumerate(variants.tints))
    assert len({variants.tints[4] for variants in made}) > 6


@pytest.mark.parametrize("word", TINTS)
def test_a_tint_is_called_by_its_word(word: str) -> None:
    assert color_word(np.array(TINTS[word]) / 255) == word


def test_the_main_colour_is_tinted_and_shades_stay() -> None:
    srgb = np.array([[200, 30, 30]] * 50 + [[150, 22, 22]] * 10 + [[20, 20, 20]] * 20, np.uint8)
    changed = tinted(srgb, "blue")
    assert (changed[-20:] == 20).all() and (changed[:50] == TINTS["blue"]).all()
    assert (changed[50:60].max(1) < changed[:50].max(1).min()).all() and color_word(changed[50] / 255) == "blue"
    assert (srgb[0] == [200, 30, 30]).all(), "what was given is left as it was"


def test_captions_lose_the_words_that_a_variant_contradicts() -> None:
    assert neutral("a tall red chair", "chair") == "chair"
    assert neutral("a red and white boat", "boat") == "boat"
    assert neutral("a long wide", "table") == "table"
