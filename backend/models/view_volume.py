"""A picture as a volume of densities, colours and features before its camera, and that volume seen by other cameras.

Turning a feature volume explicitly, so that a view-conditioned diffusion model need not learn what a rotation does, is
GeNVS's idea (Chan et al., "Generative Novel View Synthesis with 3D-Aware Diffusion Models", 2023). The volume here is
the frustum of the picture, composited along rays as a radiance field is (Mildenhall et al., "NeRF", 2020, eq. 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels.volume_rendering import CHANNELS, render_volumes
from ..representations.cameras import FRAMED, RADIUS, Cameras
from .view_layers import GROUPS, Attention, ResidualBlock, enlarged

RESOLUTION = 32
"""Of volumes across, and of the pictures that they are composited to."""
DEPTH = 16
SAMPLES = 16
SPACING = 2 * FRAMED / SAMPLES
"""Of a ray's samples, model units."""
DENSITY = 8.0
"""Per model unit, for a raw density of about 1."""
OUTSIDE, WITHIN = -5.0, 1.0
"""Raw densities before training, outside and within the picture's outline."""
THINNING = 3.0
"""How fast they fall before training with the square of the distance from the middle, model units."""
USUAL_WINDOW = (0.0, 0.0, math.log(0.72))


@dataclass(frozen=True)
class EncodedPicture:
    """What is known of B pictures.

    volume (B, DEPTH, RESOLUTION, RESOLUTION, CHANNELS): within the frustum, rows from the bottom to the top; density
    per model unit (≥ 0), sRGB in about [0, 1], features. window (B, 3): where in the standard framing the picture
    was cut out, its middle to the right and up, and the logarithm of half its side, in halves of the framing's side.
    tokens (B, L, W): its parts, for attention. small (B, 16, 32, 32): the picture itself, its 2 × 2 blocks as channels.
    """

    volume: Tensor
    window: Tensor
    tokens: Tensor
    small: Tensor


