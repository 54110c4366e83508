"""What the auto-encoder learns from: surface points, and signed distances at points around the surface."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np

from .archive import DataObject
from .surface import SHEET_HALF_THICKNESS, sample_surface

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
    query_positions (Q, 3) float16, query_distances (Q,) float16: signed distance, negative inside, model units.
    Queries come in the order near, band, uniform."""

    surface_positions: np.ndarray
    surface_normals: np.ndarray
    surface_colors: np.ndarray
    query_positions: np.ndarray
    query_distances: np.ndarray


def signed_distance(
    vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, *, half_thickness: float = 0.0
) -> np.ndarray:
    """Signed distance (N,) float64 from `points` (N, 3) to a mesh that may be open, overlapping or inside out.

    vertices, points: float64; faces: (F, 3) int64. The magnitude is exact; the sign is the generalised winding
    number's (Jacobson et al., "Robust inside-outside segmentation", 2013, by Barill et al.'s fast summation, 2018),
    whose absolute value is used because some sources wind every face inwards. `half_thickness` is taken off the
    distance, so a sheet becomes a slab of twice that thickness.
    """
    squared, _, _ = igl.point_mesh_squared_distance(points, vertices, faces)
    winding = igl.fast_winding_number(vertices, faces, points)
    inside = np.abs(winding) > 0.5
    distance = np.sqrt(squared)
    return np.where(inside, -distance, distance) - half_thickness


def sample_shape(shape: DataObject, generator: np.random.Generator) -> ShapeSamples:
    """Samples of one data-set object; the same generator state gives the same samples."""
    surface = sample_surface(shape.vertices, shape.faces, SURFACE_POINTS, generator)
    near = sample_surface(shape.vertices, shape.faces, NEAR_POINTS, generator).positions
    band = sample_surface(shape.vertices, shape.faces, BAND_POINTS, generator).positions
    queries = np.concatenate(
        [
            near + generator.normal(0, NEAR_DEVIATION, near.shape),
            band + generator.normal(0, BAND_DEVIATION, band.shape),
            generator.uniform(-1, 1, (UNIFORM_POINTS, 3)),
        ]
    ).clip(-1, 1)
    # Rounded first, so that the stored distance belongs to the stored position.
    queries = queries.astype(np.float16)
    distances = signed_distance(
        np.ascontiguousarray(shape.vertices),
        np.ascontiguousarray(shape.faces),
        queries.astype(np.float64),
        half_thickness=0.0 if shape.watertight else SHEET_HALF_THICKNESS,
    )
    return ShapeSamples(
        surface_positions=surface.positions.astype(np.float16),
        surface_normals=np.round(surface.normals * 127).astype(np.int8),
        surface_colors=shape.face_colors[surface.faces],
        query_positions=queries,
        query_distances=distances.astype(np.float16),
    )
