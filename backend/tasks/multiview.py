"""A surface from one picture and the pictures that a view model makes of the other sides.

As Zero-1-to-3 goes on to shapes (Liu et al., 2023, §4), with a signed distance for the field, which begins as the
feed-forward shape instead of fog, and score distillation (Poole et al., 2022) from cameras between the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from ..color import linear_to_srgb
from ..guidance.camera_samplers import apart_from
from ..guidance.score_distillation import ScoreDistillation
from ..mesh import Mesh
from ..representations.cameras import Cameras
from ..representations.field import Field
from ..representations.initial_fields import field_of_shape
from ..representations.mesh_fitting import refine
from ..representations.radiance_fitting import Critic, FitSettings, Fitting, Watch, fit
from ..representations.views import Views
from .diffusion_models import ViewModel
from .framing import framed
from .picture_pose import Pose

SIZE = 128
"""Pixels of the views that the field is fitted to."""
ELEVATIONS = (math.radians(5), math.radians(30))
"""Of the new views, in turn."""
LEAST_COVERED, MOST_COVERED = 0.3, 0.7
"""Alphas of a view, probabilities, between which the silhouette's edge is taken to be."""
SURELY_EMPTY, SURELY_COVERED = 0.15, 0.4
"""Alphas between which a view does not count: thin parts, whose place it does not know, are there."""
PICTURE_WEIGHT = 4.0
"""How much the picture itself counts beside one view that was made."""
CRITICIZED = 2
"""Views that are shown to the guidance at once."""
EVERY = 4
BEGIN = 0.3
"""The guidance speaks up when the field is past its coarsest stage."""


def other_sides(pose: Pose, count: int) -> Cameras:
    """`count` cameras evenly around the object, the pictured side left out, in the standard framing."""
    turns = pose.azimuth + torch.arange(1, count + 1) * (2 * math.pi / (count + 1))
    elevations = torch.tensor([ELEVATIONS[index % len(ELEVATIONS)] for index in range(count)])
    return Cameras.framing(turns, elevations)


def settled(alpha: np.ndarray) -> np.ndarray:
    """Silhouettes for probabilities that the object is there."""
    return ((alpha - LEAST_COVERED) / (MOST_COVERED - LEAST_COVERED)).clip(0, 1)


def certainty(alpha: np.ndarray) -> np.ndarray:
    """How much views count where the object is there with the probability `alpha`: from 0 to 1."""
    empty = 1 - alpha / SURELY_EMPTY
    covered = (alpha - SURELY_COVERED) / (MOST_COVERED - SURELY_COVERED)
    return np.maximum(empty, covered).clip(0, 1)


def all_views(picture: np.ndarray, pose: Pose, views: np.ndarray, cameras: Cameras) -> Views:
    """The picture and the views that were made of the other sides, as a field is fitted to them."""
    own = torch.from_numpy(framed(picture, pose.window, SIZE))[None]
    alpha = torch.from_numpy(views[..., 3:])
    premultiplied = torch.cat([torch.from_numpy(views[..., :3]) * alpha, alpha], dim=-1).permute(0, 3, 1, 2)
    scaled = functional.interpolate(premultiplied, (SIZE, SIZE), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    colors = (scaled[..., :3] / scaled[..., 3:].clamp(min=1e-6)).clamp(0, 1)
    probability = scaled[..., 3].clamp(0, 1).numpy()
    made = torch.cat([colors, torch.from_numpy(settled(probability))[..., None]], dim=-1)
    together = Cameras.framing(
        torch.cat([pose.cameras.azimuth, cameras.azimuth]), torch.cat([pose.cameras.elevation, cameras.elevation])
    )
    weights = torch.ones(len(together))
    weights[0] = PICTURE_WEIGHT
    certain = torch.cat([torch.ones(1, SIZE, SIZE), torch.from_numpy(certainty(probability))])
    return Views(torch.cat([own, made]), together, weights, certain)


def refined(
    mesh: Mesh,
    pose: Pose,
    picture: np.ndarray,
    views: np.ndarray,
    cameras: Cameras,
    *,
    steps: int,
    seed: int,
    step: Callable[[float], None],
) -> np.ndarray:
    """The places (V, 3) float32 at which the mesh's vertices make it look like the picture and the views; it has vertex
    colours, and is in model space. `step(share done)` may raise to stop."""
    assert mesh.colors is not None
    observed = all_views(picture, pose, views, cameras)
    colors = linear_to_srgb(mesh.colors)
    return refine(mesh.vertices, mesh.faces, colors, observed, steps=steps, seed=seed, step=step)[0]


def fit_to_views(
    shape: Field,
    pose: Pose,
    model: ViewModel,
    picture: np.ndarray,
    views: np.ndarray,
    cameras: Cameras,
    *,
    iterations: int,
    distillation: float,
    seed: int,
    watch: Watch,
    stop: Callable[[], bool] | None,
) -> Fitting:
    """The shape, changed to look like the picture and the views, and like what the model knows between them."""
    settings = FitSettings(steps=iterations)
    observed = all_views(picture, pose, views, cameras)
    critic = None
    if distillation > 0:
        critic = Critic(
            ScoreDistillation(model.prior(picture, pose), model.settings),
            apart_from(observed.cameras, CRITICIZED),
            weight=model.guidance_weight * distillation,
            every=EVERY,
            begin=BEGIN,
        )
    start = field_of_shape(shape, settings.cells, device=model.device)
    return fit(start, observed.to(model.device), critic=critic, settings=settings, seed=seed, watch=watch, stop=stop)
