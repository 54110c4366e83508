"""UV coordinates."""

from __future__ import annotations

import numpy as np
import xatlas

CHART_FACES = 250
"""Faces of a chart, about. xatlas takes quadratic time in a chart's faces: with no limit 20,000 faces take four times
as long, for a third as many charts."""
PADDING = 4
"""Texels between charts, so that colours do not bleed across in smaller mip levels."""


def unwrap(vertices: np.ndarray, faces: np.ndarray, texture_size: int) -> np.ndarray:
    """UVs (F, 3, 2) float32 in [0, 1] for each corner of each face, without overlaps, for a square texture.

    vertices (V, 3) and faces (F, 3) as everywhere. Faces without area may get UVs without area.
    """
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2
    charts = xatlas.ChartOptions()
    charts.max_chart_area = area * min(1.0, CHART_FACES / len(faces))
    packing = xatlas.PackOptions()
    packing.resolution = texture_size
    packing.padding = PADDING
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices, faces.astype(np.uint32))
    atlas.generate(charts, packing)
    _, corners, uvs = atlas[0]
    return np.clip(uvs[corners], 0, 1).astype(np.float32)
