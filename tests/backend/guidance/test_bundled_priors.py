"""The bundled view model as a prior: what it says of pictures at other sizes, and for whom it says it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.guidance.bundled_priors import TextPrior, ViewPrior
from backend.guidance.score_distillation import ScoreDistillation, VariationalScoreDistillation
from backend.models.novel_views import NovelViews
from backend.models.view_diffusion import ViewDiffusion, ViewDiffusionConfig
from backend.representations.cameras import Cameras
from backend.weights.bundled import VIEWS, save_weights

CAMERAS = Cameras.framing(torch.tensor([0.0, 1.5]), torch.tensor([0.1, 0.3]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NovelViews:
    folder: Path = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = ViewDiffusion(ViewDiffusionConfig(encoder=(8, 32, 32), denoiser=(8, 32, 32), vector=16))
    for weight in network.parameters():
        if not weight.any():  # what is nothing before training would hide what it is told
            torch.nn.init.normal_(weight, std=0.05)
    save_weights(VIEWS, network.state_dict(), asdict(network.config), folder)
    return NovelViews.load(folder=folder)


@pytest.fixture
def view_prior(model: NovelViews) -> ViewPrior:
    picture = np.zeros((64, 64, 4), np.float32)
    picture[8:56, 8:56] = [0.1, 0.5, 0.9, 1]
    return ViewPrior(model, picture, elevation=0.1, azimuth=0.0)


def test_a_denoised_view_is_the_view_models(model: NovelViews, view_prior: ViewPrior) -> None:
    noisy, time = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3, 0.8])
    conditions = model.conditions(view_prior.encoded, view_prior.window, 0.1, 0.0, CAMERAS)
    told, free = model.network(noisy, time, conditions), model.network(noisy, time, model.network.of_nothing(2))
    wanted = (free + 2 * (told - free)).clamp(-1, 1)
    torch.testing.assert_close(view_prior.denoise(noisy, time, CAMERAS, 2.0), wanted)
    torch.testing.assert_close(view_prior.denoise(noisy, time, CAMERAS, 1.0), told.clamp(-1, 1))


def test_pictures_of_another_size_are_averaged_down(view_prior: ViewPrior) -> None:
    images = torch.rand(2, 4, 128, 128, generator=torch.Generator().manual_seed(0))
    data = view_prior.encode(images)
    assert data.shape == (2, 4, 64, 64)
    assert data.mean().item() == pytest.approx(images.mean().item() * 2 - 1, abs=1e-3)
    step = ScoreDistillation(view_prior).gradient(images, CAMERAS, torch.Generator().manual_seed(0), 0.5)
    assert step.gradient.shape == images.shape and step.gradient.abs().max() > 0


def test_cameras_and_prompts_count(model: NovelViews) -> None:
    noisy, time = torch.zeros(2, 4, 64, 64), torch.full((2,), 0.9)
    chair = TextPrior(model, "a chair").denoise(noisy, time, CAMERAS, 3.0)
    assert (chair[0] - chair[1]).abs().max() > 1e-4
    tree = TextPrior(model, "a tree").denoise(noisy, time, CAMERAS, 3.0)
    assert (chair - tree).abs().max() > 1e-4


def test_the_variational_form_answers_too(view_prior: ViewPrior) -> None:
    guidance = VariationalScoreDistillation(view_prior)
    images = torch.rand(2, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    first = guidance.gradient(images, CAMERAS, generator, 0.5)
    assert first.loss == pytest.approx(0, abs=1e-6), "the copy says what the prior says until it has learned"
    for _ in range(3):
        later = guidance.gradient(images, CAMERAS, generator, 0.5)
    assert later.loss > 0 and torch.isfinite(later.gradient).all()
