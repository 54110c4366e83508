"""The shape that the bundled prior makes of a picture: of several candidates the one that looks most like it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..data.cut_out import resized
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.mesh_from_field import coarse_mesh
from ..meshing.surface import EMPTY
from ..models.conditions import IMAGE_SIZE
from ..representations.field import Field
from .picture_pose import Pose, find_pose

LOOKED_AT_CELLS = 28
"""Cells along each side of the grid in which candidates are looked at."""
SHARE_OF_SAMPLING = 0.3


class CandidateMaker(Protocol):
    """What the feed-forward path needs of a shape space."""

    @property
    def weights(self) -> dict[str, str]:
        """Weights file → sha256."""
        ...

    def candidates(
        self,
        prompt: str | None = None,
        *,
        count: int,
        seed: int,
        steps: int,
        guidance_scale: float,
        image: np.ndarray | None = None,
        step: Callable[[int], None] | None = None,
    ) -> torch.Tensor:
        """Latents (count, C, 8, 8, 8) float32 of shapes for a picture (64, 64, 4); `step(done)` after every step."""
        ...

    def field(self, latent: torch.Tensor) -> Field: ...


@dataclass(frozen=True, eq=False)
class PicturedShape:
    """A shape, coarsely also as a mesh in model space with vertex colours, and from where the picture shows it."""

    field: Field
    coarse: Mesh
    pose: Pose


def shape_of_picture(
    space: CandidateMaker,
    picture: np.ndarray,
    *,
    elevation: float,
    prompt: str | None,
    seed: int,
    steps: int,
    guidance_scale: float,
    candidates: int,
    step: Callable[[float], None],
) -> PicturedShape:
    """The best of `candidates` shapes for a cut-out, recentred picture (S, S, 4) float32 that was taken at `elevation`
    (radians). `step(share done)` may raise to stop. Raises InputError when all of them are empty."""
    latents = space.candidates(
        prompt,
        image=resized(picture, IMAGE_SIZE),
        count=candidates,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        step=lambda done: step(SHARE_OF_SAMPLING * done / steps),
    )
    best: PicturedShape | None = None
    for index, latent in enumerate(latents):
        step(SHARE_OF_SAMPLING + (1 - SHARE_OF_SAMPLING) * index / candidates)
        field = space.field(latent)
        coarse = coarse_mesh(field, LOOKED_AT_CELLS)
        if coarse is None:
            continue
        pose = find_pose(coarse, picture, elevation)
        if best is None or pose.agreement > best.pose.agreement:
            best = PicturedShape(field, coarse, pose)
    if best is None:
        raise InputError(EMPTY)
    step(1.0)
    return best
