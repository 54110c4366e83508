"""A surface from one picture and the pictures that a view model makes of the other sides.

As Zero-1-to-3 goes on to shapes (Liu et al., 2023, §4), with a signed distance for the field, which begins as the
feed-forward shape instead of fog, and score distillation (Poole et al., 2022) from cameras between the pictures.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from ..guidance.bundled_priors import ViewPrior
from ..guidance.camera_samplers import apart_from
from ..guidance.score_distillation import ScoreDistillation
from ..models.novel_views import NovelViews
from ..representations.cameras import Cameras
from ..representations.field import Field
from ..representations.initial_fields import field_of_shape
from ..representations.mesh_rendering import Window
from ..representations.radiance_fitting import Critic, FitSettings, Fitting, Watch, fit
from ..representations.views import Views
from .picture_pose import Pose

SIZE = 128
"""Pixels of the views that the field is fitted to."""
ELEVATIONS = (math.radians(5), math.radians(30))
"""Of the new views, in turn."""
VIEW_STEPS = 1
"""Of the view model's sampler. One gives the mean of all likely views, in which silhouettes agree from view to view;
more make each sharper and all less alike."""
LEAST_COVERED, MOST_COVERED = 0.3, 0.7
"""Alphas of a mean view, a probability, between which the silhouette's edge is taken to be."""
PICTURE_WEIGHT = 4.0
"""How much the picture itself counts beside one view that was made."""
CRITICIZED = 2
"""Views that are shown to the guidance at once."""
EVERY = 4
BEGIN = 0.3
"""The guidance speaks up when the field is past its coarsest stage."""
WEIGHT = 1e-4
"""Of the guidance's gradient, a sum over pixels, beside the photometric loss, which is a mean."""


def other_sides(pose: Pose, count: int) -> Cameras:
    """`count` cameras evenly around the object, the pictured side left out, in the standard framing."""
    turns = pose.azimuth + torch.arange(1, count + 1) * (2 * math.pi / (count + 1))
    elevations = torch.tensor([ELEVATIONS[index % len(ELEVATIONS)] for index in range(count)])
    return Cameras.framing(turns, elevations)


def placed_by(model: NovelViews, picture: np.ndarray, pose: Pose) -> Pose:
    """The pose with the window that the view model sees the picture in. The feed-forward shape's own would not do: the
    views that the model makes have the size that the model takes the object for."""
    across, up, half = model.window(picture, pose.elevation)
    return dataclasses.replace(pose, window=Window(across, -up, half))


def _model_window(window: Window) -> tuple[float, float, float]:
    """A window as the view model has it: the middle to the right and up, and half the side."""
    return window.x, -window.y, window.half


def make_views(
    model: NovelViews,
    picture: np.ndarray,
    pose: Pose,
    count: int,
    *,
    seed: int,
    step: Callable[[float], None],
) -> tuple[np.ndarray, Cameras]:
    """(count, 64, 64, 4) float32 pictures of the other sides, sRGB and alpha, and their cameras; `step(share done)` may
    raise to stop."""
    cameras = other_sides(pose, count)
    views = model.views(
        picture,
        elevation=pose.elevation,
        azimuth=pose.azimuth,
        window=_model_window(pose.window),
        cameras=cameras,
        seed=seed,
        steps=VIEW_STEPS,
        step=lambda done, total: step(done / total),
    )
    views[..., 3] = ((views[..., 3] - LEAST_COVERED) / (MOST_COVERED - LEAST_COVERED)).clip(0, 1)
    return views, cameras


def framed(picture: np.ndarray, window: Window, size: int) -> np.ndarray:
    """A cut-out picture (S, S, 4) float32 at its place in the standard framing: (size, size, 4) float32."""
    premultiplied = picture.copy()
    premultiplied[..., :3] *= picture[..., 3:]
    places = (torch.arange(size) + 0.5) * (2 / size) - 1
    across, down = (places - window.x) / window.half, (places - window.y) / window.half
    grid = torch.stack([across[None].expand(size, -1), down[:, None].expand(-1, size)], dim=-1)
    # As fine as the whole picture, so that no pixel of it is passed over.
    fine = max(round(size * window.half), 1)
    source = torch.from_numpy(premultiplied).permute(2, 0, 1)[None]
    source = functional.interpolate(source, (fine, fine), mode="bilinear", antialias=True, align_corners=False)
    read = functional.grid_sample(source, grid[None].float(), align_corners=False, padding_mode="zeros")[0]
    alpha = read[3:].clamp(0, 1)
    colors = (read[:3] / alpha.clamp(min=1e-6)).clamp(0, 1) * (alpha > 0)
    return torch.cat([colors, alpha]).permute(1, 2, 0).numpy()


def all_views(picture: np.ndarray, pose: Pose, views: np.ndarray, cameras: Cameras) -> Views:
    """The picture and the views that were made of the other sides, as a field is fitted to them."""
    own = torch.from_numpy(framed(picture, pose.window, SIZE))[None]
    alpha = torch.from_numpy(views[..., 3:])
    premultiplied = torch.cat([torch.from_numpy(views[..., :3]) * alpha, alpha], dim=-1).permute(0, 3, 1, 2)
    enlarged = functional.interpolate(premultiplied, (SIZE, SIZE), mode="bilinear", align_corners=False)
    enlarged = enlarged.permute(0, 2, 3, 1)
    colors = (enlarged[..., :3] / enlarged[..., 3:].clamp(min=1e-6)).clamp(0, 1)
    made = torch.cat([colors, enlarged[..., 3:].clamp(0, 1)], dim=-1)
    together = Cameras.framing(
        torch.cat([pose.cameras.azimuth, cameras.azimuth]), torch.cat([pose.cameras.elevation, cameras.elevation])
    )
    weights = torch.ones(len(together))
    weights[0] = PICTURE_WEIGHT
    return Views(torch.cat([own, made]), together, weights)


def fit_to_views(
    shape: Field,
    pose: Pose,
    model: NovelViews,
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
        prior = ViewPrior(
            model,
            picture,
            elevation=pose.elevation,
            azimuth=pose.azimuth,
            window=_model_window(pose.window),
        )
        critic = Critic(
            ScoreDistillation(prior),
            apart_from(observed.cameras, CRITICIZED),
            weight=WEIGHT * distillation,
            every=EVERY,
            begin=BEGIN,
        )
    start = field_of_shape(shape, settings.cells, device=model.device)
    moved = Views(
        observed.pictures.to(model.device), observed.cameras.to(model.device), observed.weights.to(model.device)
    )
    return fit(start, moved, critic=critic, settings=settings, seed=seed, watch=watch, stop=stop)
