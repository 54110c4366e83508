"""From where a guidance looks: cameras drawn anew at every step of an optimisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..representations.cameras import Cameras

CameraSampler = Callable[[torch.Generator], Cameras]
TRIES = 64


def orbits(count: int, *, lowest: float = math.radians(-10), highest: float = math.radians(45)) -> CameraSampler:
    """`count` cameras in the standard framing, their azimuths evenly spread about one drawn at random, so that they see
    all sides; elevations uniform from `lowest` to `highest` (radians)."""

    def draw(generator: torch.Generator) -> Cameras:
        spread = torch.arange(count) * (2 * math.pi / count)
        azimuth = spread + 2 * math.pi * torch.rand(1, generator=generator)
        return Cameras.framing(azimuth, lowest + (highest - lowest) * torch.rand(count, generator=generator))

    return draw


def apart_from(seen: Cameras, count: int, *, least: float = math.radians(20)) -> CameraSampler:
    """`count` cameras of `orbits` whose viewing directions differ from all of `seen` by at least `least` radians; where
    few directions are so far from all, the farthest of TRIES."""
    directions = seen.outward

    def draw(generator: torch.Generator) -> Cameras:
        drawn = orbits(TRIES)(generator)
        nearest = (drawn.outward @ directions.T).max(dim=1).values.clamp(-1, 1).arccos()
        shuffled = torch.randperm(TRIES, generator=generator)
        # Those that are far enough in the order that they were drawn in, then the others by their distance.
        order = shuffled[torch.argsort(nearest[shuffled].clamp(max=least), descending=True, stable=True)]
        return drawn[order[:count]]

    return draw
