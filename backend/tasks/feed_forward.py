"""The shape that the bundled prior makes of a picture: of several candidates the one with the least expected error.

Each candidate is as likely to be right as it looks like the picture, and like what the view model expects of the other
sides; the error of choosing one where another is right is the distance between both (the Bayes decision, as in Kumar
and Byrne, "Minimum Bayes-Risk Decoding", 2004). So a candidate that has the picture's outline by chance, and is like no
other, does not win over a crowd that nearly has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..data.cut_out import resized
from ..data.surface import sample_surface
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.mesh_from_field import coarse_mesh
from ..meshing.surface import EMPTY
from ..metrics import pairwise_distances
from ..models.conditions import IMAGE_SIZE
from ..representations.field import Field
from .picture_pose import Pose, find_pose
from .unseen_sides import SideMaker, UnseenSides

LOOKED_AT_CELLS = 28
"""Cells along each side of the grid in which candidates are looked at."""
SHARE_OF_SAMPLING = 0.3
POINTS = 1024
"""On each candidate, which its distance to others is taken from."""
TEMPERATURE = 0.03
"""A candidate that agrees by so much less is less likely by a factor of e."""
UNSEEN_WEIGHT = 0.5
"""Of the disagreement about unseen sides, beside the agreement with the picture."""


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
    """A shape, coarsely also as a mesh in model space with vertex colours, and from where the picture shows it.
    agreement: with the picture and with what is expected of the other sides."""

    field: Field
    coarse: Mesh
    pose: Pose
    agreement: float


def shape_of_picture(
    space: CandidateMaker,
    sides: SideMaker,
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
    """Of `candidates` shapes for a cut-out, recentred picture (S, S, 4) float32, taken at `elevation` (radians), that
    of least expected error. `step(share done)` may raise to stop. Raises InputError when all of them are empty."""
    latents = space.candidates(
        prompt,
        image=resized(picture, IMAGE_SIZE),
        count=candidates,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        step=lambda done: step(SHARE_OF_SAMPLING * done / steps),
    )
    unseen = UnseenSides.of(sides, picture, elevation)
    shapes: list[PicturedShape] = []
    for index, latent in enumerate(latents):
        step(SHARE_OF_SAMPLING + (1 - SHARE_OF_SAMPLING) * index / candidates)
        field = space.field(latent)
        coarse = coarse_mesh(field, LOOKED_AT_CELLS)
        if coarse is None:
            continue
        pose = find_pose(coarse, picture, elevation)
        agreement = pose.agreement - UNSEEN_WEIGHT * unseen.disagreement(coarse, pose.azimuth)
        shapes.append(PicturedShape(field, coarse, pose, agreement))
    if not shapes:
        raise InputError(EMPTY)
    step(1.0)
    return shapes[int(expected_errors(shapes).argmin())]


def expected_errors(shapes: Sequence[PicturedShape]) -> torch.Tensor:
    """Of choosing each of n shapes, (n,) float32: its mean Chamfer-L2 distance to all, weighted by likelihood."""
    generator = np.random.default_rng(0)
    clouds = [sample_surface(one.coarse.vertices, one.coarse.faces, POINTS, generator).positions for one in shapes]
    likelihood = torch.softmax(torch.tensor([shape.agreement for shape in shapes]) / TEMPERATURE, dim=0)
    return pairwise_distances(torch.from_numpy(np.stack(clouds))) @ likelihood
