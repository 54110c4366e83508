"""Between shapes without rags: a network's blend, steadied by the blend of the shapes' own distances.

Halfway between two latents a network is undecided: its level hovers about zero in rags, and whole parts come and go at
once. Distances do better at where a shape is on the way: the zero level of their weighted sum grows and shrinks evenly
(Cohen-Or, Solomovici and Levin, "Three-dimensional distance field metamorphosis", 1998, §3), the more so with its level
set such that the volume changes evenly too. The network then tells what the surface is like there.

    f(x) = ½ [clamp(network(x), ±REACH) + Σ wᵢ dᵢ(x) − c(w)]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import mesh_to_distance, mesh_to_sdf
from ..kernels.signed_distance import Grid
from ..progress import IsCancelled
from ..representations.field import Field
from .repair import make_manifold
from .solids import keep_solids
from .surface import extract_surface

CELLS = 128
"""Of the grid of distances, along each side of model space."""
BAND = 4.0
"""Cells from the surface within which distances are computed at every node."""
FAR_CELLS = 32
"""Of the grid beyond that, whose nodes are all computed; between them distances are nearly linear."""
REACH = 0.04
"""The network moves the surface no farther than this, in model units, from where the distances have it."""
ASKED = 2 * REACH
"""Farther than this from where the distances have it, the surface cannot be."""
EVERY = 2
"""Of the nodes along each axis, one in so many stands for the volume."""


@dataclass(frozen=True)
class Distances:
    """A closed shape in model space: values (n + 1, n + 1, n + 1) float32, its signed distance at the nodes of a grid,
    indexed [x, y, z]; field: the shape itself."""

    values: np.ndarray
    field: Field

    @classmethod
    def of(cls, field: Field, *, cancelled: IsCancelled | None = None) -> Distances:
        """The distances to a field's zero level. Raises as `extract_surface` does."""
        surface = keep_solids(*make_manifold(*extract_surface(field, CELLS, cancelled=cancelled)))
        vertices, faces = map(torch.from_numpy, surface)
        near = mesh_to_sdf(vertices, faces, Grid.cube(CELLS + 1), band=BAND)
        far = mesh_to_distance(vertices, faces, Grid.cube(FAR_CELLS + 1), band=None)
        far = functional.interpolate(far[None, None], size=near.shape, mode="trilinear", align_corners=True)[0, 0]
        limit = BAND * 2 / CELLS
        beyond = torch.copysign(far.clamp(min=limit), near)
        return cls(torch.where(near.abs() < limit, near, beyond).numpy(), field)


class Metamorphosis:
    """The field between shapes with `weights`, not negative, which add up to 1; `network` is the field of the blend of
    their latents.

    Colours are those of each shape at its nearest place, mixed by weight.
    """

    def __init__(self, network: Field, shapes: Sequence[Distances], weights: Sequence[float]) -> None:
        self._network = network
        self._parts = [(shape, weight) for shape, weight in zip(shapes, weights, strict=True) if weight > 0]
        values = np.zeros_like(shapes[0].values)
        some, inside = (slice(None, None, EVERY),) * 3, 0.0
        for shape, weight in self._parts:
            values += np.float32(weight) * shape.values
            inside += weight * float((shape.values[some] < 0).mean())
        sample = values[some].reshape(-1)
        rank = int(np.clip(round(inside * len(sample)), 1, len(sample) - 1))
        self._values = torch.from_numpy(values - np.partition(sample, rank)[rank])

    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units.

        The network is asked only where it has a say in which side a point is on, or is near such places.
        """
        distances = read(self._values, points)
        network = torch.copysign(torch.full_like(distances, REACH), distances)
        asked = distances.abs() < ASKED
        network[asked] = self._network.signed_distance(points[asked]).clamp(-REACH, REACH).to(network)
        return (network + distances) / 2

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        colors = [weight * shape.field.color(nearest(shape, points)) for shape, weight in self._parts]
        return torch.stack(colors).sum(0)


def nearest(shape: Distances, points: Tensor) -> Tensor:
    """The places on a shape's surface that are nearest to points (N, 3) float32: x − d ∇d."""
    values = torch.from_numpy(shape.values)
    half = 1 / CELLS * torch.eye(3)
    ahead, behind = (read(values, (points[:, None] + step).reshape(-1, 3)).view(-1, 3) for step in (half, -half))
    direction = functional.normalize(ahead - behind, dim=1)
    return (points - read(values, points)[:, None] * direction).clamp(-1, 1)


def read(values: Tensor, points: Tensor) -> Tensor:
    """A grid over model space (n, n, n), indexed [x, y, z], at points (N, 3), trilinearly: (N,)."""
    place = points.flip(-1)[None, None, None]  # grid_sample takes the last axis first
    return functional.grid_sample(values[None, None], place, padding_mode="border", align_corners=True).view(-1)
