"""Fitting a field to pictures, and to what a guidance says of pictures that nobody took."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as made_by
from typing import Protocol

import torch
from torch import Tensor

from ..errors import MachineError, is_out_of_memory
from ..guidance.guidance import Guidance
from .cameras import Cameras
from .radiance_field import RadianceField, SignedDistanceField
from .regularization import curvature, draw_anywhere, draw_nodes, eikonal, roughness
from .views import Rays, RaySampler, Views

STAGES = ((1 / 3, 0.3), (2 / 3, 0.3), (1.0, 0.4))
"""Coarse to fine: the share of the cells along each side, though never fewer than at the start, and the share of the
steps that are done so."""
FEWEST_RAYS = 256
SOFTEST, SHARPEST = 1.0, 4.0
"""A signed distance's sharpness at the first and at the last step, per cell."""
LAST_RATE = 0.1
"""The last step's rate, as a share of the first's."""
MOMENTA = (0.9, 0.99)
OCCUPANCY_STEPS = 8
"""After so many steps the occupied cells are looked up anew."""
NODES = 8192
"""Nodes that are regularised in a step."""
NEAR = 3.0
"""Nodes nearer to the surface than this, in cells, are the ones to be regularised most."""


@dataclass(frozen=True)
class FitSettings:
    """How a field is fitted.

    steps, cells (along each side of model space, at last) and rays (a step) are what it costs. opacity: how much the
    alpha counts beside the colour. eikonal, curvature (signed distances), roughness (densities and all colours): the
    regularisers' weights. distance_rate: how far the surface may move in the first step, in cells; density_rate: how
    much the density may change, in cells⁻¹; color_rate: how much a colour may.
    """

    steps: int = 400
    cells: int = 96
    rays: int = 4096
    opacity: float = 1.0
    eikonal: float = 0.05
    curvature: float = 0.05
    roughness: float = 0.03
    distance_rate: float = 0.1
    density_rate: float = 0.2
    color_rate: float = 0.03


@dataclass(frozen=True)
class Critic:
    """A guidance and what it is shown: pictures of `size` pixels from the cameras that `cameras` draws, on every
    `every`-th step from the share `begin` of the steps on; its gradient counts `weight` times."""

    guidance: Guidance
    cameras: Callable[[torch.Generator], Cameras]
    size: int = 64
    weight: float = 1.0
    every: int = 1
    begin: float = 0.0


@dataclass
class Fitting:
    """Where a fit stands: `step` of `steps` are done, the field as it is now, the last step's loss, and notes for the
    user, sentences."""

    field: RadianceField
    steps: int
    step: int = 0
    loss: float = math.nan
    notes: list[str] = made_by(default_factory=list)


class Watch(Protocol):
    """Told after every step; an exception from it ends the fit."""

    def __call__(self, fitting: Fitting, /) -> None: ...


def fit(
    field: RadianceField,
    views: Views | None,
    *,
    critic: Critic | None = None,
    settings: FitSettings | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    stop: Callable[[], bool] | None = None,
) -> Fitting:
    """A field that looks like the views and pleases the critic, from a first one, which is left as it was.

    Coarse to fine, with Adam. The same arguments give the same field on the same device. stop: asked before every step
    whether to end here with what there is. When memory runs out, the rays of a step are halved, and so are the pictures
    that the critic is shown at once; a note says so. Raises MachineError when that does not help, and whatever watch
    raises.
    """
    settings = settings or FitSettings()
    if views is None and critic is None:
        raise ValueError("A fit needs views, a critic, or both.")
    generator = torch.Generator().manual_seed(seed)
    sampler = None if views is None else RaySampler(views)
    fitting = Fitting(field, settings.steps)
    rays = settings.rays
    shown = 0 if critic is None else len(critic.cameras(torch.Generator().manual_seed(seed)))
    end = 0
    for share, steps_share in STAGES:
        end = min(settings.steps, end + math.ceil(steps_share * settings.steps))
        cells = min(settings.cells, max(round(share * settings.cells), field.cells))
        stage = _Stage(fitting.field.resampled(cells), settings)
        while fitting.step < end:
            if stop is not None and stop():
                fitting.field = stage.finished()
                return fitting
            progress = fitting.step / settings.steps
            try:
                fitting.loss = stage.step(sampler, critic, rays, shown, progress, generator)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                less = []
                if sampler is not None and rays // 2 >= FEWEST_RAYS:
                    rays //= 2
                    less.append(f"{rays} rays a step")
                if shown > 1:
                    shown //= 2
                    less.append(f"{shown} of the pictures shown to the diffusion model at once")
                if not less:
                    raise MachineError(
                        "There is not enough memory to fit the shape; close other programs, ask for less detail, or "
                        "save the memory of a published model in another way."
                    ) from error
                fitting.notes.append(f"Memory ran out at step {fitting.step + 1}; going on with {' and '.join(less)}.")
                continue
            fitting.step += 1
            fitting.field = stage.field
            if watch is not None:
                watch(fitting)
        fitting.field = stage.finished()
    return fitting


