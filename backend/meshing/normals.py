"""Smooth shading normals."""

from __future__ import annotations

import numpy as np


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) float32: the mean of the faces around a vertex, each weighted by its angle there, so that
    the way a polygon is cut into triangles does not matter (Thürmer & Wüthrich 1998). Up where no face decides."""
    corners = vertices[faces].astype(np.float64)
    onward = np.roll(corners, -1, axis=1) - corners
    onward /= np.maximum(np.linalg.norm(onward, axis=2, keepdims=True), 1e-30)
    cosine = np.einsum("fci,fci->fc", onward, -np.roll(onward, 1, axis=1))
    angle = np.arccos(np.clip(cosine, -1, 1))
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    weighted = (angle[:, :, None] * normal[:, None, :]).reshape(-1, 3)
    total = np.stack([np.bincount(faces.reshape(-1), weighted[:, i], len(vertices)) for i in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-12, total / np.maximum(length, 1e-30), [0.0, 0.0, 1.0]).astype(np.float32)
