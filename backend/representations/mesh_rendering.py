"""Pictures of a coloured mesh from orbit cameras, fast enough to compare hundreds of them with a photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..color import linear_to_srgb
from ..kernels.rasterization import rasterize
from ..mesh import Mesh
from .cameras import Cameras

HEADLIGHT = 0.35
"""Share of a surface's brightness that depends on how it faces the camera."""


@dataclass(frozen=True)
class Window:
    """The square of a camera's picture that is kept: the middle (x to the right, y down) and half the side, all in
    halves of the picture's side, so that Window() is the whole picture."""

    x: float = 0.0
    y: float = 0.0
    half: float = 1.0


@dataclass(frozen=True, eq=False)
class SurfaceView:
    """What each pixel of a square picture sees.

    face: (S, S) int32, −1 where nothing is. weights: (S, S, 3), barycentric. depth: (S, S), the distance along the
    viewing direction (model units), inf where nothing is. facing: (S, S) in [0, 1], the cosine between the surface and
    the direction to the camera.
    """

    face: np.ndarray
    weights: np.ndarray
    depth: np.ndarray
    facing: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """(S, S) bool."""
        return self.face >= 0


def project(points: np.ndarray, cameras: Cameras, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Where points (N, 3) of model space are in the whole picture of one of the cameras: (N, 2), x to the right and y
    down, in [−1, 1] inside the picture; and their distances along the viewing direction (N,)."""
    rotation = cameras.rotations[index].cpu().numpy().astype(np.float64)
    seen = (points - cameras.origins[index].cpu().numpy()) @ rotation.T
    slope = math.tan(cameras.field_of_view / 2)
    return seen[:, :2] * [1, -1] / (seen[:, 2:] * slope), seen[:, 2]


def silhouette_window(vertices: np.ndarray, cameras: Cameras, index: int = 0, *, filled: float) -> Window:
    """The window in which the box around the mesh's picture is in the middle, its longer side `filled` of the whole."""
    places, _ = project(vertices, cameras, index)
    low, high = places.min(axis=0), places.max(axis=0)
    x, y = (low + high) / 2
    return Window(float(x), float(y), float((high - low).max() / 2 / filled))


def view_surface(
    mesh: Mesh, cameras: Cameras, index: int = 0, *, size: int, window: Window | None = None
) -> SurfaceView:
    """What size × size pixels of the window see of a mesh in model space; both sides of its faces count."""
    window = window or Window()
    vertices = mesh.vertices.astype(np.float64)
    places, depths = project(vertices, cameras, index)
    pixels = ((places - [window.x, window.y]) / window.half + 1) * (size / 2)
    face, weights = rasterize(pixels[mesh.faces], 1 / depths[mesh.faces], size)
    covered = face >= 0
    depth, facing = np.full((size, size), np.inf), np.zeros((size, size))
    corners = vertices[mesh.faces[face[covered]]]
    points = np.einsum("nc,ncd->nd", weights[covered], corners)
    towards = cameras.origins[index].cpu().numpy() - points
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(towards, axis=1)
    facing[covered] = np.abs((normals * towards).sum(axis=1)) / np.maximum(lengths, 1e-20)
    depth[covered] = np.einsum("nc,nc->n", weights[covered], depths[mesh.faces[face[covered]]])
    return SurfaceView(face, weights, depth, facing)


def render_mesh(mesh: Mesh, cameras: Cameras, index: int = 0, *, size: int, window: Window | None = None) -> np.ndarray:
    """The picture (size, size, 4) float32, sRGB and alpha, of a mesh with vertex colours, lit by a soft headlight."""
    if mesh.colors is None:
        raise ValueError("Only a mesh with vertex colours can be rendered.")
    view = view_surface(mesh, cameras, index, size=size, window=window)
    covered = view.covered
    picture = np.zeros((size, size, 4), np.float32)
    colors = np.einsum("nc,ncd->nd", view.weights[covered], mesh.colors[mesh.faces[view.face[covered]]])
    light = 1 - HEADLIGHT + HEADLIGHT * view.facing[covered]
    picture[covered, :3] = linear_to_srgb((colors * light[:, None]).clip(0, 1))
    picture[covered, 3] = 1
    return picture
