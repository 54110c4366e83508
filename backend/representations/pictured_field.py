"""A field that has a photograph's colours where the photograph shows it."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, map_coordinates

from ..color import srgb_to_linear
from ..mesh import Mesh
from .cameras import Cameras
from .field import Field
from .mesh_rendering import SurfaceView, Window, project, view_surface

DEPTH_SIZE = 384
BEHIND = 0.03
"""How far behind the first surface (model units) a point may be and still be seen: the depth map has pixels."""
GRAZING, FACING = 0.15, 0.45
"""Cosines to the camera between which the picture's colours fade in."""
BESIDE = 0.05
"""How far beyond the picture's silhouette, in shares of its side, its colours reach."""
CERTAIN = 0.95
"""Alpha from which a pixel's colour is the object's alone."""
LARGEST_GAIN = 2.5


class PicturedField:
    """Another field, with the colours of a picture on the side that it shows.

    field: the shape. surface: its mesh, with vertex colours, which hides what is behind it. cameras, window: the one
    camera of the picture, and which part of what it sees the picture shows. picture: (S, S, 4) float32, sRGB and alpha.
    The field's own colours, where they remain, get the picture's mean colour.
    """

    def __init__(self, field: Field, surface: Mesh, cameras: Cameras, window: Window, picture: np.ndarray) -> None:
        self.field, self.cameras, self.window = field, cameras, window
        self._view = view_surface(surface, cameras, size=DEPTH_SIZE, window=window)
        certain = picture[..., 3] > CERTAIN
        certain = certain if certain.any() else picture[..., 3] > 0
        distance, nearest = distance_transform_edt(~certain, return_indices=True)
        self._colors = srgb_to_linear(picture[..., :3])[tuple(nearest)].astype(np.float64)
        self._reach = (1 - distance / (BESIDE * len(picture))).clip(0, 1)
        self._gain = self._mean_gain(surface)

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units."""
        return self.field.signed_distance(points)

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        own = (self.field.color(points).cpu().numpy() * self._gain).clip(0, 1)
        seen, share = self._pictured(points.detach().cpu().numpy().astype(np.float64))
        blended = own * (1 - share[:, None]) + seen * share[:, None]
        return torch.from_numpy(blended.astype(np.float32)).to(points.device)

    def _pictured(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The picture's colours at points (N, 3), and how much they count there (N,), in [0, 1]."""
        places, depths = project(points, self.cameras)
        places = (places - [self.window.x, self.window.y]) / self.window.half
        seen_depth = _read(_filled(self._view), places)
        facing = _read(self._view.facing, places)
        share = ((facing - GRAZING) / (FACING - GRAZING)).clip(0, 1)
        share *= (depths < seen_depth + BEHIND) * _read(self._reach, places)
        share = share**2 * (3 - 2 * share)
        colors = np.stack([_read(self._colors[..., channel], places) for channel in range(3)], axis=1)
        return colors, share

    def _mean_gain(self, surface: Mesh) -> np.ndarray:
        """What brings the surface's mean colour where it is seen to the picture's, (3,)."""
        assert surface.colors is not None
        colors, share = self._pictured(surface.vertices.astype(np.float64))
        if not share.any():
            return np.ones(3)
        wanted = (colors * share[:, None]).sum(axis=0)
        found = (surface.colors * share[:, None]).sum(axis=0)
        return (wanted / np.maximum(found, 1e-9)).clip(1 / LARGEST_GAIN, LARGEST_GAIN)


def _filled(view: SurfaceView) -> np.ndarray:
    """The depth map, with the depth of the nearest surface where there is none, so that edges interpolate."""
    if not view.covered.any():
        return view.depth
    nearest = distance_transform_edt(~view.covered, return_distances=False, return_indices=True)
    return view.depth[tuple(nearest)]


def _read(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear values of (S, S) at places (N, 2), x to the right and y down, in [−1, 1] inside; 0 outside."""
    pixels = (places[:, ::-1].T + 1) * (len(values) / 2) - 0.5
    return map_coordinates(values, pixels, order=1, mode="constant", cval=0.0)
