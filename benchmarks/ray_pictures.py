"""Looking at meshes with rays: what a camera sees of one, and small pictures for the tables' sake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open3d as o3d

from backend.color import linear_to_srgb
from backend.mesh import Mesh

EYE = np.array([1.35, -2.6, 1.35])
"""From in front, a little from the right and above, as furniture is photographed; model space."""
HALF_WIDTH = 1.25
GREY, PAPER = np.array([0.55, 0.55, 0.57]), 255
DOT = 2


@dataclass(frozen=True)
class Seen:
    """What a camera of `size` × `size` parallel rays sees: pixels (N, 2) int64, row and column; positions and normals
    (N, 3) float32, the latter towards the camera; faces (N,) int64."""

    pixels: np.ndarray
    positions: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


def _axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, up and forward of the camera."""
    forward = -EYE / np.linalg.norm(EYE)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    return right, np.cross(right, forward), forward


def look(vertices: np.ndarray, faces: np.ndarray, size: int) -> Seen:
    """Cast size² parallel rays from EYE towards the origin."""
    right, up, forward = _axes()
    across = ((np.arange(size) + 0.5) / size * 2 - 1) * HALF_WIDTH
    row, column = np.meshgrid(-across, across, indexing="ij")
    starts = EYE + row[..., None] * up + column[..., None] * right
    rays = np.concatenate([starts, np.broadcast_to(forward, starts.shape)], axis=-1).astype(np.float32)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.uint32))
    answer = scene.cast_rays(o3d.core.Tensor(rays))
    distance = answer["t_hit"].numpy()
    hit = np.isfinite(distance)
    normals = answer["primitive_normals"].numpy()[hit]
    normals *= -np.sign(normals @ forward)[:, None]
    positions = rays[hit][:, :3] + distance[hit][:, None] * forward
    return Seen(
        np.argwhere(hit), positions.astype(np.float32), normals, answer["primitive_ids"].numpy()[hit].astype(int)
    )


def picture(shape: Mesh, size: int = 240) -> np.ndarray:
    """A mesh, or the points of one without faces, in model space: (size, size, 3) uint8, lit from the camera."""
    image = np.full((size, size, 3), PAPER, np.uint8)
    if not len(shape.faces):
        right, up, forward = _axes()
        order = np.argsort(-(shape.vertices @ forward))  # what is near is drawn last
        points = shape.vertices[order]
        column = ((points @ right / HALF_WIDTH + 1) / 2 * size).astype(int)
        row = ((1 - points @ up / HALF_WIDTH) / 2 * size).astype(int)
        colors = _srgb_bytes(np.tile(GREY, (len(points), 1)) if shape.colors is None else shape.colors[order])
        for dy in range(DOT):
            for dx in range(DOT):
                image[(row + dy).clip(0, size - 1), (column + dx).clip(0, size - 1)] = colors
        return image
    fine = 2 * size
    seen = look(shape.vertices, shape.faces, fine)
    light = np.abs(seen.normals @ np.array([0.3, -0.75, 0.59]))
    color = GREY if shape.colors is None else shape.colors[shape.faces[seen.faces]].mean(axis=1)
    large = np.full((fine, fine, 3), PAPER, np.uint8)
    large[seen.pixels[:, 0], seen.pixels[:, 1]] = _srgb_bytes(color * (0.3 + 0.7 * light)[:, None])
    return large.reshape(size, 2, size, 2, 3).mean(axis=(1, 3)).astype(np.uint8)


def _srgb_bytes(linear: np.ndarray) -> np.ndarray:
    return np.rint(255 * linear_to_srgb(np.clip(linear, 0, 1).astype(np.float32))).astype(np.uint8)
