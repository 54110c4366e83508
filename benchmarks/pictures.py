"""Looking at meshes: what a camera sees of one, and small pictures for the tables' sake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.color import linear_to_srgb
from backend.mesh import Mesh
from backend.meshing.bake import texels_in_triangles

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
    """What size² parallel rays from EYE towards the origin meet first, by a depth buffer."""
    right, up, forward = _axes()
    corners = np.asarray(vertices, np.float64)[faces]
    across, height, depth = corners @ right, corners @ up, corners @ forward
    # Pixel (row, column) has its middle at (column, row) in these units.
    on_screen = np.stack([across / HALF_WIDTH + 1, 1 - height / HALF_WIDTH], axis=-1) * (size / 2) - 0.5
    first, second = on_screen[:, 1] - on_screen[:, 0], on_screen[:, 2] - on_screen[:, 0]
    doubled = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    facing = np.flatnonzero(np.abs(doubled) > 1e-9)
    face, row, column = texels_in_triangles(on_screen[facing], size)
    face = facing[face]
    place = np.stack([column, row], axis=1) - on_screen[face, 0]
    one = (place[:, 0] * second[face, 1] - place[:, 1] * second[face, 0]) / doubled[face]
    two = (first[face, 0] * place[:, 1] - first[face, 1] * place[:, 0]) / doubled[face]
    far = depth[face, 0] * (1 - one - two) + depth[face, 1] * one + depth[face, 2] * two
    pixel = row * size + column
    order = np.lexsort([far, pixel])
    nearest = order[np.flatnonzero(np.diff(pixel[order], prepend=-1))]
    face, share = face[nearest], np.stack([1 - one - two, one, two], axis=1)[nearest]
    normals = np.cross(corners[face, 1] - corners[face, 0], corners[face, 2] - corners[face, 0])
    normals *= -np.sign(normals @ forward)[:, None] / np.linalg.norm(normals, axis=1, keepdims=True)
    positions = (share[:, :, None] * corners[face]).sum(axis=1)
    pixels = np.stack([row, column], axis=1)[nearest]
    return Seen(pixels, positions.astype(np.float32), normals.astype(np.float32), face)


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