class PictureEncoder(nn.Module):
    """A recentred picture of 64² pixels, and its camera's elevation → EncodedPicture: a U-Net over the picture, each of
    whose places answers for all depths behind it."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.elevation = nn.Sequential(nn.Linear(3, coarse), nn.SiLU())
        self.enter = nn.Conv2d(16, fine, 3, padding=1)
        self.fine, self.fine_after = ResidualBlock(fine, coarse), ResidualBlock(fine, coarse)
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle, self.middle_after = ResidualBlock(middle, coarse), ResidualBlock(middle, coarse)
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse, self.coarse_after = ResidualBlock(coarse, coarse), ResidualBlock(coarse, coarse)
        self.attention = Attention(coarse)
        self.join_middle = nn.Conv2d(coarse + middle, middle, 1)
        self.join_fine = nn.Conv2d(middle + fine, fine, 1)
        cells = nn.Conv2d(fine, DEPTH * CHANNELS, 1)
        self.leave = nn.Sequential(nn.GroupNorm(GROUPS, fine), nn.SiLU(), cells)
        window = nn.Linear(coarse, 3)
        self.window = nn.Sequential(nn.Linear(coarse, coarse), nn.SiLU(), window)
        # Not by tensors: their arithmetic on "meta" makes torch import its compiler, seconds of every first call.
        depths = ((cell + 0.5) * (2 * FRAMED / DEPTH) - FRAMED for cell in range(DEPTH))
        bias = torch.zeros(DEPTH, CHANNELS)
        bias[:, 0] = torch.tensor([-THINNING * depth**2 for depth in depths])
        cells.bias = nn.Parameter(bias.flatten())
        nn.init.zeros_(window.weight)
        window.bias = nn.Parameter(torch.tensor(USUAL_WINDOW))

    def forward(self, pictures: Tensor, elevation: Tensor) -> EncodedPicture:
        """pictures (B, 4, 64, 64): sRGB over white and alpha, in [−1, 1]. elevation (B,): radians."""
        vector = self.elevation(torch.stack([elevation, elevation.sin(), elevation.cos()], dim=1))
        small = functional.pixel_unshuffle(pictures, 2)
        fine = self.fine(self.enter(small), vector)
        middle = self.middle(self.to_middle(fine), vector)
        coarse = self.attention(self.coarse(self.to_coarse(middle), vector))
        coarse = self.coarse_after(coarse, vector)
        middle = self.middle_after(self.join_middle(torch.cat([enlarged(coarse), middle], dim=1)), vector)
        fine = self.fine_after(self.join_fine(torch.cat([enlarged(middle), fine], dim=1)), vector)
        cells = self.leave(fine).float().unflatten(1, (DEPTH, CHANNELS)).permute(0, 1, 3, 4, 2).flip(2)
        seen = functional.avg_pool2d(pictures, 2).permute(0, 2, 3, 1).flip(1)[:, None] / 2 + 0.5
        density = DENSITY * functional.softplus(cells[..., :1] + OUTSIDE + (WITHIN - OUTSIDE) * seen[..., 3:])
        volume = torch.cat([density, seen[..., :3] + cells[..., 1:4], cells[..., 4:]], dim=-1)
        window = self.window(coarse.mean((2, 3)) + vector).float()
        return EncodedPicture(volume, window, coarse.flatten(2).transpose(1, 2), small)


def composite(encoded: EncodedPicture, window: Tensor, elevation: Tensor, cameras: Cameras) -> Tensor:
    """The volumes as other cameras see them, (B · T, CHANNELS, RESOLUTION, RESOLUTION) float32: opacity, then colour
    and features times opacity.

    window (B, 3), as in EncodedPicture. elevation (B,): of the pictures' cameras, whose azimuth counts as 0. cameras:
    B · T, the T of each picture one after the other.
    """
    pictures = len(elevation)
    origins, directions = cameras.rays(RESOLUTION)
    steps = (torch.arange(SAMPLES, device=origins.device) + 0.5) * SPACING - FRAMED
    distances = cameras.radius[:, None] + steps
    points = origins[:, :, :, None] + directions[:, :, :, None] * distances[:, None, None, :, None]
    places = frustum_places(points.reshape(pictures, -1, 3), window, elevation)
    rays = places.reshape(pictures, -1, SAMPLES, 3)
    seen = render_volumes(encoded.volume, rays, SPACING)
    return seen.reshape(len(cameras), RESOLUTION, RESOLUTION, CHANNELS).permute(0, 3, 1, 2)


def frustum_places(points: Tensor, window: Tensor, elevation: Tensor) -> Tensor:
    """Points (B, N, 3) of model space, seen from azimuth 0 and `elevation` (B,) in the standard framing, as places of a
    volume in the frustum of its `window` (B, 3): right, up and away, each from −1 to 1 within it."""
    seen_by = Cameras.framing(torch.zeros_like(elevation), elevation)
    seen = (points - seen_by.origins[:, None]) @ seen_by.rotations.mT
    depth = seen[..., 2:]
    across = seen[..., :2] / (depth * math.tan(seen_by.field_of_view / 2))
    across = (across - window[:, None, :2]) / window[:, None, 2:].exp()
    return torch.cat([across, (depth - RADIUS) / FRAMED], dim=-1)


def frustum_points(places: Tensor, window: Tensor, elevation: Tensor) -> Tensor:
    """What `frustum_places` gives these places (B, N, 3) for: points of model space."""
    seen_by = Cameras.framing(torch.zeros_like(elevation), elevation)
    depth = places[..., 2:] * FRAMED + RADIUS
    across = places[..., :2] * window[:, None, 2:].exp() + window[:, None, :2]
    seen = torch.cat([across * depth * math.tan(seen_by.field_of_view / 2), depth], dim=-1)
    return seen @ seen_by.rotations + seen_by.origins[:, None]
