"""A picture of how a training goes: each loss over the steps, and what the model makes now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, MARGIN = 800, 320, 12
COLORS = ((214, 69, 65), (44, 110, 190), (38, 140, 90), (200, 140, 20), (120, 80, 170), (90, 90, 90))


def loss_curves(steps: Sequence[float], losses: Mapping[str, Sequence[float]]) -> Image.Image:
    """The curves (800, 320) of losses that were written down at `steps`, on a logarithmic axis."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    values = {name: np.log10(np.maximum(curve, 1e-8)) for name, curve in losses.items()}
    if not steps or not values:
        return image
    low, high = min(curve.min() for curve in values.values()), max(curve.max() for curve in values.values())
    across = MARGIN + (np.asarray(steps) - steps[0]) / max(steps[-1] - steps[0], 1) * (WIDTH - 2 * MARGIN)
    for power in range(int(np.floor(low)), int(np.ceil(high)) + 1):
        y = _height(float(power), low, high)
        if MARGIN <= y <= HEIGHT - MARGIN:
            draw.line([(MARGIN, y), (WIDTH - MARGIN, y)], fill=(225, 225, 225))
            draw.text((MARGIN, y - 11), f"1e{power}", fill=(150, 150, 150))
    for row, (color, (name, curve)) in enumerate(zip(COLORS, values.items(), strict=False)):
        heights = [_height(float(value), low, high) for value in curve]
        # A loss that came later than others has the last of the steps.
        draw.line(list(zip(across[-len(heights) :].tolist(), heights, strict=True)), fill=color, width=2)
        draw.text((WIDTH - 180, MARGIN + 14 * row), f"{name} {losses[name][-1]:.4g}", fill=color)
    draw.text((WIDTH - 180, HEIGHT - 2 * MARGIN), f"step {steps[-1]:.0f}", fill=(90, 90, 90))
    return image


def _height(value: float, low: float, high: float) -> float:
    return HEIGHT - MARGIN - (value - low) / max(high - low, 1e-6) * (HEIGHT - 2 * MARGIN)


def write_picture(
    path: Path, steps: Sequence[float], losses: Mapping[str, Sequence[float]], samples: np.ndarray | None
) -> None:
    """Writes curves, and `samples` (H, W, 3) uint8 below them, where there are any, to the PNG at `path`, in one step:
    a viewer never sees half of it."""
    curves = loss_curves(steps, losses)
    whole = curves
    if samples is not None:
        below = Image.fromarray(samples)
        whole = Image.new("RGB", (max(WIDTH, below.width), HEIGHT + below.height), "white")
        whole.paste(curves, (0, 0))
        whole.paste(below, (0, HEIGHT))
    unfinished = path.with_suffix(".unfinished")
    whole.save(unfinished, format="PNG")
    os.replace(unfinished, path)
