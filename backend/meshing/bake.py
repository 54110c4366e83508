"""A field's colours as a texture."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ..color import linear_to_srgb
from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field

CHUNK = 1 << 16
ON_EDGE = 1e-6
"""Middles of texels this near to a face's edge, in texels, lie in the face."""


def bake_texture(
    field: Field,
    vertices: np.ndarray,
    faces: np.ndarray,
    uvs: np.ndarray,
    size: int,
    *,
    cancelled: IsCancelled | None = None,
) -> np.ndarray:
    """The field's colour at the surface under each texel: (size, size, 3) uint8 sRGB, row 0 at v = 1.

    vertices (V, 3) in model space, faces (F, 3), uvs (F, 3, 2). Only texels whose middle lies in a face are asked for;
    all others repeat the nearest one, so that filtering and mip levels find no foreign colour beyond a chart's border.
    """
    covered, points = surface_under_texels(vertices, faces, uvs, size)
    texture = np.zeros((size, size, 3), dtype=np.uint8)
    if not covered.any():
        return texture
    colors = field_colors(field, points, cancelled=cancelled)
    texture[covered] = np.rint(255 * linear_to_srgb(colors)).astype(np.uint8)
    check_cancelled(cancelled)
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return texture[tuple(nearest)]


def field_colors(field: Field, points: np.ndarray, *, cancelled: IsCancelled | None = None) -> np.ndarray:
    """Linear RGB in [0, 1], (N, 3) float32, at (N, 3) float32 points of model space."""
    parts = [np.empty((0, 3), dtype=np.float32)]
    for begin in range(0, len(points), CHUNK):
        check_cancelled(cancelled)
        parts.append(field.color(torch.from_numpy(points[begin : begin + CHUNK])).cpu().numpy())
    return np.clip(np.concatenate(parts), 0, 1)


def surface_under_texels(
    vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which texels have their middle in a face, (size, size) bool, and the points of the surface (N, 3) float32 that
    they show, in the order of that mask."""
    # Texel (row, column) has its middle at (column, row) in these units.
    corners = np.stack([uvs[..., 0], 1 - uvs[..., 1]], axis=-1).astype(np.float64) * size - 0.5
    (ux, uy), (vx, vy) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    doubled_area = ux * vy - uy * vx
    solid = np.abs(doubled_area) > 1e-9
    corners, positions, scale = corners[solid], vertices[faces[solid]].astype(np.float64), 1 / doubled_area[solid, None]
    ux, uy, vx, vy = (side[solid, None] for side in (ux, uy, vx, vy))

    # Position is linear over a face: what one column and what one row add to it.
    second, third = positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0]
    by_column, by_row = (vy * second - uy * third) * scale, (ux * third - vx * second) * scale

    face, row, column = texels_in_triangles(corners, size)
    offset = np.stack([column, row], axis=1) - corners[face, 0]
    shown = np.zeros((size, size, 3), dtype=np.float32)
    shown[row, column] = positions[face, 0] + offset[:, :1] * by_column[face] + offset[:, 1:] * by_row[face]
    covered = np.zeros((size, size), dtype=bool)
    covered[row, column] = True
    return covered, shown[covered]


def texels_in_triangles(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangle, row and column of each whole-numbered point (column, row) inside triangles (T, 3, 2); row by row, as
    each row crosses a triangle in one span."""
    top = np.clip(np.ceil(corners[..., 1].min(axis=1) - ON_EDGE), 0, size).astype(np.int64)
    bottom = np.clip(np.floor(corners[..., 1].max(axis=1) + ON_EDGE), -1, size - 1).astype(np.int64)
    triangle, step = _runs(bottom - top + 1)
    row = top[triangle] + step

    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for index in range(3):
        start, end = corners[triangle, index], corners[triangle, (index + 1) % 3]
        low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        along = (np.clip(row, low, high) - start[:, 1]) / np.where(high > low, end[:, 1] - start[:, 1], 1)
        crossing = start[:, 0] + along * (end[:, 0] - start[:, 0])
        meets = (row >= low - ON_EDGE) & (row <= high + ON_EDGE)
        level = meets & (high <= low)
        left = np.where(meets, np.minimum(left, np.where(level, np.minimum(start[:, 0], end[:, 0]), crossing)), left)
        right = np.where(meets, np.maximum(right, np.where(level, np.maximum(start[:, 0], end[:, 0]), crossing)), right)
    first = np.clip(np.ceil(left - ON_EDGE), 0, size).astype(np.int64)
    last = np.clip(np.floor(right + ON_EDGE), -1, size - 1).astype(np.int64)
    span, step = _runs(last - first + 1)
    return triangle[span], row[span], first[span] + step


def _runs(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each item as many entries as its length (none when negative): the item's index, and a count from 0."""
    lengths = np.maximum(lengths, 0)
    item = np.repeat(np.arange(len(lengths)), lengths)
    return item, np.arange(len(item)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
