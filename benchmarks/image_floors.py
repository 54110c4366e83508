"""What image to 3D has to beat: answers that need no model, and the best that any training shape could give."""

from __future__ import annotations

import numpy as np

from backend.data.archive import Archive
from backend.data.distance_grids import RESOLUTION
from backend.data.sampling import SURFACE_POINTS
from backend.data.surface import sample_surface
from backend.errors import InputError
from backend.meshing.marching_cubes import marching_cubes
from benchmarks.reconstruction_fidelity import Surface
from benchmarks.shape_clouds import TrainingShapes, cloud

HALF_EXTENT = 0.9


def normalized(vertices: np.ndarray) -> np.ndarray:
    """(V, 3) moved and scaled so that the box around them is centred and its largest half-extent 0.9: what every shape
    goes through before it is measured."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return (vertices - (low + high) / 2) * (2 * HALF_EXTENT / float((high - low).max()))


def surface_in_norm(vertices: np.ndarray, faces: np.ndarray) -> Surface:
    """A mesh, normalized; without the vertices that no face uses."""
    used = np.unique(faces)
    places = np.zeros((len(vertices), 3))
    places[used] = normalized(np.asarray(vertices, np.float64)[used])
    return Surface.of(places, faces)


class Floors:
    """Made of the training data: its clouds, distance grids (n, R, R, R) int8, pictures (n, K, 64, 64, 4) uint8."""

    def __init__(self, source: Archive, shapes: TrainingShapes, grids: np.ndarray, pictures: np.ndarray) -> None:
        self.source, self.shapes, self.grids = source, shapes, grids
        alpha = pictures[..., 3:].astype(np.float32) / 255
        self.signatures = _signature(np.concatenate([pictures[..., :3] / np.float32(255), alpha], axis=-1))

    def class_mean(self, class_name: str) -> Surface:
        """The zero level of the mean signed distance of the class's training shapes, or of all where there is none."""
        chosen = self.shapes.data.indices_of({class_name})
        chosen = chosen if len(chosen) else np.arange(len(self.shapes))
        mean = np.mean([self.grids[index] for index in chosen], axis=0, dtype=np.float64)
        # Means of unlike shapes may be nowhere negative: the level then is that of the innermost thousandth.
        level = 0.0 if (mean < 0).sum() > mean.size // 1000 else float(np.quantile(mean, 1e-3))
        padded = np.pad(mean - level, 1, constant_values=127.0).astype(np.float32)
        vertices, faces = marching_cubes(padded)
        if not len(faces):
            raise InputError(f"The mean of the class {class_name!r} has no surface.")
        return surface_in_norm((vertices - 0.5) * (2 / RESOLUTION) - 1, faces)

    def nearest_by_picture(self, picture: np.ndarray) -> Surface:
        """The training shape one of whose pictures is most like `picture` (64, 64, 4) float32, by their pixels."""
        differences = ((self.signatures - _signature(picture[None])) ** 2).reshape(len(self.signatures), -1).mean(1)
        return self._shape(int(np.argmin(differences)) // (len(self.signatures) // len(self.shapes)))

    def nearest_by_shape(self, truth: Surface) -> Surface:
        """The training shape that is truly nearest, in Chamfer-L1, as it stands."""
        vertices, faces = np.asarray(truth.vertices), np.asarray(truth.faces)
        points = sample_surface(vertices, faces, SURFACE_POINTS, np.random.default_rng(0)).positions
        indices, _ = self.shapes.nearest(cloud(points, np.zeros_like(points, np.uint8)).positions)
        return self._shape(int(indices[0]))

    def _shape(self, index: int) -> Surface:
        found = self.source[index]
        return surface_in_norm(found.vertices, found.faces)


def _signature(pictures: np.ndarray) -> np.ndarray:
    """(…, 64, 64, 4) float32 sRGB and alpha → (N, 16, 16, 4): premultiplied means of 4 × 4 pixels."""
    flat = pictures.reshape(-1, 64, 64, 4)
    premultiplied = np.concatenate([flat[..., :3] * flat[..., 3:], flat[..., 3:]], axis=-1)
    return premultiplied.reshape(-1, 16, 4, 16, 4, 4).mean(axis=(2, 4), dtype=np.float32)
