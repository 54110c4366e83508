"""The zero level of a field as a closed surface of triangles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..errors import InputError
from ..progress import IsCancelled
from ..representations.field import Field
from .marching_cubes import marching_cubes
from .sparse_grid import DistanceGrid, sample_distance_grid

EMPTY = "The shape came out empty; try another seed or a higher guidance scale."
NEAREST_TO_NODE = 0.01
"""The surface keeps this share of a cell away from grid nodes, where marching cubes would make needles of no area."""


def extract_surface(
    field: Field,
    detail: int,
    *,
    cancelled: IsCancelled | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The field's surface with `detail` cells along each side of model space, closed and facing outwards.

    Shapes that reach the border of model space are cut flat half a cell inside it, so the surface is closed always.
    It is as marching cubes left it: it may touch itself in an edge or a vertex, and have cavities and floaters.

    Returns vertices (V, 3) float32 in model space and faces (F, 3) int32. Raises InputError when there is no surface,
    Cancelled, and MachineError when the field answers with something that is no number.
    """
    return surface_of(sample_distance_grid(field, detail, cancelled=cancelled, progress=progress))


def surface_of(grid: DistanceGrid) -> tuple[np.ndarray, np.ndarray]:
    """The zero level of a grid, as `extract_surface` gives it. Raises InputError when there is none."""
    vertices, faces = marching_cubes(_closed_values(grid))
    if not len(faces):
        raise InputError(EMPTY)
    return (vertices * (2 / grid.cells) - 1).astype(np.float32), faces


def coarse_surface(field: Field, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The same at a glance, from one look at each node of a grid of few cells: vertices and faces, which are none where
    there is no surface."""
    axis = torch.linspace(-1, 1, cells + 1)
    values = field.signed_distance(torch.cartesian_prod(axis, axis, axis)).cpu().numpy().reshape([cells + 1] * 3)
    vertices, faces = marching_cubes(_closed_values(DistanceGrid(values, 1.0, values.size)))
    return (vertices * (2 / cells) - 1).astype(np.float32), faces


def _closed_values(grid: DistanceGrid) -> np.ndarray:
    """The grid's values, cut by model space less half a cell, and none of them on the surface itself."""
    cell = grid.gradient * 2 / grid.cells
    values = grid.values.copy()
    for axis in range(3):
        layers = np.moveaxis(values, axis, 0)
        for border, inner in ((0, 1), (-1, -2)):
            layers[border] = np.maximum(layers[border], cell / 2)
            layers[inner] = np.maximum(layers[inner], -cell / 2)
    nearest = np.float32(NEAREST_TO_NODE * cell)
    close = np.abs(values) < nearest
    values[close] = np.copysign(nearest, values[close])
    return values
