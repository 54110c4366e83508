"""What the auto-encoder learns from: surface points, and signed distances at points around the surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .archive import DataObject
from .surface import sample_surface
from .volume import Volume

SURFACE_POINTS = 8192
NEAR_POINTS = 4096
BAND_POINTS = 2048
UNIFORM_POINTS = 4096
QUERY_POINTS = NEAR_POINTS + BAND_POINTS + UNIFORM_POINTS
NEAR_DEVIATION = 0.012
BAND_DEVIATION = 0.05


@dataclass(frozen=True)
class ShapeSamples:
    """surface_positions (S, 3) float16, surface_normals (S, 3) int8 (127 = 1), surface_colors (S, 3) uint8 sRGB,
    query_positions (Q, 3) float16, query_distances (Q,) float16: the `Volume`'s signed distance, negative inside, model
    units. Queries come in the order near, band, uniform."""

    surface_positions: np.ndarray
    surface_normals: np.ndarray
    surface_colors: np.ndarray
    query_positions: np.ndarray
    query_distances: np.ndarray


def sample_shape(shape: DataObject, generator: np.random.Generator) -> ShapeSamples:
    """Samples of one data-set object; the same generator state gives the same samples."""
    surface = sample_surface(shape.vertices, shape.faces, SURFACE_POINTS, generator)
    volume = Volume.of(shape.vertices, shape.faces)
    around = sample_surface(*volume.surface, NEAR_POINTS + BAND_POINTS, generator).positions
    near, band = np.split(generator.permutation(around), [NEAR_POINTS])
    queries = np.concatenate(
        [
            near + generator.normal(0, NEAR_DEVIATION, near.shape),
            band + generator.normal(0, BAND_DEVIATION, band.shape),
            generator.uniform(-1, 1, (UNIFORM_POINTS, 3)),
        ]
    ).clip(-1, 1)
    # Rounded first, so that the stored distance belongs to the stored position.
    queries = queries.astype(np.float16)
    distances = volume.at_points(torch.from_numpy(queries.astype(np.float32))).numpy()
    return ShapeSamples(
        surface_positions=surface.positions.astype(np.float16),
        surface_normals=np.round(surface.normals * 127).astype(np.int8),
        surface_colors=shape.face_colors[surface.faces],
        query_positions=queries,
        query_distances=distances.astype(np.float16),
    )
