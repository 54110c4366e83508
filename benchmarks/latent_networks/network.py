"""What the compared kinds of latent share: an encoder of the product's inputs, and a decoder asked at points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor, nn

from backend.models.shape_autoencoder import DISTANCE_UNIT, point_heads

Expanded = TypeVar("Expanded")


class LatentNetwork(nn.Module, ABC, Generic[Expanded]):
    """An auto-encoder of one kind of latent. Positions are in model space; everything is float32.

    quantized: latents are one of a finite set of values, so that no noise is added to them in training."""

    quantized = False

    @abstractmethod
    def encode(self, distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
        """distances: (B, 64, 64, 64) as `backend.data.distance_grids` gives them; positions of surface points and sRGB
        there: (B, N, 3). Returns the latents, first axis B."""

    @abstractmethod
    def expand(self, latent: Tensor) -> Expanded:
        """What is computed once for latents, however many points are asked."""

    @abstractmethod
    def signed_distance(self, expanded: Expanded, points: Tensor) -> Tensor:
        """(B, N), negative inside, model units, at `points` (B, N, 3)."""

    @abstractmethod
    def srgb(self, expanded: Expanded, points: Tensor) -> Tensor:
        """sRGB (B, N, 3) in [0, 1] at `points` (B, N, 3)."""


class FeatureNetwork(LatentNetwork[Expanded]):
    """A network whose decoder gives features at points, which the product's two heads read."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.distance, self.color = point_heads(features, hidden)

    @abstractmethod
    def features(self, expanded: Expanded, points: Tensor) -> Tensor:
        """What the heads read at `points` (B, N, 3): (B, N, features)."""

    def signed_distance(self, expanded: Expanded, points: Tensor) -> Tensor:
        return self.distance(self.features(expanded, points))[..., 0] * DISTANCE_UNIT

    def srgb(self, expanded: Expanded, points: Tensor) -> Tensor:
        return self.color(self.features(expanded, points)).sigmoid()
