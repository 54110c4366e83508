"""Small pictures of what a model makes while it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..color import linear_to_srgb
from ..data.rendering import Light, corner_normals_of, frame, render
from ..errors import InputError
from ..meshing.bake import field_colors
from ..meshing.mesh_from_field import surface_from_field
from ..models.shape_autoencoder import ShapeAutoencoder
from ..models.shape_space import LatentField
from ..representations.field import Field

TILE = 130
DETAIL = 48
FACES = 8000
LIGHT = Light(np.array([0.4, -0.6, 0.69]), sun=0.8, ambient=0.45)
PAPER = 240


def tile_of(field: Field) -> np.ndarray:
    """The field's surface from the front right, (TILE, TILE, 3) uint8; empty paper for an empty shape."""
    try:
        vertices, faces = surface_from_field(field, detail=DETAIL, face_count=FACES)[:2]
    except InputError:
        return np.full((TILE, TILE, 3), PAPER, np.uint8)
    places = vertices.astype(np.float64)
    colors = linear_to_srgb(field_colors(field, places[faces].mean(axis=1).astype(np.float32)))
    camera = frame(places, azimuth=0.5, elevation=0.35, field_of_view=0.5)
    triangles = faces.astype(np.int64)
    normals = corner_normals_of(places, triangles)
    picture = render(places, triangles, normals, np.rint(255 * colors).astype(np.uint8), camera, LIGHT, TILE)
    alpha = picture[..., 3:] / 255
    return np.rint(picture[..., :3] * alpha + PAPER * (1 - alpha)).astype(np.uint8)


def row_of_clouds(clouds: np.ndarray) -> np.ndarray:
    """Clouds (B, N, 3) in model space side by side, seen from the front right, nearer points darker: (TILE, B · TILE,
    3) uint8."""
    right, up, away = np.array([[0.88, 0.47, 0.0], [-0.16, 0.30, 0.94], [-0.44, 0.83, -0.34]])
    tiles = np.full((len(clouds), TILE, TILE, 3), PAPER, np.uint8)
    for tile, cloud in zip(tiles, clouds, strict=True):
        ordered = cloud[np.argsort(-(cloud @ away))]
        column, row = ((ordered @ axis / 1.5 + 1) * (TILE / 2) for axis in (right, -up))
        tone = np.interp(ordered @ away, [-1, 1], [20, 190]).astype(np.uint8)
        tile[row.astype(int).clip(0, TILE - 1), column.astype(int).clip(0, TILE - 1)] = tone[:, None]
    return np.concatenate(tiles, axis=1)


@torch.no_grad()
def row_of_latents(autoencoder: ShapeAutoencoder, latents: Sequence[torch.Tensor]) -> np.ndarray:
    """The shapes of latents (C, 8, 8, 8) side by side, (TILE, n · TILE, 3) uint8."""
    fields = (LatentField(autoencoder, autoencoder.decoder.grids(latent[None].float())) for latent in latents)
    return np.concatenate([tile_of(field) for field in fields], axis=1)
