"""Fitting a field while somebody watches: progress, renders, a mesh that sharpens, a stop that keeps what is there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from ..meshing.mesh_from_field import coarse_mesh
from ..progress import Glimpse, Preview
from ..representations.cameras import Cameras
from ..representations.radiance_field import SignedDistanceField
from ..representations.radiance_fitting import Fitting
from .placement import standing_transform
from .stages import Stages

GLIMPSE_SECONDS = 1.0
PREVIEW_SECONDS = 4.0
GLIMPSE_SIZE = 96
PREVIEW_CELLS = 48
TURN = math.radians(4)
"""How far the watched camera goes around the object between two glimpses."""


class WatchedFit:
    """Told after every step of a fit; raises Cancelled when the user asked to stop.

    size: of the object in metres, for meshes that are shown. azimuth, elevation: from where renders begin, radians.
    """

    def __init__(
        self,
        stages: Stages,
        glimpse: Glimpse | None,
        preview: Preview | None,
        *,
        size: float,
        azimuth: float,
        elevation: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages, self._glimpse, self._preview, self._size = stages, glimpse, preview, size
        self._azimuth, self._elevation, self._clock = azimuth, elevation, clock
        self._glimpsed = self._previewed = clock()

    def __call__(self, fitting: Fitting) -> None:
        """Report, show what there is to show, and raise Cancelled when the user asked to stop."""
        self._stages("Fitting", fitting.step / fitting.steps)
        now = self._clock()
        if self._glimpse is not None and now - self._glimpsed >= GLIMPSE_SECONDS:
            self._glimpse(self._render(fitting), f"Step {fitting.step} of {fitting.steps}", fitting.loss)
            self._azimuth += TURN
            self._glimpsed = self._clock()
        if self._preview is not None and now - self._previewed >= PREVIEW_SECONDS:
            if (mesh := coarse_mesh(surface_of(fitting), PREVIEW_CELLS)) is not None:
                self._preview(mesh.transformed(standing_transform(mesh.vertices, self._size)))
            self._previewed = self._clock()

    @torch.no_grad()
    def _render(self, fitting: Fitting) -> np.ndarray:
        camera = Cameras.framing(torch.tensor([self._azimuth]), torch.tensor([self._elevation]))
        picture = fitting.field.render(camera.to(fitting.field.device), GLIMPSE_SIZE).over(1.0)[0]
        return np.rint(picture.permute(1, 2, 0).clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)


def surface_of(fitting: Fitting) -> SignedDistanceField:
    """The fitted field of a fit that began with a signed distance, as all of this package do."""
    assert isinstance(fitting.field, SignedDistanceField)
    return fitting.field
