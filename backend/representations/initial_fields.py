"""What a fit starts from: another shape, silhouettes, a density, a ball, or a cloud."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, label
from torch import Tensor

from ..color import linear_to_srgb
from .field import Field
from .radiance_field import DensityField, SignedDistanceField
from .views import Views

GREY = 0.6
CELLS_NEAR = 2.0
"""Nodes nearer to the surface than this, in cells, are asked for a colour; others take the nearest one's."""
SEEN = 0.5
"""Alpha from which on a view is taken to see the object."""
DISSENT = 0.05
"""The share of the views that may see nothing where the others see the object."""
FACING = 2
"""The power of the cosine with which a view's colour counts for a surface."""


def field_of_shape(shape: Field, cells: int, *, device: torch.device | str = "cpu") -> SignedDistanceField:
    """Any shape on a grid of `cells` along each side of model space, its distances made true ones."""
    nodes = grid_nodes(cells)
    values = true_distances(shape.signed_distance(nodes).cpu().numpy().reshape((cells + 1,) * 3))
    near = np.abs(values) < CELLS_NEAR * 2 / cells
    colors = np.full((*values.shape, 3), GREY, np.float32)
    if near.any():
        colors[near] = linear_to_srgb(shape.color(nodes[near.reshape(-1)]).cpu().numpy())
    return _softest(values, _spread(colors, near), device)


def field_of_silhouettes(views: Views, cells: int) -> SignedDistanceField:
    """The visual hull of the views' alpha (Laurentini 1994), painted with the colours that they see.

    Up to DISSENT of the views are overruled, so that one bad mask carves nothing away. Beyond a picture's edge nothing
    is taken to be. Where no place is within all other silhouettes a ball is returned, grey, for a fit to start from.
    """
    nodes = grid_nodes(cells).to(views.pictures.device)
    shape = (cells + 1,) * 3
    overruled = int(DISSENT * len(views))
    seen = torch.stack([picture[3] for picture in _projected(views, nodes)])
    hull = seen.kthvalue(overruled + 1, dim=0).values.cpu().numpy().reshape(shape)
    if not (hull > SEEN).any():
        return ball(cells, device=views.pictures.device)
    values = true_distances(SEEN - hull)
    near = np.abs(values) < CELLS_NEAR * 2 / cells
    normals = np.stack(np.gradient(values), axis=-1)[near]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6)
    colors = np.full((*shape, 3), GREY, np.float32)
    colors[near] = _seen_colors(views, nodes[torch.from_numpy(near.reshape(-1))], torch.from_numpy(normals))
    return _softest(values, _spread(colors, near), views.pictures.device)


def field_of_density(field: DensityField) -> SignedDistanceField:
    """The surface on which a density takes half of the light within one cell, all that it shuts in being solid.

    Densities are hollow where no picture looks, so what cannot be reached from the sides of model space without
    crossing the surface counts as inside (Lin et al., "Magic3D", 2022, §4, hand over from a coarse density likewise).
    """
    level = math.log(math.expm1(math.log(2) * field.cells / 2))
    values = level - field.values.detach().cpu().numpy()
    reached, _ = label(values > 0)
    sides = [np.moveaxis(reached, axis, 0)[end].reshape(-1) for axis in range(3) for end in (0, -1)]
    outside = np.isin(reached, np.setdiff1d(np.concatenate(sides), [0]))
    values = true_distances(np.where((values > 0) & ~outside, -values, values))
    return _softest(values, field.colors.detach().cpu().numpy().copy(), field.device)


def ball(cells: int, *, radius: float = 0.5, device: torch.device | str = "cpu") -> SignedDistanceField:
    """A grey ball about the origin."""
    values = grid_nodes(cells).norm(dim=1).numpy().reshape((cells + 1,) * 3) - radius
    return _softest(values, np.full((*values.shape, 3), GREY, np.float32), device)


