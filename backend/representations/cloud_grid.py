"""A cloud of points without normals → the distance grid of the solid that it covers."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..data.distance_grids import RESOLUTION, SATURATION

REACH = 2.0
"""How many times the points' usual spacing gaps between them may be wide and still be closed."""
THICKNESS = 0.4
"""Share of that gap by which the surface lies around the points, so that sheets of points have two sides."""
SMOOTHING = 0.5
"""Deviation of the smoothing in cells."""


def distance_grid_of_cloud(points: np.ndarray) -> np.ndarray:
    """points (N, 3) in model space → (64, 64, 64) float32, tanh(distance / 0.08) as `data.distance_grids` makes it.

    The points, thickened until they close, are what cannot be reached from outside; from that wall's outer side the
    thickening is taken off again (a morphological closing: Serra, "Image Analysis and Mathematical Morphology", 1982).
    """
    cell = 2 / RESOLUTION
    axis = (np.arange(RESOLUTION) + 0.5) * cell - 1
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    tree = cKDTree(points)
    spacing = float(np.median(tree.query(points, k=[4])[0])) if len(points) > 3 else cell
    reach = max(REACH * spacing, 1.5 * cell)
    apart = tree.query(centres.reshape(-1, 3), distance_upper_bound=4 * reach)[0].reshape(centres.shape[:3])
    apart = np.minimum(apart, 4 * reach)
    labels, _ = ndimage.label(np.pad(apart > reach, 1, constant_values=True))
    # The layer that was put around touches all of the border, so that one label is the outside.
    outside = labels[1:-1, 1:-1, 1:-1] == labels[0, 0, 0]
    offset = max(THICKNESS * reach, 0.8 * cell)
    depth, nearest = ndimage.distance_transform_edt(~outside, sampling=cell, return_indices=True)
    # The wall ends somewhat before the nearest cell that is outside.
    depth -= apart[tuple(nearest)] - reach
    distances = ndimage.gaussian_filter(np.where(outside, apart, reach - depth) - offset, SMOOTHING)
    return np.tanh(distances / SATURATION).astype(np.float32)
