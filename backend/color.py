"""Linear RGB ⇄ sRGB, by the exact piecewise curves of IEC 61966-2-1. Values are in [0, 1], in any array shape."""

from __future__ import annotations

import numpy as np


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light; float in (other numbers become float64), same float type out."""
    linear = _as_floats(linear)
    # The power sees no negative numbers; those stay on the straight part.
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curve).astype(linear.dtype, copy=False)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Decode sRGB to linear light; float in (other numbers become float64), same float type out."""
    srgb = _as_floats(srgb)
    curve = ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(srgb <= 0.04045, srgb / 12.92, curve).astype(srgb.dtype, copy=False)


def _as_floats(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    return array if array.dtype.kind == "f" else array.astype(np.float64)
