"""What the bundled view model expects of the sides that a picture does not show, to judge shapes by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..mesh import Mesh
from ..representations.cameras import Cameras
from ..representations.mesh_rendering import view_surface

COUNT = 8
ELEVATIONS = (math.radians(20), math.radians(40))
"""Of the views, in turn: from higher up depth shows, of which the picture tells least."""


class SideMaker(Protocol):
    """What is needed of a view model; `backend.models.novel_views.NovelViews` is one."""

    @property
    def weights(self) -> dict[str, str]:
        """Weights file → sha256."""
        ...

    def views(
        self, picture: np.ndarray, *, elevation: float, azimuth: float, cameras: Cameras, seed: int
    ) -> np.ndarray:
        """(B, S, S, 4) float32: as cameras see the object in a picture (S, S, 4), sRGB and alpha."""
        ...


@dataclass(frozen=True, eq=False)
class UnseenSides:
    """opacity: (COUNT, S, S) float32, the probability that a pixel shows the object; turns, elevations: (COUNT,), where
    the cameras are, radians, beside the picture's azimuth."""

    opacity: np.ndarray
    turns: torch.Tensor
    elevations: torch.Tensor

    @classmethod
    def of(cls, maker: SideMaker, picture: np.ndarray, elevation: float) -> UnseenSides:
        """Of a cut-out, recentred picture (S, S, 4) float32, taken at `elevation` (radians)."""
        turns = torch.arange(1, COUNT + 1) * (2 * math.pi / (COUNT + 1))
        elevations = torch.tensor([ELEVATIONS[index % len(ELEVATIONS)] for index in range(COUNT)])
        cameras = Cameras.framing(turns, elevations)
        views = maker.views(picture, elevation=elevation, azimuth=0.0, cameras=cameras, seed=0)
        return cls(views[..., 3], turns, elevations)

    def disagreement(self, mesh: Mesh, azimuth: float) -> float:
        """How far the silhouettes of a mesh in model space, which the picture shows from `azimuth`, are from these: the
        squared error (Brier 1950), in units of what no mesh at all would have."""
        cameras = Cameras.framing(self.turns + azimuth, self.elevations)
        size = self.opacity.shape[1]
        shown = np.stack([view_surface(mesh, cameras, index, size=size).covered for index in range(COUNT)])
        return float(np.square(shown - self.opacity).sum() / max(float(np.square(self.opacity).sum()), 1.0))