class _Stage:
    """The field at one resolution, and its optimiser."""

    def __init__(self, field: RadianceField, settings: FitSettings) -> None:
        self.field, self.settings = field, settings
        self.cell = 2 / field.cells
        is_distance = isinstance(field, SignedDistanceField)
        values_rate = settings.distance_rate * self.cell if is_distance else settings.density_rate / self.cell
        self.rates = [values_rate, settings.color_rate]
        parameters = [{"params": [field.values.requires_grad_()]}, {"params": [field.colors.requires_grad_()]}]
        self.optimizer = torch.optim.Adam(parameters, lr=values_rate, betas=MOMENTA, fused=True)
        self.occupied = field.occupied()
        self.done = 0

    def step(
        self,
        sampler: RaySampler | None,
        critic: Critic | None,
        rays: int,
        shown: int,
        progress: float,
        generator: torch.Generator,
    ) -> float:
        """One step of the optimiser; returns the loss before it. shown: pictures that the critic gets at once."""
        if isinstance(self.field, SignedDistanceField):
            self.field = self.field.sharpened(SOFTEST * (SHARPEST / SOFTEST) ** progress / self.cell)
        if self.done % OCCUPANCY_STEPS == 0:
            self.occupied = self.field.occupied()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * LAST_RATE**progress
        self.optimizer.zero_grad()
        loss = self._regularization(generator)
        if sampler is not None:
            loss = loss + self._photometric(sampler.draw(rays, generator), generator)
        loss.backward()
        total = loss.item()
        if critic is not None and progress >= critic.begin and self.done % critic.every == 0:
            total += self._criticized(critic, shown, progress, generator)
        self.optimizer.step()
        with torch.no_grad():
            self.field.colors.clamp_(0, 1)
        self.done += 1
        return total

    def finished(self) -> RadianceField:
        """The field, which no longer asks for gradients."""
        self.field.values.requires_grad_(False)
        self.field.colors.requires_grad_(False)
        return self.field

    def _photometric(self, rays: Rays, generator: torch.Generator) -> Tensor:
        offsets = torch.rand(len(rays.opacity), generator=generator).to(rays.origins.device)
        color, opacity, _ = self.field.seen_along(rays.origins, rays.directions, offsets, self.occupied)
        # Where nothing should be, a colour has no say: a surface that sticks out would turn black instead of leaving.
        wanted = opacity.detach()[:, None] * rays.color
        error = rays.opacity * (color - wanted).square().sum(dim=1)
        return (error + self.settings.opacity * (opacity - rays.opacity).square()).mean()

    def _criticized(self, critic: Critic, shown: int, progress: float, generator: torch.Generator) -> float:
        """Adds the critic's gradient to the grids'; returns its loss, the mean of the pictures', weighted."""
        cameras = critic.cameras(generator).to(self.field.device)
        loss = 0.0
        for part in torch.arange(len(cameras)).split(shown):
            seen = self.field.render(cameras[part], critic.size)
            images = torch.cat([seen.over(1.0), seen.opacity], dim=1)
            told = critic.guidance.gradient(images.detach(), cameras[part], generator, progress)
            images.backward(critic.weight * told.gradient)
            loss += told.loss * len(part) / len(cameras)
        return critic.weight * loss

    def _regularization(self, generator: torch.Generator) -> Tensor:
        field, settings = self.field, self.settings
        if isinstance(field, SignedDistanceField):
            far = draw_anywhere(field.values, NODES // 4, generator)
            near = draw_nodes(field.values.detach().abs() < NEAR * self.cell, NODES, generator)
            steepness = eikonal(field.values, near) + eikonal(field.values, far)
            own = settings.eikonal * steepness + settings.curvature * curvature(field.values, near)
        else:
            near = draw_nodes(torch.nn.functional.pad(self.occupied, (0, 1) * 3), NODES, generator)
            opacity = -torch.expm1(-self.cell * torch.nn.functional.softplus(field.values))
            own = settings.roughness * roughness(opacity[..., None], near)
        return own + settings.roughness * roughness(field.colors, near)
