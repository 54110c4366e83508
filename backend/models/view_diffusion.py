"""The bundled view model: a diffusion model of one view of an object, given another view, or a sentence, or neither.

A U-Net over 64² pixels of sRGB and alpha that predicts x̂ (see `noise_schedule`). It is told of a picture as
Zero-1-to-3 is (Liu et al., 2023: the relative camera, and the picture beside the noisy one), and by the picture's
volume as the target's camera sees it (`view_volume`): what it predicts is added to that. Instead of a picture it can be
told a sentence and the camera's own angles, which makes it a small text-to-image model of single objects.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels.volume_rendering import CHANNELS
from ..representations.cameras import RADIUS, Cameras
from .latent_prior import TIME_FREQUENCIES, time_features
from .text_encoder import WIDTH as TEXT_WIDTH
from .view_layers import GROUPS, Attention, ResidualBlock, enlarged
from .view_volume import RESOLUTION, EncodedPicture, PictureEncoder, composite

SIZE = 64
IMAGE_CHANNELS = 4
"""sRGB over white, and alpha, each from −1 to 1."""
BACKGROUND_WEIGHT = 0.3
"""Of the squared error in training where nothing is, against 1 more where the object is."""
BLOCK = IMAGE_CHANNELS * (SIZE // RESOLUTION) ** 2


@dataclass(frozen=True)
class ViewDiffusionConfig:
    """Channels at 32², 16² and 8² places: of the encoder of pictures, and of the U-Net. vector: length of what all the
    U-Net's blocks are told."""

    encoder: tuple[int, int, int] = (48, 96, 160)
    denoiser: tuple[int, int, int] = (48, 96, 160)
    vector: int = 256


