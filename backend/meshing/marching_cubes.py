"""Marching cubes from whichever library this Python has: PyMCubes, or scikit-image where PyMCubes has no wheel."""

from __future__ import annotations

import numpy as np

try:
    import mcubes
except ImportError:  # Python 3.13 and later
    mcubes = None


def marching_cubes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The zero level of a grid (X, Y, Z) that is negative inside and positive all around its border.

    Returns vertices (V, 3) float64 in cells from the grid's corner, and faces (F, 3) int32, closed and facing
    outwards; (0, 3) each where the grid has no negative value. Both libraries put the vertices in the same places;
    they may connect a cube's vertices differently where its signs leave a choice.
    """
    if not (values < 0).any():
        return np.empty((0, 3)), np.empty((0, 3), dtype=np.int32)
    return _with_pymcubes(values) if mcubes is not None else _with_scikit_image(values)


def _with_pymcubes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = mcubes.marching_cubes(values, 0.0)
    return vertices, faces[:, ::-1].astype(np.int32)  # it takes the high values for the inside


def _with_scikit_image(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from skimage import measure

    vertices, faces, _, _ = measure.marching_cubes(values, 0.0)
    return vertices.astype(np.float64), faces.astype(np.int32)
