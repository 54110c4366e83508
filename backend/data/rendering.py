"""Pictures of data-set objects as a shop shows its wares: shaded, centred, on a transparent ground."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np

from ..color import linear_to_srgb, srgb_to_linear
from ..kernels.rasterization import rasterize
from .archive import DataObject

VIEW_SIZE = 64
SUPERSAMPLING = 2
CREASE_DEGREES = 35.0
"""Faces that meet at less are shaded as one smooth surface."""

FRONT_SHARE = 0.75
FRONT_AZIMUTH = np.radians(70)
LOWEST, USUAL, HIGHEST = np.radians([-10, 15, 50])
NARROWEST, WIDEST = np.radians([20, 60])
MARGINS = (0.05, 0.15)
CLOSEST = 1.4
"""The least distance of a camera from the object's middle, as a multiple of the object's radius."""
CENTRING_STEPS = 4
SKY = 0.3
"""How much less ambient light a surface gets that looks straight down, than one that looks up."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with a square picture.

    position (3,), and the rows of rotation (3, 3): the picture's right and up, and the viewing direction; model space.
    field_of_view: radians from edge to edge of the whole picture. window: the square of it that is kept, its middle to
    the right and up, and half its side, all in halves of the whole picture's side.
    """

    position: np.ndarray
    rotation: np.ndarray
    field_of_view: float
    window: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of points (N, 3) in front of the camera: where they are in the window, (N, 2), right and up in [−1, 1], and
        their distances along the viewing direction (N,)."""
        seen = (points - self.position) @ self.rotation.T
        across, up, half = self.window
        whole = seen[:, :2] / (seen[:, 2:] * np.tan(self.field_of_view / 2))
        return (whole - [across, up]) / half, seen[:, 2]


@dataclass(frozen=True)
class Light:
    """direction (3,): unit, from the surface towards a distant lamp. sun, ambient: radiance of a white surface that
    the lamp meets straight on, and of one that looks up in the lamp's shadow."""

    direction: np.ndarray
    sun: float
    ambient: float


def frame(
    vertices: np.ndarray, *, azimuth: float, elevation: float, field_of_view: float, margin: float = 0.1
) -> Camera:
    """The camera that sees `vertices` (V, 3) centred, `margin` (a share of the picture's side) free on the two sides
    that the object comes nearest to.

    azimuth: radians from the front (−Y) towards +X. elevation: radians above the ground. A long object that points at
    the camera is seen from further away than the margin asks, so that it is not distorted beyond recognition.
    """
    away = np.array(
        [np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)]
    )  # from the object to the camera
    right = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    rotation = np.stack([right, np.cross(away, right), -away])
    middle = (vertices.min(0) + vertices.max(0)) / 2
    seen = (vertices - middle) @ rotation.T
    slope = np.tan(field_of_view / 2) * (1 - 2 * margin)
    # A camera at (c, c', −d) sees x at (x − c) / (z + d); that stays within ±slope for all vertices as long as
    # slope · d − |c| keeps above both of these, so the nearest camera is half-way between them.
    upper = (seen[:, :2] - slope * seen[:, 2:]).max(0)
    lower = (-seen[:, :2] - slope * seen[:, 2:]).max(0)
    distance = max(((upper + lower) / (2 * slope)).max(), CLOSEST * np.linalg.norm(seen, axis=1).max())
    aside = (upper - lower) / 2
    for _ in range(CENTRING_STEPS):  # the axis along which there is room to spare is not centred by that
        slopes = (seen[:, :2] - aside) / (seen[:, 2:] + distance)
        aside = aside + distance * (slopes.max(0) + slopes.min(0)) / 2
    place = np.array([*aside, -distance])
    return Camera(middle + place @ rotation, rotation, field_of_view)