@dataclass(frozen=True)
class ViewConditions:
    """What the U-Net is told of B views: seen (B, 16, 32, 32), the volume as the view's camera sees it; small (B, 16,
    32, 32), the picture; tokens (B, L, W), the picture's parts; vector (B, V), cameras and words."""

    seen: Tensor
    small: Tensor
    tokens: Tensor
    vector: Tensor

    def __len__(self) -> int:
        return len(self.vector)

    def of(self, chosen: Tensor) -> ViewConditions:
        """Those that an index tensor or a mask chooses."""
        return ViewConditions(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @staticmethod
    def joined(parts: list[ViewConditions]) -> ViewConditions:
        """Several, one after the other."""
        names = [field.name for field in fields(ViewConditions)]
        return ViewConditions(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


class ViewDiffusion(nn.Module):
    """x̂ of noisy views, given ViewConditions, which `of_pictures`, `of_sentences` and `of_nothing` make."""

    def __init__(self, config: ViewDiffusionConfig | None = None) -> None:
        super().__init__()
        self.config = config or ViewDiffusionConfig()
        fine, middle, coarse = self.config.denoiser
        vector, token_width = self.config.vector, self.config.encoder[2]
        self.encoder = PictureEncoder(self.config.encoder)
        self.time = nn.Linear(2 * TIME_FREQUENCIES, vector)
        self.relative_camera = nn.Linear(5, vector)
        self.camera = nn.Linear(4, vector)
        self.sentence = nn.Linear(TEXT_WIDTH, vector)
        self.absent = nn.Parameter(torch.zeros(vector))
        self.absent_token = nn.Parameter(torch.zeros(token_width))
        self.widen = nn.Sequential(nn.SiLU(), nn.Linear(vector, vector), nn.SiLU())
        self.enter = nn.Conv2d(BLOCK + CHANNELS + BLOCK, fine, 3, padding=1)
        self.fine = ResidualBlock(fine, vector)
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle, self.middle_after = ResidualBlock(middle, vector), ResidualBlock(middle, vector)
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse, self.coarse_after = ResidualBlock(coarse, vector), ResidualBlock(coarse, vector)
        self.attention = Attention(coarse, token_width)
        self.join_middle = nn.Conv2d(coarse + middle, middle, 1)
        self.join_fine = nn.Conv2d(middle + fine, fine, 1)
        self.norm = nn.GroupNorm(GROUPS, fine)
        self.leave = nn.Conv2d(fine, BLOCK, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def of_pictures(
        self, encoded: EncodedPicture, window: Tensor, elevation: Tensor, cameras: Cameras
    ) -> ViewConditions:
        """Of B · T views by `cameras`, the T of each of B encoded pictures one after the other.

        window (B, 3): where the pictures were cut out (`encoded.window` where that is not known). elevation (B,):
        radians, of the pictures' cameras; the views' azimuths are relative to those cameras.
        """
        each = len(cameras) // len(elevation)
        seen = composite(encoded, window, elevation, cameras)
        own = elevation.repeat_interleave(each)
        turn = cameras.azimuth
        relative = [cameras.elevation - own, turn.sin(), turn.cos(), cameras.radius - RADIUS, own]
        return ViewConditions(
            seen,
            encoded.small.repeat_interleave(each, dim=0),
            encoded.tokens.repeat_interleave(each, dim=0),
            self.relative_camera(torch.stack(relative, dim=1)),
        )

    def of_sentences(self, embeddings: Tensor, cameras: Cameras) -> ViewConditions:
        """Of B views by `cameras` of what sentences say; embeddings (B, 384) of unit length."""
        placed = [cameras.elevation, cameras.azimuth.sin(), cameras.azimuth.cos(), cameras.radius - RADIUS]
        words = self.sentence(embeddings * TEXT_WIDTH**0.5)
        return self._without_picture(words + self.camera(torch.stack(placed, dim=1)))

    def of_nothing(self, count: int) -> ViewConditions:
        """Of any view of anything."""
        return self._without_picture(self.absent.expand(count, -1))

    def _without_picture(self, vector: Tensor) -> ViewConditions:
        count = len(vector)
        empty = vector.new_zeros(count, CHANNELS, RESOLUTION, RESOLUTION)
        tokens = self.absent_token.expand(count, (RESOLUTION // 4) ** 2, -1)
        return ViewConditions(empty, empty[:, :BLOCK], tokens, vector)

    def forward(self, noisy: Tensor, time: Tensor, conditions: ViewConditions) -> Tensor:
        """noisy (B, 4, 64, 64), time (B,) → x̂ (B, 4, 64, 64) float32, the mean of all x that are likely."""
        return unemphasised(self.emphasised(noisy, time, conditions))

    def emphasised(self, noisy: Tensor, time: Tensor, conditions: ViewConditions) -> Tensor:
        """What training fits with BACKGROUND_WEIGHT: a mean in which, pixel by pixel, those x weigh more that have the
        object there."""
        vector = self.widen(self.time(time_features(time)) + conditions.vector)
        told = [functional.pixel_unshuffle(noisy, 2), conditions.seen, conditions.small]
        entered = torch.cat([part.to(noisy.dtype) for part in told], dim=1)
        fine = self.enter(entered.contiguous(memory_format=torch.channels_last))
        middle = self.middle(self.to_middle(fine), vector)
        coarse = self.attention(self.coarse(self.to_coarse(middle), vector), conditions.tokens)
        coarse = self.coarse_after(coarse, vector)
        middle = self.middle_after(self.join_middle(torch.cat([enlarged(coarse), middle], dim=1)), vector)
        fine = self.fine(self.join_fine(torch.cat([enlarged(middle), fine], dim=1)), vector)
        detail = functional.pixel_shuffle(self.leave(functional.silu(self.norm(fine))).float(), 2)
        return functional.interpolate(over_white(conditions.seen), scale_factor=2.0, mode="bilinear") + detail


def unemphasised(weighted: Tensor) -> Tensor:
    """The plain mean (B, 4, H, W) of likely images, from that of `ViewDiffusion.emphasised`.

    At a pixel, images weigh b + α, α being their opacity there, 0 or 1. So the weighted mean of α is
    â = (b + 1) p / (b + p), where p is the plain one. Then p = k â, k being b / (b + 1 − â), and what colours lack to
    white is k times as much, too.
    """
    opacity = (weighted[:, 3:] / 2 + 0.5).clamp(0, 1)
    share = BACKGROUND_WEIGHT / (BACKGROUND_WEIGHT + 1 - opacity)
    return torch.cat([1 - share * (1 - weighted[:, :3]), 2 * share * opacity - 1], dim=1)


def over_white(seen: Tensor) -> Tensor:
    """What a volume shows, (B, 16, H, W), as an image (B, 4, H, W): sRGB over white and alpha, from −1 to 1."""
    opacity = seen[:, :1]
    return torch.cat([seen[:, 1:4] + 1 - opacity, opacity], dim=1) * 2 - 1
