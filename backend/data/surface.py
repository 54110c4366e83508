"""Points on a triangle mesh's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..color import srgb_to_linear
from ..errors import InputError
from ..mesh import Mesh

UNKNOWN_SRGB = np.array(180 / 255, np.float32)
"""The grey of surfaces whose colour is not known, as in the training data."""


@dataclass(frozen=True)
class SurfacePoints:
    """positions (N, 3) float32, normals (N, 3) float32 of unit length, faces (N,) int64: the face each lies on,
    barycentric (N, 3) float32: its place on that face."""

    positions: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    barycentric: np.ndarray


def sample_surface(
    vertices: np.ndarray, faces: np.ndarray, count: int, generator: np.random.Generator
) -> SurfacePoints:
    """`count` points spread over the surface by area, stratified so that small parts get their share.

    vertices: (V, 3) float. faces: (F, 3) int.
    Raises InputError when the mesh has no area.
    """
    corners = np.asarray(vertices, np.float64)[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = np.linalg.norm(cross, axis=1)
    total = double_area.sum()
    if not np.isfinite(total) or total <= 0:
        raise InputError("The mesh has no surface: every face is degenerate or not finite.")
    # One random place in each of `count` equal shares of the area: lower variance than independent draws.
    place = (np.arange(count) + generator.random(count)) / count
    chosen = np.searchsorted(np.cumsum(double_area) / total, place).clip(0, len(faces) - 1)
    # Uniform in a triangle: Osada et al., "Shape distributions", 2002, eq. 1.
    root, second = np.sqrt(generator.random(count)), generator.random(count)
    weights = np.stack([1 - root, root * (1 - second), root * second], axis=1)
    return SurfacePoints(
        positions=np.einsum("nk,nkd->nd", weights, corners[chosen]).astype(np.float32),
        normals=(cross[chosen] / double_area[chosen, None].clip(1e-30)).astype(np.float32),
        faces=chosen,
        barycentric=weights.astype(np.float32),
    )


def welded(vertices: np.ndarray, faces: np.ndarray, digits: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with vertices at one place, to so many decimal digits, made one: (V', 3) and (F, 3) int64."""
    _, first, place = np.unique(vertices.round(digits), axis=0, return_index=True, return_inverse=True)
    return vertices[first], place.reshape(-1)[faces]


def surface_colors(mesh: Mesh, points: SurfacePoints) -> np.ndarray:
    """Linear RGB (N, 3) float32 at `points` on `mesh`: its texture's, else its vertex colours', else a light grey."""
    weights = points.barycentric[..., None]
    if mesh.texture is not None and mesh.uvs is not None:
        height, width = mesh.texture.shape[:2]
        place = (mesh.uvs[points.faces] * weights).sum(1)
        # Repeated outside of the square only: within it, 1 is the far edge and not the near one again.
        place = np.where((place < 0) | (place > 1), place % 1, place)
        row = ((1 - place[:, 1]) * height).astype(np.int64).clip(0, height - 1)
        column = (place[:, 0] * width).astype(np.int64).clip(0, width - 1)
        return srgb_to_linear(mesh.texture[row, column].astype(np.float32) / 255)
    if mesh.colors is not None:
        return (mesh.colors[mesh.faces[points.faces]] * weights).sum(1)
    return np.full((len(points.faces), 3), srgb_to_linear(UNKNOWN_SRGB), np.float32)
