"""Fitting: it finds what pictures show, listens to a critic, can be stopped, and survives a lack of memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from backend.errors import Cancelled, MachineError
from backend.guidance.guidance import GuidanceStep
from backend.representations import radiance_fitting
from backend.representations.cameras import Cameras
from backend.representations.initial_fields import ball, cloud, grid_nodes
from backend.representations.radiance_field import RadianceField, SignedDistanceField
from backend.representations.radiance_fitting import Critic, FitSettings, Fitting, fit
from backend.representations.regularization import curvature, draw_anywhere, draw_nodes, eikonal, neighbors, roughness
from backend.representations.views import RaySampler, Views
from tests.backend.representations.test_radiance_field import BALL, around, exact_alpha, pictures_of_ball

SHORT = FitSettings(steps=40, cells=24, rays=512, distance_rate=0.3)


@pytest.mark.parametrize("start", [ball(16, radius=0.4), cloud(16)], ids=["distance", "density"])
def test_a_fit_finds_the_ball_in_the_pictures(start: RadianceField) -> None:
    views = pictures_of_ball(around(8), 24)
    before = start.values.clone()
    losses: list[float] = []
    fitting = fit(start, views, settings=SHORT, watch=lambda fitting: losses.append(fitting.loss))
    assert torch.equal(start.values, before) and not start.values.requires_grad
    assert fitting.step == len(losses) == SHORT.steps and fitting.field.cells == SHORT.cells
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    unseen = Cameras.framing(torch.tensor([0.5, 3.0]), torch.tensor([0.3, -0.2]))
    error = (fitting.field.render(unseen, 24).opacity[:, 0] - exact_alpha(unseen, 24, BALL)).abs().mean()
    assert float(error) < 0.06
    assert not fitting.field.values.requires_grad


def test_what_sticks_out_of_the_pictures_does_not_turn_black() -> None:
    """Pictures of nothing say nothing of colour, though they are black where they are not looked at through alpha."""
    views = pictures_of_ball(around(6), 16)
    views.pictures[..., :3] = 0.8
    views.pictures[..., 3] = 0.0
    start = ball(16, radius=0.6)
    start.colors.fill_(0.8)
    found = fit(start, views, settings=dataclasses.replace(SHORT, steps=12, distance_rate=0.0)).field
    assert float((found.colors - 0.8).abs().max()) < 0.05


def test_the_same_seed_gives_the_same_field_and_another_does_not() -> None:
    settings = dataclasses.replace(SHORT, steps=6)
    views = pictures_of_ball(around(4), 16)
    one, same, other = (fit(ball(16), views, settings=settings, seed=seed).field for seed in (1, 1, 2))
    assert torch.equal(one.values, same.values) and torch.equal(one.colors, same.colors)
    assert not torch.equal(one.values, other.values)


def test_a_view_of_no_weight_counts_nothing() -> None:
    views = pictures_of_ball(around(4), 16)
    views.pictures[2] = 1
    sampler = RaySampler(dataclasses.replace(views, weights=torch.tensor([1.0, 1, 0, 1])))
    rays = sampler.draw(2000, torch.Generator().manual_seed(0))
    assert not (rays.origins == views.cameras.origins[2]).all(dim=1).any()


def test_pixels_that_are_not_certain_are_not_looked_at() -> None:
    views = pictures_of_ball(around(4), 16)
    certainty = torch.ones(4, 16, 16)
    certainty[:, :, :8] = 0
    rays = RaySampler(dataclasses.replace(views, certainty=certainty)).draw(2000, torch.Generator().manual_seed(0))
    allowed = views.cameras.rays(16)[1][:, :, 8:].reshape(-1, 3)
    assert float(torch.cdist(rays.directions, allowed).min(dim=1).values.max()) < 1e-3
    with pytest.raises(ValueError, match="certainty"):
        dataclasses.replace(views, certainty=certainty[:3])


@pytest.mark.parametrize("weights", [torch.zeros(4), torch.tensor([1.0, -1, 1, 1]), torch.ones(3)])
def test_weights_that_make_no_sense_are_refused(weights: torch.Tensor) -> None:
    views = pictures_of_ball(around(4), 8)
    with pytest.raises(ValueError, match="weights"):
        Views(views.pictures, views.cameras, weights)


class WantsColor:
    """A guidance whose one wish is a colour; remembers what it was shown."""

    def __init__(self, color: tuple[float, float, float]) -> None:
        self.color = torch.tensor(color)[None, :, None, None]
        self.progress: list[float] = []

    def gradient(
        self, images: torch.Tensor, cameras: Cameras, generator: torch.Generator, progress: float
    ) -> GuidanceStep:
        assert images.shape == (len(cameras), 4, 12, 12) and not images.requires_grad
        self.progress.append(progress)
        error = torch.cat([images[:, :3] - self.color, torch.zeros_like(images[:, 3:])], dim=1)
        return GuidanceStep(error, float(error.square().sum() / 2))


def test_a_critic_alone_is_listened_to() -> None:
    guidance = WantsColor((0.9, 0.2, 0.1))
    critic = Critic(guidance, lambda generator: around(2), size=12, every=2, begin=0.5)
    fitting = fit(ball(16), None, critic=critic, settings=dataclasses.replace(SHORT, color_rate=0.1))
    assert min(guidance.progress) >= 0.5 and len(guidance.progress) == SHORT.steps // 4
    image = fitting.field.render(around(2), 12)
    red = image.color[:, 0][image.opacity[:, 0] > 0.9]
    blue = image.color[:, 2][image.opacity[:, 0] > 0.9]
    assert len(red) and float(red.mean()) > float(blue.mean()) + 0.3


def test_stop_keeps_what_there_is_and_an_exception_ends_the_fit() -> None:
    views = pictures_of_ball(around(4), 16)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 5

    kept = fit(ball(16), views, settings=SHORT, stop=stop)
    assert kept.step == 5 and isinstance(kept.field, SignedDistanceField) and not kept.field.values.requires_grad

    def cancel(fitting: Fitting) -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        fit(ball(16), views, settings=SHORT, watch=cancel)


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory."),
    ],
)
def test_without_memory_fewer_rays_are_drawn_and_it_is_said(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, draw, drawn = pictures_of_ball(around(4), 16), RaySampler.draw, []

    def draw_few(self: RaySampler, count: int, generator: torch.Generator):  # type: ignore[no-untyped-def]
        if count > 256:
            raise failure
        drawn.append(count)
        return draw(self, count, generator)

    monkeypatch.setattr(RaySampler, "draw", draw_few)
    fitting = fit(ball(16), views, settings=dataclasses.replace(SHORT, steps=3, rays=1024))
    assert fitting.step == 3 and drawn == [256] * 3
    assert fitting.notes[-1] == "Memory ran out at step 1; going on with 256 rays a step."
    monkeypatch.setattr(radiance_fitting, "FEWEST_RAYS", 300)
    with pytest.raises(MachineError, match="not enough memory"):
        fit(ball(16), views, settings=dataclasses.replace(SHORT, steps=3, rays=1024))


class _Counting:
    """A guidance that wants everything brighter and has no memory for more than `most` pictures."""

    def __init__(self, most: int) -> None:
        self.most, self.shown = most, []

    def gradient(self, images, cameras, generator, progress):  # type: ignore[no-untyped-def]
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.shown.append(len(images))
        return GuidanceStep(-torch.ones_like(images), float(len(self.shown)))


def test_without_memory_the_critic_is_shown_fewer_pictures_at_once() -> None:
    settings = dataclasses.replace(SHORT, steps=2, eikonal=0, curvature=0, roughness=0)
    for most in (4, 1):
        guidance = _Counting(most)
        fitting = fit(ball(16), None, critic=Critic(guidance, lambda _: around(4), size=16), settings=settings)
        assert guidance.shown == [most] * (8 // most)
    assert fitting.loss == pytest.approx((5 + 6 + 7 + 8) / 4), "the mean over the pictures"
    told = [f"going on with {count} of the pictures shown to the diffusion model at once." for count in (2, 1)]
    assert [note.removeprefix("Memory ran out at step 1; ") for note in fitting.notes] == told
    with pytest.raises(MachineError, match="save the memory of a published model"):
        fit(ball(16), None, critic=Critic(_Counting(0), lambda _: around(4), size=16), settings=settings)


def test_pictures_shown_one_by_one_give_the_same_gradient() -> None:
    gradients = []
    for shown in (4, 1):
        stage = radiance_fitting._Stage(ball(16), SHORT)
        critic = Critic(_Counting(4), lambda _: around(4), size=16)
        stage._criticized(critic, shown, 0.5, torch.Generator().manual_seed(0))
        gradients.append(stage.field.values.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4 * float(gradients[0].abs().max()), rtol=0)


def test_other_failures_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(RaySampler, "draw", fail)
    with pytest.raises(RuntimeError, match="something else"):
        fit(ball(16), pictures_of_ball(around(4), 16), settings=SHORT)


def test_nothing_to_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="views, a critic, or both"):
        fit(ball(8), None)


def test_regularisers_on_known_fields() -> None:
    cells = 20
    x, y, z = grid_nodes(cells).view(*(cells + 1,) * 3, 3).unbind(dim=-1)
    everywhere = draw_anywhere(x, 500, torch.Generator().manual_seed(0))
    assert int(everywhere.min()) >= 1 and int(everywhere.max()) <= cells - 1
    slanted = (0.6 * x + 0.8 * z) - 0.1
    assert float(eikonal(slanted, everywhere)) < 1e-9
    assert float(eikonal(3 * slanted, everywhere)) == pytest.approx(4, rel=1e-4)
    assert float(curvature(slanted, everywhere)) < 1e-9
    assert float(curvature(x.square() + 2 * y.square(), everywhere)) == pytest.approx(20 * (2 / cells) ** 2, rel=1e-3)
    assert float(roughness(torch.stack([x, y, z], dim=-1), everywhere)) < 1e-6


def test_neighbors_are_those_along_each_axis() -> None:
    grid = torch.arange(27.0).view(3, 3, 3, 1)
    here, down, up = neighbors(grid, torch.tensor([[1, 1, 1]]))
    assert float(here) == 13 and down.flatten().tolist() == [4, 10, 12] and up.flatten().tolist() == [22, 16, 14]


def test_nodes_are_drawn_among_the_marked() -> None:
    marked = torch.zeros(6, 6, 6, dtype=torch.bool)
    marked[2, 3, 4] = marked[0, 0, 0] = True
    drawn = draw_nodes(marked, 10, torch.Generator().manual_seed(0))
    assert (drawn == torch.tensor([2, 3, 4])).all()
    assert draw_nodes(marked & False, 500, torch.Generator().manual_seed(0)).unique().tolist() == [1, 2, 3, 4]