def cloud(
    cells: int, *, radius: float = 0.5, density: float = 10.0, device: torch.device | str = "cpu"
) -> DensityField:
    """A grey cloud about the origin, of the density (1 / model units) at its middle and none beyond its radius; as
    Poole et al., "DreamFusion", 2022, §3.2, start from."""
    far = grid_nodes(cells).norm(dim=1).view((cells + 1,) * 3)
    values = density * (1 - (far / radius).square())
    return DensityField(values.to(device), torch.full((*values.shape, 3), GREY, device=device))


def grid_nodes(cells: int) -> Tensor:
    """The nodes of a grid over model space, ((cells + 1)³, 3) float32, in the order of a grid [x, y, z]."""
    axis = torch.linspace(-1, 1, cells + 1)
    return torch.cartesian_prod(axis, axis, axis)


def true_distances(values: np.ndarray) -> np.ndarray:
    """A grid over model space whose zero level is a surface, made into distances from it: (n, n, n) float32.

    Next to the surface values are divided by the norm of their gradient, so that the surface stays (Osher & Fedkiw
    2003, §7.4); farther nodes add the distance to the nearest of those. Without a surface the values are only clipped
    to model space's size.
    """
    cell = 2 / (len(values) - 1)
    inside = values < 0
    near = np.zeros(values.shape, bool)
    for axis in range(3):
        one, other = np.moveaxis(near, axis, 0), np.moveaxis(inside, axis, 0)
        crossed = other[1:] != other[:-1]
        one[1:] |= crossed
        one[:-1] |= crossed
    if not near.any():
        return values.clip(-2, 2).astype(np.float32)
    slope = np.sqrt(sum(part**2 for part in np.gradient(values.astype(np.float64), cell)))
    distance = (np.abs(values) / slope.clip(1e-3)).clip(0, math.sqrt(3) * cell)
    gap, nearest = distance_transform_edt(~near, return_indices=True)
    distance = distance[tuple(nearest)] + gap * cell
    return np.where(inside, -distance, distance).astype(np.float32)


def _softest(values: np.ndarray, colors: np.ndarray, device: torch.device | str) -> SignedDistanceField:
    """With a surface about two cells thick."""
    sharpness = (values.shape[0] - 1) / 2
    return SignedDistanceField(
        torch.from_numpy(values.astype(np.float32)).to(device), torch.from_numpy(colors).to(device), sharpness
    )


def _spread(colors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours where they are known, and elsewhere the nearest known one."""
    if not known.any():
        return colors
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return colors[tuple(nearest)]


def _projected(views: Views, points: Tensor) -> list[Tensor]:
    """What each view shows where points (N, 3) are: (4, N), 0 outside of the picture."""
    shown = []
    slope = math.tan(views.cameras.field_of_view / 2)
    for picture, origin, rotation in zip(views.pictures, views.cameras.origins, views.cameras.rotations, strict=True):
        seen = (points - origin) @ rotation.T
        where = seen[:, :2] / seen[:, 2:] / slope * points.new_tensor([1, -1])
        sampled = torch.nn.functional.grid_sample(
            picture.permute(2, 0, 1)[None], where[None, None], align_corners=False, padding_mode="zeros"
        )
        shown.append(sampled[0, :, 0])
    return shown


def _seen_colors(views: Views, points: Tensor, normals: Tensor) -> np.ndarray:
    """The colours (N, 3) that views show of surface points: their mean, weighted by how much they are faced."""
    total, weight = torch.zeros_like(points), torch.full_like(points[:, :1], 1e-6)
    for shown, origin, trust in zip(_projected(views, points), views.cameras.origins, views.weights, strict=True):
        towards = torch.nn.functional.normalize(origin - points, dim=1)
        facing = (towards * normals.to(points)).sum(dim=1).clamp(min=0) ** FACING
        share = (facing * shown[3] * trust)[:, None]
        total, weight = total + share * shown[:3].T, weight + share
    return ((total + 1e-6 * GREY) / weight).cpu().numpy()
