"""Which of several sampled shapes obeys the proportion and colour words of its prompt best.

Proportions and colours are measured as they were for the captions that the prior learned the words from
(backend.data.captions). A word says how an object differs from others of its kind; the other candidates are those.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from ..color import linear_to_srgb
from ..data.captions import color_word, proportions
from ..representations.field import Field
from .candidates import RESOLUTION, cell_centres, wholeness_of

PROPORTION_WORDS = {
    "tall": (0, 1),
    "high": (0, 1),
    "low": (0, -1),
    "short": (0, -1),
    "flat": (0, -1),
    "wide": (1, 1),
    "broad": (1, 1),
    "long": (1, 1),
    "narrow": (1, -1),
    "slim": (1, -1),
}
"""Word → which of `proportions` it is about, and whether that is larger or smaller."""
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "beige", "black", "white", "grey")
COLOR_WORDS = {**{name: name for name in COLORS}, "gray": "grey", "golden": "yellow"}
"""Word → the name that `color_word` gives to such a colour."""
ENOUGH = math.log(1.5)
"""The logarithm of a proportion's ratio to the others' median beyond which it is obeyed as well as can be."""
NEAR = 0.3
"""The distance in sRGB from a named colour at which nothing of it is left."""
AS_WHOLE = 0.1
"""A shape that hangs together worse than the best by more than this is not chosen, whatever it obeys."""
PALETTE = 17


@dataclass(frozen=True)
class Asked:
    """What a prompt asks for: (axis, direction) of `proportions`, and names of colours."""

    proportions: frozenset[tuple[int, int]]
    colors: frozenset[str]

    @classmethod
    def by(cls, prompt: str) -> Asked:
        """The words of a prompt that can be measured."""
        words = re.findall(r"[a-z]+", prompt.lower())
        return cls(
            frozenset(PROPORTION_WORDS[word] for word in words if word in PROPORTION_WORDS),
            frozenset(COLOR_WORDS[word] for word in words if word in COLOR_WORDS),
        )

    def __bool__(self) -> bool:
        return bool(self.proportions or self.colors)


@dataclass(frozen=True)
class Glance:
    """A shape on a coarse grid: wholeness in [0, 1], the logarithm of its `proportions` (2,), and colours (N, 3) of its
    surface in sRGB."""

    wholeness: float
    proportions: np.ndarray
    srgb: np.ndarray

    @classmethod
    def of(cls, field: Field) -> Glance | None:
        """None for a field that is empty."""
        centres = cell_centres(RESOLUTION)
        inside = (field.signed_distance(centres).cpu().numpy() < 0).reshape([RESOLUTION] * 3)
        if not inside.any():
            return None
        occupied = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        extents = np.array([places[-1] - places[0] + 1 for places in occupied])
        surface = torch.from_numpy((inside & ~ndimage.binary_erosion(inside)).ravel())
        srgb = linear_to_srgb(field.color(centres[surface]).cpu().numpy())
        return cls(wholeness_of(inside), np.log(proportions(extents[None])[0]), srgb)


@cache
def _palette(name: str) -> cKDTree:
    tones = itertools.product(np.linspace(0, 1, PALETTE), repeat=3)
    return cKDTree([tone for tone in tones if color_word(tone) == name])


def color_obedience(srgb: np.ndarray, name: str) -> float:
    """How near the colours (N, 3) sRGB in [0, 1] are to those that are called so: from 0 to 1 for all of them."""
    distances, _ = _palette(name).query(srgb)
    return float((1 - distances / NEAR).clip(min=0).mean())


def most_obedient(fields: Iterable[Field], asked: Asked) -> int:
    """The index of the field that obeys best, of those that hang together nearly as well as the best; the first of
    equals, and 0 where all are empty."""
    glances = {index: glance for index, field in enumerate(fields) if (glance := Glance.of(field)) is not None}
    if not glances:
        return 0
    limit = max(glance.wholeness for glance in glances.values()) - AS_WHOLE
    usual = np.median([glance.proportions for glance in glances.values()], axis=0)

    def obedience(glance: Glance) -> float:
        changes = (direction * (glance.proportions - usual)[axis] for axis, direction in asked.proportions)
        shape = sum(min(float(change) / ENOUGH, 1.0) for change in changes)
        # Two colours share the surface.
        return shape + sum(color_obedience(glance.srgb, name) for name in asked.colors)

    allowed = [index for index, glance in glances.items() if glance.wholeness >= limit]
    return max(allowed, key=lambda index: round(obedience(glances[index]), 3))