def corner_normals_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit shading normals (F, 3, 3) float64 of the corners of `faces`: smooth but for creases."""
    return igl.per_corner_normals(vertices, faces, CREASE_DEGREES).reshape(-1, 3, 3)


def render(
    vertices: np.ndarray,
    faces: np.ndarray,
    corner_normals: np.ndarray,
    face_colors: np.ndarray,
    camera: Camera,
    light: Light,
    size: int = VIEW_SIZE,
) -> np.ndarray:
    """The picture (size, size, 4) uint8: sRGB and alpha, not premultiplied, transparent black where nothing is.

    vertices: (V, 3) float64, all in front of the camera. faces: (F, 3) int64, seen from both sides. corner_normals:
    (F, 3, 3). face_colors: (F, 3) uint8, sRGB. Lambert shading; the colour of a pixel is the mean of its covered
    samples alone, in linear light, so that no ground shines through at the edges.
    """
    fine = size * SUPERSAMPLING
    places, depths = camera.project(vertices)
    face, weights = rasterize((fine / 2 * (1 + places * [1, -1]))[faces], (1 / depths)[faces], fine)
    covered = face >= 0
    linear = np.zeros((fine, fine, 3))
    hit = face[covered]
    normals = np.einsum("nc,ncd->nd", weights[covered], corner_normals[hit])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    points = np.einsum("nc,ncd->nd", weights[covered], vertices[faces[hit]])
    towards = np.einsum("nd,nd->n", normals, camera.position - points)
    normals[towards < 0] *= -1  # a sheet shows its other side, and some sources wind faces inwards
    lit = light.sun * (normals @ light.direction).clip(0)
    ambient = light.ambient * (1 - SKY * (1 - normals[:, 2]) / 2)
    linear[covered] = srgb_to_linear(face_colors[hit] / 255) * (lit + ambient)[:, None]

    count = _sum_of_blocks(covered.astype(np.float64))
    mean = _sum_of_blocks(linear) / np.maximum(count, 1)[..., None]
    picture = np.empty((size, size, 4), np.uint8)
    picture[..., :3] = np.rint(linear_to_srgb(mean.clip(0, 1)) * 255)
    picture[..., 3] = np.rint(count / SUPERSAMPLING**2 * 255)
    return picture


def _sum_of_blocks(values: np.ndarray) -> np.ndarray:
    """The sums over the samples of each pixel: (fine, fine, …) to (size, size, …)."""
    steps = range(SUPERSAMPLING)
    samples = [values[row::SUPERSAMPLING, column::SUPERSAMPLING] for row in steps for column in steps]
    return np.add.reduce(samples)


def render_views(shape: DataObject, count: int, generator: np.random.Generator, *, size: int = VIEW_SIZE) -> np.ndarray:
    """Pictures (count, size, size, 4) uint8 of one object, as `render` makes them, from random cameras in random light.

    Three quarters are from around the front, the others from anywhere about the object. The same state of the
    generator gives the same pictures.
    """
    normals = corner_normals_of(shape.vertices, shape.faces)
    mesh = (shape.vertices, shape.faces, normals, shape.face_colors)
    used = shape.vertices[np.unique(shape.faces)]
    return np.stack(
        [render(*mesh, _random_camera(used, generator), random_light(generator), size) for _ in range(count)]
    )


def _random_camera(vertices: np.ndarray, generator: np.random.Generator) -> Camera:
    reach = FRONT_AZIMUTH if generator.random() < FRONT_SHARE else np.pi
    azimuth = generator.uniform(-reach, reach)
    elevation = generator.triangular(LOWEST, USUAL, HIGHEST)
    field_of_view = generator.uniform(NARROWEST, WIDEST)
    return frame(
        vertices, azimuth=azimuth, elevation=elevation, field_of_view=field_of_view, margin=generator.uniform(*MARGINS)
    )


def random_light(generator: np.random.Generator) -> Light:
    """A lamp from above, any way round; never brighter in all than what a white surface can show, plus a fifth."""
    azimuth, elevation = generator.uniform(-np.pi, np.pi), np.arcsin(generator.uniform(0.2, 1))
    direction = [np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)]
    ambient = generator.uniform(0.3, 0.7)
    return Light(np.array(direction), sun=generator.uniform(0.8, 1.2) - ambient, ambient=ambient)
