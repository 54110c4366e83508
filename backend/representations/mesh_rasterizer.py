"""Pictures of a triangle mesh that are differentiable by its vertices and their colours; no compiler is needed for it.

As Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020: which face a pixel sees is
found without gradients, what it sees there is interpolated with them, and silhouettes, where the picture would jump,
are antialiased: how far an edge reaches between the middles of two pixels decides how they are mixed, so that a picture
says where its edges should go.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..kernels.rasterization import rasterize
from .cameras import Cameras

NOTHING = -1
"""Instead of a face, where a pixel sees none."""


class MeshRasterizer:
    """Renders any mesh with these faces (F, 3) int64, from both sides; opposite: what lies across their edges."""

    def __init__(self, faces: Tensor) -> None:
        self.faces = faces
        self.opposite = opposite_vertices(faces)

    def render(self, vertices: Tensor, colors: Tensor, cameras: Cameras, size: int) -> Tensor:
        """(B, 4, size, size): colours over black, so premultiplied, and opacity.

        vertices (V, 3) of model space, in front of all cameras, and colors (V, C) with C = 3, float32 or float64, on
        the faces' device; gradients reach both.
        """
        return torch.stack([self._render(vertices, colors, cameras, index, size) for index in range(len(cameras))])

    def _render(self, vertices: Tensor, colors: Tensor, cameras: Cameras, index: int, size: int) -> Tensor:
        pixels, depths = _projected(vertices, cameras, index, size)
        corners, inverse = pixels[self.faces], 1 / depths[self.faces]
        seen, _ = rasterize(corners.detach().cpu().numpy(), inverse.detach().cpu().numpy(), size)
        face = torch.from_numpy(seen.astype(np.int64)).to(vertices.device)
        row, column = (face != NOTHING).nonzero(as_tuple=True)
        shown = face[row, column]
        middles = torch.stack([column, row], dim=1).to(vertices) + 0.5
        weights = _weights(corners[shown], inverse[shown], middles)
        picture = vertices.new_zeros(size, size, colors.shape[1] + 1)
        own = torch.einsum("nk,nkc->nc", weights, colors[self.faces[shown]])
        picture = picture.index_put((row, column), torch.cat([own, torch.ones_like(own[:, :1])], dim=1))
        depth = vertices.new_full((size, size), math.inf)
        depth[row, column] = torch.einsum("nk,nk->n", weights, depths[self.faces[shown]]).detach()
        return self._antialiased(picture, face, depth, pixels).permute(2, 0, 1)

    def _antialiased(self, picture: Tensor, face: Tensor, depth: Tensor, pixels: Tensor) -> Tensor:
        """The picture with pixels that are neighbours across a silhouette mixed by where it passes between them."""
        size = len(face)
        change = torch.zeros_like(picture).view(size * size, -1)
        flat = picture.reshape(size * size, -1)
        place = torch.arange(size * size, device=face.device).view(size, size)
        for axis in (0, 1):  # 0: neighbours in a row, whose edges are steep; 1: neighbours in a column
            first, second = (place[:, :-1], place[:, 1:]) if axis == 0 else (place[:-1], place[1:])
            first, second = first.reshape(-1), second.reshape(-1)
            differ = face.view(-1)[first] != face.view(-1)[second]
            first, second = first[differ], second[differ]
            nearer = depth.view(-1)[first] <= depth.view(-1)[second]
            near, far = torch.where(nearer, first, second), torch.where(nearer, second, first)
            reach, crossed = self._reach(face.view(-1)[near], near, far, pixels, axis, size)
            near, far, reach = near[crossed], far[crossed], reach[crossed, None]
            # From 0, at the middle of the near pixel, to 1 at that of the far one; up to one half each is its own.
            near_color, far_color = flat[near], flat[far]
            less = (0.5 - reach).clamp(min=0) * (far_color - near_color)
            more = (reach - 0.5).clamp(min=0) * (near_color - far_color)
            change = change.index_add(0, near, less).index_add(0, far, more)
        return picture + change.view_as(picture)

    def _reach(
        self, face: Tensor, near: Tensor, far: Tensor, pixels: Tensor, axis: int, size: int
    ) -> tuple[Tensor, Tensor]:
        """How far (N,) the silhouette of a face reaches from the middle of pixel `near` to that of `far`, and whether
        (N,) it ends between them."""
        corners = self.faces[face]
        start, end = pixels[corners], pixels[corners.roll(-1, dims=1)]  # (N, 3, 2)
        middle = torch.stack([near % size, near // size], dim=1).to(pixels) + 0.5
        along, across = (0, 1) if axis == 0 else (1, 0)
        step = torch.where(far > near, 1.0, -1.0).to(pixels)[:, None]
        line = middle[:, across, None]
        run = end - start
        # Each edge counts for neighbours in one direction alone; a diagonal one, for those in a row.
        rise, length = run[..., across].abs(), run[..., along].abs()
        steep = rise >= length if axis == 0 else rise > length
        meets = (start[..., across] - line) * (end[..., across] - line) < 0
        share = (line - start[..., across]) / torch.where(meets, run[..., across], torch.ones_like(run[..., across]))
        distance = (start[..., along] + share * run[..., along] - middle[:, along, None]) * step
        valid = steep & meets & (distance >= 0) & (distance <= 1) & self._is_silhouette(face, start, end, pixels)
        which = valid.to(torch.int8).argmax(dim=1, keepdim=True)
        return distance.gather(1, which)[:, 0], valid.any(dim=1)

    def _is_silhouette(self, face: Tensor, start: Tensor, end: Tensor, pixels: Tensor) -> Tensor:
        """Whether (N, 3) the surface ends at an edge, or turns away: both of its faces lie on one side of it."""
        own, other = self.faces[face].roll(-2, dims=1), self.opposite[face]
        run = (end - start).detach()

        def side(vertex: Tensor) -> Tensor:
            away = pixels.detach()[vertex] - start.detach()
            return run[..., 0] * away[..., 1] - run[..., 1] * away[..., 0]

        return (other < 0) | (side(own) * side(other.clamp(min=0)) > 0)


def opposite_vertices(faces: Tensor) -> Tensor:
    """(F, 3): for the edge from corner k to corner k + 1 of each face, the third vertex of the other face at that edge,
    −1 where there is no other."""
    first, second, third = faces.reshape(-1), faces.roll(-1, dims=1).reshape(-1), faces.roll(-2, dims=1).reshape(-1)
    count = int(faces.max()) + 1
    key = torch.minimum(first, second) * count + torch.maximum(first, second)
    order = key.argsort(stable=True)
    ordered = key[order]
    pair = (ordered[1:] == ordered[:-1]).nonzero()[:, 0]
    left, right = order[pair], order[pair + 1]
    opposite = torch.full_like(first, NOTHING)
    opposite[left], opposite[right] = third[right], third[left]
    return opposite.view_as(faces)


def _projected(vertices: Tensor, cameras: Cameras, index: int, size: int) -> tuple[Tensor, Tensor]:
    """Where vertices are in a camera's picture, in pixels (V, 2), x to the right and y down, and their distances along
    the viewing direction (V,)."""
    rotation, origin = cameras.rotations[index].to(vertices), cameras.origins[index].to(vertices)
    seen = (vertices - origin) @ rotation.T
    flipped = seen[:, :2] * torch.tensor([1.0, -1.0]).to(vertices)
    places = flipped / (seen[:, 2:] * math.tan(cameras.field_of_view / 2))
    return (places + 1) * (size / 2), seen[:, 2]


def _weights(corners: Tensor, inverse: Tensor, middles: Tensor) -> Tensor:
    """Barycentric coordinates in space (N, 3) of points (N, 2) in projected triangles (N, 3, 2); inverse: 1 / depth."""
    away = corners - middles[:, None]
    following, last = away.roll(-1, dims=1), away.roll(-2, dims=1)
    areas = following[..., 0] * last[..., 1] - following[..., 1] * last[..., 0]
    flat = areas / areas.sum(dim=1, keepdim=True)
    scaled = flat * inverse
    return scaled / scaled.sum(dim=1, keepdim=True)
