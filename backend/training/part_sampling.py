"""Partial shapes of packed objects as networks read them, drawn at random for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.packing import PackedData
from ..data.unknown_parts import VIEW_SHARE, UnknownBoxes, draw_boxes, draw_directions, visible
from ..models.partial_shape import cell_centres, partial_grid

PARTIAL_POINTS = 1024
WITHOUT_NORMALS = 0.25
WITHOUT_COLORS = 0.3


@dataclass(frozen=True)
class Parts:
    """grids (B, 11, 16, 16, 16) float32; scans (B,) bool: those of which nothing is known but what one camera sees;
    boxes: what is unknown of the others."""

    grids: Tensor
    scans: np.ndarray
    boxes: UnknownBoxes


def draw_parts(
    data: PackedData,
    generator: np.random.Generator,
    objects: np.ndarray,
    matrices: np.ndarray,
    tinted: np.ndarray | None = None,
) -> Parts:
    """A part of each of the objects (B,) int, moved by matrices (B, 3, 3) float32; of those that are `tinted` (B,) bool
    the packed colours are not the true ones, and not told."""
    count, centres = len(objects), cell_centres().numpy()
    points = generator.integers(data.surface_positions.shape[1], size=(count, PARTIAL_POINTS))
    scans = generator.random(count) < VIEW_SHARE
    directions = draw_directions(generator, int(scans.sum()))
    whole = data.surface_positions[objects[scans]].astype(np.float32) @ matrices[scans].transpose(0, 2, 1)
    # What hides what is asked of all points, since few of them would let the camera look through the surface.
    for row, faced in zip(np.flatnonzero(scans), visible(whole, directions), strict=True):
        points[row] = generator.choice(np.flatnonzero(faced), PARTIAL_POINTS)
    rows = objects[:, None]
    positions = data.surface_positions[rows, points].astype(np.float32) @ matrices.transpose(0, 2, 1)
    normals = data.surface_normals[rows, points].astype(np.float32) @ np.linalg.inv(matrices)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True).clip(1e-6)
    # A scan's normals point to its camera, whatever way the faces are wound.
    towards = np.einsum("bni,bi->bn", normals[scans], directions)
    normals[scans] *= np.where(towards < 0, -1, 1)[..., None]
    normals[generator.random(count) < WITHOUT_NORMALS] = 0
    colors = data.surface_colors[rows, points].astype(np.float32) / 127.5 - 1
    has_color = np.array([data.records[index]["has_color"] for index in objects], bool)
    untold = ~has_color if tinted is None else ~has_color | tinted
    colors[untold | (generator.random(count) < WITHOUT_COLORS)] = 0
    boxes = draw_boxes(generator, count)
    seen = ~boxes.contain(positions)
    unknown = boxes.contain(np.broadcast_to(centres, (count, *centres.shape)))
    seen[scans], unknown[scans] = True, True
    arrays = (positions, normals.astype(np.float32), colors, seen, unknown)
    return Parts(partial_grid(*(torch.from_numpy(array) for array in arrays)), scans, boxes)
