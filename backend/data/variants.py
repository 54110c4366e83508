"""Variants of an object for the prior to learn from: mirrored, stretched, tinted, with the words that then are true.

A library has few tall chairs and no blue ones; stretched and tinted ones teach what the words do to any chair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .captions import COLOR_WORDS, color_names, without_article

HALF_EXTENT = 0.9
MILD = 0.15
"""Stretching that leaves an object what it was: the logarithm of a factor, at most."""
MARKED = (0.25, 0.5)
"""Stretching along one axis that deserves a word."""
PLAIN_VIEWS = 2
"""The object as it is and its mirror image come first."""
VIEWS = 6
"""The others: stretched mildly and mirrored, stretched markedly, tinted, and both of these and mirrored."""
MIRRORED, STRETCHED, TINTED = (1, 2, 5), (3, 5), (4, 5)
PROPORTION_WORDS = frozenset({"tall", "high", "low", "short", "long", "wide", "narrow", "slim", "thin", "broad"})

TINTS = {
    "red": (200, 36, 30),
    "orange": (240, 140, 36),
    "yellow": (240, 210, 56),
    "green": (58, 150, 66),
    "blue": (48, 92, 204),
    "purple": (138, 70, 180),
    "pink": (236, 140, 176),
    "brown": (124, 82, 48),
    "black": (34, 34, 36),
    "white": (238, 238, 236),
    "grey": (128, 128, 130),
}
"""Words, and an sRGB colour that each names."""


@dataclass(frozen=True)
class Variants:
    """matrices (VIEWS, 3, 3) float32: what is done to an object's positions. tints: of each a word of TINTS or None."""

    matrices: np.ndarray
    tints: tuple[str | None, ...]


def draw_variants(extents: np.ndarray, generator: np.random.Generator) -> Variants:
    """The variants of an object of the given half-extents (3,); each fits the largest half-extent of 0.9."""
    factors = np.ones((VIEWS, 3))
    factors[2] = np.exp(generator.uniform(-MILD, MILD, 3))
    for view in STRETCHED:
        axis = generator.choice(3, p=(0.25, 0.25, 0.5))
        factors[view, axis] = np.exp(generator.choice((-1, 1)) * generator.uniform(*MARKED))
    factors *= HALF_EXTENT / (extents * factors).max(axis=1, keepdims=True)
    factors[list(MIRRORED), 0] *= -1
    words = list(TINTS)
    tints = tuple(words[generator.integers(len(words))] if view in TINTED else None for view in range(VIEWS))
    return Variants((factors[:, None] * np.eye(3)).astype(np.float32), tints)


def tinted(srgb: np.ndarray, word: str) -> np.ndarray:
    """Surface colours (N, 3) uint8, those of the most common name turned into the colour of `word`, light and dark as
    they were; all others stay."""
    names = color_names(srgb)
    kinds, counts = np.unique(names, return_counts=True)
    main = names == kinds[counts.argmax()]
    brightness = srgb[main].max(axis=1).astype(np.float64).clip(1)
    shade = (brightness / np.median(brightness)).clip(0.6, 1.3)[:, None]
    changed = srgb.copy()
    changed[main] = (np.array(TINTS[word]) * shade).clip(0, 255).astype(np.uint8)
    return changed


def neutral(caption: str, class_name: str) -> str:
    """The caption without its words for colour and proportion, which need not be true of a variant; the class's name
    where nothing is left."""
    words = [word for word in without_article(caption).split() if word not in COLOR_WORDS | PROPORTION_WORDS]
    while words and words[0] == "and":
        del words[0]
    return " ".join(words) or class_name
