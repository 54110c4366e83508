"""Shapes that can be seen through: grids of a value and a colour, rendered by marching rays, made to be fitted to
pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..color import srgb_to_linear
from ..kernels import march_rays
from ..kernels.ray_marching_torch import trilinear
from .cameras import Cameras

STEPS_PER_CELL = 1.0
"""Samples of a ray for each cell of the grid that it passes."""
RAYS_AT_ONCE = 1 << 14


@dataclass(frozen=True, eq=False)
class Render:
    """Pictures of B cameras with S × S pixels, float32.

    color (B, 3, S, S): sRGB over black, so premultiplied. opacity (B, 1, S, S) in [0, 1]. depth (B, 1, S, S): mean
    distance from the camera along the ray in model units, 0 where nothing is; it carries no gradient.
    """

    color: Tensor
    opacity: Tensor
    depth: Tensor

    def over(self, background: float = 1.0) -> Tensor:
        """The pictures over a grey, white unless said otherwise: (B, 3, S, S) sRGB."""
        return self.color + (1 - self.opacity) * background


class RadianceField(ABC):
    """A grid of values and a grid of colours over model space, [x, y, z], trilinear between nodes.

    values (n + 1, n + 1, n + 1) float32; what they mean is the subclass's. colors (n + 1, n + 1, n + 1, 3) float32:
    sRGB in [0, 1], the same from every side, as they are seen in pictures. Both are free to require gradients.
    """

    def __init__(self, values: Tensor, colors: Tensor) -> None:
        if values.ndim != 3 or len(set(values.shape)) != 1 or colors.shape != (*values.shape, 3):
            raise ValueError(
                f"values must have the shape (n, n, n) and colors (n, n, n, 3), not {tuple(values.shape)} and "
                f"{tuple(colors.shape)}."
            )
        self.values, self.colors = values, colors

    @property
    def cells(self) -> int:
        """Along each side of model space."""
        return self.values.shape[0] - 1

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    @abstractmethod
    def sharpness(self) -> float | None:
        """How `march_rays` is to understand the values."""

    @abstractmethod
    def occupied(self) -> Tensor:
        """The cells in which a ray can meet something, (n, n, n) bool."""

    @abstractmethod
    def with_grids(self, values: Tensor, colors: Tensor) -> Self:
        """The same kind of field with other grids."""

    def resampled(self, cells: int) -> Self:
        """The same field on a grid of so many cells."""
        grids = torch.cat([self.values.detach()[..., None], self.colors.detach()], dim=-1).permute(3, 0, 1, 2)[None]
        finer = torch.nn.functional.interpolate(grids, size=(cells + 1,) * 3, mode="trilinear", align_corners=True)[0]
        return self.with_grids(finer[0].contiguous(), finer[1:].permute(1, 2, 3, 0).contiguous())

    def seen_along(
        self, origins: Tensor, directions: Tensor, offsets: Tensor, occupied: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colour over black (R, 3), opacity (R,) and depth (R,) of rays, as `march_rays` gives them."""
        return march_rays(
            self.values,
            self.colors,
            occupied,
            origins,
            directions,
            offsets,
            step=2 / (STEPS_PER_CELL * self.cells),
            sharpness=self.sharpness,
        )

    def render(self, cameras: Cameras, size: int, *, supersampling: int = 1) -> Render:
        """The pictures that cameras on the field's device see, with gradients to the grids.

        supersampling: rays along each side of a pixel, whose mean the pixel is.
        """
        fine = size * supersampling
        origins, directions = (part.reshape(-1, 3) for part in cameras.rays(fine))
        occupied, offset = self.occupied(), torch.full((len(origins),), 0.5, device=self.device)
        chunks = zip(*(rays.split(RAYS_AT_ONCE) for rays in (origins, directions, offset)), strict=True)
        parts = [self.seen_along(start, along, first, occupied) for start, along, first in chunks]
        color, opacity, depth = (
            torch.cat(part).view(len(cameras), fine, fine, -1) for part in zip(*parts, strict=True)
        )
        everything = torch.cat([color, opacity, depth], dim=-1).permute(0, 3, 1, 2)
        if supersampling > 1:
            everything = torch.nn.functional.avg_pool2d(everything, supersampling)
        return Render(everything[:, :3], everything[:, 3:4], everything[:, 4:])

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB in [0, 1]."""
        with torch.no_grad():
            srgb = trilinear(self.colors, points.to(self.device)).clamp(0, 1)
        return torch.from_numpy(srgb_to_linear(srgb.cpu().numpy())).to(points.device)


class SignedDistanceField(RadianceField):
    """A field whose values are signed distances in model units, negative inside (Wang et al., "NeuS", 2021).

    sharpness: the surface is so much softened that the opacity falls from 73 % to 27 % over 2 / sharpness.
    """

    TAIL = 6.0
    """Farther than this over the sharpness from the surface nothing is seen of it (0.25 %)."""

    def __init__(self, values: Tensor, colors: Tensor, sharpness: float) -> None:
        super().__init__(values, colors)
        self._sharpness = sharpness

    @property
    def sharpness(self) -> float:
        return self._sharpness

    def with_grids(self, values: Tensor, colors: Tensor) -> SignedDistanceField:
        return SignedDistanceField(values, colors, self.sharpness)

    def sharpened(self, sharpness: float) -> SignedDistanceField:
        """The same grids, not copies, seen with another sharpness."""
        return SignedDistanceField(self.values, self.colors, sharpness)

    def occupied(self) -> Tensor:
        cell = 2 / self.cells
        reach = self.TAIL / self.sharpness + cell * (1 / STEPS_PER_CELL + 1)
        return _largest_of_corners(-self.values.detach().abs()) > -reach

    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32 in model units, negative inside."""
        with torch.no_grad():
            return trilinear(self.values[..., None], points.to(self.device))[:, 0].to(points.device)

    def normals(self, points: Tensor) -> Tensor:
        """Unit normals (N, 3) float32 at points (N, 3): the direction of the interpolant's exact gradient."""
        with torch.enable_grad():
            asked = points.detach().to(self.device).requires_grad_()
            (slope,) = torch.autograd.grad(trilinear(self.values.detach()[..., None], asked).sum(), asked)
        return torch.nn.functional.normalize(slope, dim=-1).to(points.device)


class DensityField(RadianceField):
    """A field whose values are densities before softplus, in 1 / model units (Mildenhall et al., "NeRF", 2020)."""

    THINNEST = 0.01
    """Cells whose opacity along one cell is less hold nothing."""

    @property
    def sharpness(self) -> None:
        return None

    def with_grids(self, values: Tensor, colors: Tensor) -> DensityField:
        return DensityField(values, colors)

    def occupied(self) -> Tensor:
        density = torch.nn.functional.softplus(_largest_of_corners(self.values.detach()))
        return density * (2 / self.cells) > self.THINNEST


def _largest_of_corners(nodes: Tensor) -> Tensor:
    """(n + 1, n + 1, n + 1) → (n, n, n): the largest of each cell's eight nodes."""
    return torch.nn.functional.max_pool3d(nodes[None, None], kernel_size=2, stride=1)[0, 0]
