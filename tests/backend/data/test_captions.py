from __future__ import annotations

import numpy as np
import pytest

from backend.data.captions import (
    CLASS_NAMES,
    COLOR_WORDS,
    color_word,
    main_colors,
    proportion_words,
    proportions,
    sentences,
    with_article,
    without_article,
)


@pytest.mark.parametrize(
    ("srgb", "word"),
    [
        ((255, 255, 255), "white"),
        ((0, 0, 0), "black"),
        ((30, 30, 36), "black"),
        ((128, 128, 128), "grey"),
        ((200, 202, 205), "grey"),
        ((220, 30, 30), "red"),
        ((240, 130, 20), "orange"),
        ((250, 220, 40), "yellow"),
        ((40, 160, 60), "green"),
        ((30, 80, 200), "blue"),
        ((70, 190, 210), "blue"),
        ((130, 50, 200), "purple"),
        ((240, 100, 180), "pink"),
        ((240, 170, 170), "pink"),
        ((110, 70, 30), "brown"),
        ((139, 90, 43), "brown"),
        ((90, 60, 50), "brown"),
        ((230, 215, 180), "beige"),
    ],
)
def test_colours_have_their_everyday_names(srgb: tuple[int, int, int], word: str) -> None:
    assert color_word(np.array(srgb) / 255) == word


def test_every_colour_has_a_word_that_captions_know() -> None:
    levels = np.linspace(0, 1, 12)
    words = {color_word((r, g, b)) for r in levels for g in levels for b in levels}
    assert words <= COLOR_WORDS
    assert {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey"} <= words


def paint(*parts: tuple[tuple[int, int, int], int]) -> np.ndarray:
    return np.concatenate([np.tile(np.array(color, np.uint8), (count, 1)) for color, count in parts])


RED, BLUE, GREEN, GREY, DARK_RED = (220, 30, 30), (30, 80, 200), (40, 160, 60), (128, 128, 128), (180, 20, 20)


@pytest.mark.parametrize(
    ("surface", "names"),
    [
        (paint((RED, 100)), ["red"]),
        (paint((RED, 60), (BLUE, 40)), ["red", "blue"]),
        (paint((BLUE, 80), (RED, 20)), ["blue"]),
        (paint((RED, 25), (DARK_RED, 25), (BLUE, 20), (GREEN, 20), (GREY, 10)), ["red"]),
        (paint((RED, 35), (BLUE, 35), (GREEN, 30)), []),
    ],
)
def test_main_colours_cover_much_of_the_surface(surface: np.ndarray, names: list[str]) -> None:
    assert main_colors(surface) == names


def test_proportions_are_height_and_width() -> None:
    extents = np.array([[2.0, 1, 4], [1, 2, 1]])
    np.testing.assert_allclose(proportions(extents), [[2, 2], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("proportion", "words"),
    [
        ((1.0, 1.0), []),
        ((1.3, 0.8), []),
        ((1.4, 1.0), ["tall"]),
        ((0.7, 1.0), ["low"]),
        ((1.0, 1.4), ["wide"]),
        ((2.0, 0.5), ["tall", "narrow"]),
        ((0.5, 2.0), ["low", "wide"]),
    ],
)
def test_words_tell_how_a_shape_differs_from_its_class(proportion: tuple[float, float], words: list[str]) -> None:
    median = np.array([0.8, 1.7])
    assert proportion_words(np.array(proportion) * median, median) == words


def test_articles() -> None:
    assert with_article("oak table") == "an oak table" and with_article("table") == "a table"
    assert [without_article(text) for text in ("a table", "an oak", "the end", "another one", "table")] == [
        "table",
        "oak",
        "end",
        "another one",
        "table",
    ]


def many(caption: str, class_name: str, colors: list[str], words: list[str]) -> list[str]:
    return sentences(caption, class_name, colors, words, 400, np.random.default_rng(0))


def test_sentences_begin_with_the_caption_and_vary_its_words() -> None:
    variants = many("a kitchen table", "table", ["red", "white"], ["low", "wide"])
    assert variants[0] == "a kitchen table" and len(variants) == 400
    assert {"a low red kitchen table", "a red and white table", "a low wide kitchen table"} <= set(variants)
    assert all(variant.startswith("a ") for variant in variants)
    assert {variant.rpartition(" ")[2] for variant in variants} == {"table"}
    plain = sum(variant == "a kitchen table" for variant in variants) / len(variants)
    assert plain == pytest.approx(0.8 * 0.4 * 0.25, abs=0.05)  # no class's name, no colour, neither shape word


def test_words_that_the_caption_has_are_not_said_again() -> None:
    variants = many("a tall green vase", "decor", ["red"], ["tall", "narrow"])
    assert not any("red" in variant.split() for variant in variants), "one colour contradicts the other"
    assert all(variant.count("tall") == 1 for variant in variants)
    assert "a narrow tall green vase" in variants


def test_brown_furniture_is_sometimes_wooden_and_brown_food_is_not() -> None:
    assert "a wooden chair" in many("a chair", "chair", ["brown"], [])
    assert "a brown chair" in many("a chair", "chair", ["brown"], [])
    assert not any("wooden" in variant for variant in many("a loaf", "food", ["brown"], []))


def test_classes_stand_in_for_nouns() -> None:
    variants = many("a tabby", "animal", [], [])
    assert set(variants) == {"a tabby", "an animal"}
    assert set(many("a thing", "other", [], [])) == {"a thing"}
    assert all(name == name.lower() for name in CLASS_NAMES.values())


def test_the_same_generator_gives_the_same_sentences() -> None:
    assert many("a chair", "chair", ["red"], ["low"]) == many("a chair", "chair", ["red"], ["low"])
