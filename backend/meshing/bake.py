"""A field's colours as a texture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ..color import linear_to_srgb
from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field

CANDIDATES = 1 << 20
"""Texels that are looked at together, for a bound on memory."""
CHUNK = 1 << 16


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
    face_of_texel, weights_of_texel = _faces_of_texels(uvs, size, cancelled)
    covered = face_of_texel >= 0
    texture = np.zeros((size, size, 3), dtype=np.uint8)
    if not covered.any():
        return texture
    corners = vertices[faces[face_of_texel[covered]]]
    points = np.einsum("tc,tci->ti", weights_of_texel[covered], corners).astype(np.float32)
    colors = field_colors(field, points, cancelled=cancelled)
    texture[covered] = np.rint(255 * linear_to_srgb(colors)).astype(np.uint8)
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return texture[tuple(nearest)]


def field_colors(field: Field, points: np.ndarray, *, cancelled: IsCancelled | None = None) -> np.ndarray:
    """Linear RGB in [0, 1], (N, 3) float32, at (N, 3) float32 points of model space."""
    parts = [np.empty((0, 3), dtype=np.float32)]
    for begin in range(0, len(points), CHUNK):
        check_cancelled(cancelled)
        parts.append(field.color(torch.from_numpy(points[begin : begin + CHUNK])).cpu().numpy())
    return np.clip(np.concatenate(parts), 0, 1)


def _faces_of_texels(uvs: np.ndarray, size: int, cancelled: IsCancelled | None) -> tuple[np.ndarray, np.ndarray]:
    """For each texel the face that its middle lies in, (size, size) int32, −1 for none, and the weights of that face's
    corners there, (size, size, 3) float32."""
    face_of_texel = np.full((size, size), -1, dtype=np.int32)
    weights_of_texel = np.zeros((size, size, 3), dtype=np.float32)
    # Texel (row, column) has its middle at (column, row) in these units.
    corners = np.stack([uvs[..., 0], 1 - uvs[..., 1]], axis=-1).astype(np.float64) * size - 0.5
    low = np.clip(np.ceil(corners.min(axis=1)), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(axis=1)), -1, size - 1).astype(np.int64)
    extent = np.maximum(high - low + 1, 0)
    for chunk in _chunks(extent.prod(axis=1)):
        check_cancelled(cancelled)
        number = extent[chunk].prod(axis=1)
        face = np.repeat(np.arange(chunk.start, chunk.stop), number)
        step = np.arange(len(face)) - np.repeat(np.cumsum(number) - number, number)
        width = extent[face, 0]
        texel = low[face] + np.stack([step % width, step // width], axis=1)
        weights = _barycentric(corners[face], texel)
        inside = (weights >= -1e-9).all(axis=1)
        column, row = texel[inside].T
        face_of_texel[row, column] = face[inside]
        weights_of_texel[row, column] = weights[inside]
    return face_of_texel, weights_of_texel


def _chunks(work: np.ndarray) -> Iterator[slice]:
    """Slices of the faces with about CANDIDATES texels each."""
    ends = np.cumsum(work)
    begin = 0
    while begin < len(work):
        done = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, done + CANDIDATES, side="right")), begin + 1)
        yield slice(begin, end)
        begin = end


def _barycentric(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights (N, 3) of the corners of triangles (N, 3, 2) at points (N, 2); negative outside and for flat ones."""
    origin = triangles[:, 0]
    (ux, uy), (vx, vy), (px, py) = (triangles[:, 1] - origin).T, (triangles[:, 2] - origin).T, (points - origin).T
    doubled_area = ux * vy - uy * vx
    flat = np.abs(doubled_area) < 1e-12
    scale = 1 / np.where(flat, 1, doubled_area)
    second, third = (px * vy - py * vx) * scale, (ux * py - uy * px) * scale
    return np.where(flat[:, None], -1, np.stack([1 - second - third, second, third], axis=1))
