"""Sentences for an object: its caption, with words for its colours and proportions taken from the mesh itself."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence

import numpy as np

CLASS_NAMES = {
    "animal": "animal",
    "appliance": "household appliance",
    "bed": "bed",
    "bike": "bicycle",
    "boat": "boat",
    "building": "building",
    "car": "car",
    "chair": "chair",
    "creature": "monster",
    "door_window": "door or window",
    "electronics": "electronic device",
    "food": "piece of food",
    "instrument": "musical instrument",
    "lamp": "lamp",
    "nature": "natural object",
    "person": "person",
    "plane": "airplane",
    "plant": "plant",
    "sofa": "sofa",
    "spaceship": "spaceship",
    "storage": "cabinet",
    "table": "table",
    "tableware": "piece of tableware",
    "tank": "tank",
    "tool": "tool",
    "train": "train",
    "tree": "tree",
    "weapon": "weapon",
}
"""Classes whose name says something in a sentence."""

COLOR_WORDS = frozenset({"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"})
COLOR_WORDS |= {"grey", "gray", "beige", "wooden", "golden"}
"""Words that tell an object's colour already; a caption with one of them gets no other."""
WOODEN_CLASSES = frozenset({"chair", "table", "bed", "storage", "door_window", "boat", "structure"})
MAIN_SHARE = 0.4
"""The share of the surface that a colour must cover to be the colour's word."""
PROPORTION = 1.35
"""How far from the class's median a proportion must be, as a factor, to be worth a word."""


def color_word(srgb: Sequence[float]) -> str:
    """The everyday name of an sRGB colour in [0, 1]."""
    hue, saturation, value = colorsys.rgb_to_hsv(*srgb)
    degrees = hue * 360
    if value < 0.2:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.85 else "grey" if value > 0.3 else "black"
    if degrees < 18 or degrees >= 345:
        return "brown" if value < 0.5 and saturation < 0.7 else "red" if saturation > 0.45 else "pink"
    if degrees < 48:
        if saturation < 0.4 and value > 0.7:
            return "beige"
        return "brown" if value < 0.75 or saturation < 0.6 else "orange"
    if degrees < 70:
        return "yellow" if value > 0.5 else "brown"
    for limit, name in ((170, "green"), (255, "blue"), (290, "purple"), (345, "pink")):
        if degrees < limit:
            return name
    raise AssertionError("hues end at 360 degrees")


def color_names(srgb: np.ndarray) -> np.ndarray:
    """The name (N,) str of each of the colours (N, 3) uint8 sRGB; colours that differ by less than 8 share theirs."""
    colors, place = np.unique(srgb // 8, axis=0, return_inverse=True)
    return np.array([color_word((color * 8 + 4) / 255) for color in colors])[place.reshape(-1)]


def main_colors(srgb: np.ndarray) -> list[str]:
    """The names of the one or two colours that cover most of a surface; `srgb` (N, 3) uint8 samples spread by area.
    Empty when no colour covers enough."""
    ranked = Counter(color_names(srgb).tolist()).most_common(2)
    if ranked[0][1] < MAIN_SHARE * len(srgb):
        return []
    return [name for name, count in ranked if count >= MAIN_SHARE / 1.6 * len(srgb)]


def proportions(extents: np.ndarray) -> np.ndarray:
    """(N, 3) extents along x, y, z → (N, 2): height over the larger ground extent, width over depth."""
    return np.stack([extents[:, 2] / extents[:, :2].max(1), extents[:, 0] / extents[:, 1]], axis=1)


def proportion_words(proportion: np.ndarray, median: np.ndarray) -> list[str]:
    """Words for how an object's `proportions` row differs from its class's median."""
    tall, wide = proportion / median
    words = []
    if tall > PROPORTION:
        words.append("tall")
    elif tall < 1 / PROPORTION:
        words.append("low")
    if wide > PROPORTION:
        words.append("wide")
    elif wide < 1 / PROPORTION:
        words.append("narrow")
    return words


def with_article(phrase: str) -> str:
    """The phrase, not empty, with its indefinite article: "oak table" → "an oak table"."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def without_article(caption: str) -> str:
    """The caption without a leading "a", "an" or "the"."""
    for article in ("a ", "an ", "the "):
        if caption.startswith(article):
            return caption.removeprefix(article)
    return caption


def sentences(
    caption: str, class_name: str, colors: list[str], shape_words: list[str], count: int, generator: np.random.Generator
) -> list[str]:
    """`count` captions of one object: its own first, then variants with some of the words that describe it."""
    own = without_article(caption)
    told = set(own.split())
    variants = [caption]
    while len(variants) < count:
        noun = own
        if generator.random() < 0.2:
            noun = CLASS_NAMES.get(class_name, own)
        words = [word for word in shape_words if word not in told and generator.random() < 0.5]
        if colors and not told & COLOR_WORDS and generator.random() < 0.6:
            named = " and ".join(colors) if generator.random() < 0.4 else colors[0]
            if named == "brown" and class_name in WOODEN_CLASSES and generator.random() < 0.6:
                named = "wooden"
            words.append(named)
        variants.append(with_article(" ".join([*words, noun])))
    return variants
