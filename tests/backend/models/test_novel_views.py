"""The view model from its file to views; untrained and small, since what it has learned is measured elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import Cancelled, InputError, MachineError
from backend.models.novel_views import NovelViews, as_network_images, straight_alpha
from backend.models.view_diffusion import (
    BACKGROUND_WEIGHT,
    ViewConditions,
    ViewDiffusion,
    ViewDiffusionConfig,
    unemphasised,
)
from backend.representations.cameras import Cameras
from backend.weights.bundled import VIEWS, save_weights

CONFIG = ViewDiffusionConfig(encoder=(8, 32, 32), denoiser=(8, 32, 32), vector=16)
ASKED = {"elevation": 0.2, "azimuth": 0.4, "seed": 3, "steps": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = ViewDiffusion(CONFIG)
    for weight in network.parameters():
        if not weight.any():  # what is nothing before training would hide what it is told
            torch.nn.init.normal_(weight, std=0.05)
    save_weights(VIEWS, network.state_dict(), asdict(CONFIG), made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> NovelViews:
    return NovelViews.load(folder=folder)


@pytest.fixture
def picture() -> np.ndarray:
    """A red square with a transparent ground."""
    picture = np.zeros((96, 96, 4), np.float32)
    picture[12:84, 12:84] = [0.8, 0.1, 0.1, 1]
    return picture


def cameras(count: int = 3) -> Cameras:
    return Cameras.framing(torch.linspace(0, 4, count), torch.linspace(0, 0.5, count))


def test_views_are_pictures_with_alpha_and_the_seed_gives_them(model: NovelViews, picture: np.ndarray) -> None:
    first = model.views(picture, cameras=cameras(), **ASKED)
    assert first.shape == (3, 64, 64, 4) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, model.views(picture, cameras=cameras(), **ASKED))
    assert not np.array_equal(first, model.views(picture, cameras=cameras(), **ASKED | {"seed": 4}))


def test_only_the_relative_azimuth_counts(model: NovelViews, picture: np.ndarray) -> None:
    first = model.views(picture, cameras=cameras(), **ASKED)
    turned = Cameras.framing(cameras().azimuth + 1, cameras().elevation)
    again = model.views(picture, cameras=turned, **ASKED | {"azimuth": 1.4})
    np.testing.assert_allclose(first, again, atol=1e-3)
    assert np.abs(first - model.views(picture, cameras=turned, **ASKED)).max() > 0.01


def test_many_views_are_those_of_a_few_at_a_time(
    model: NovelViews, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    whole = model.views(picture, cameras=cameras(5), step=lambda *at: told.append(at), **ASKED)
    assert told == [(1, 2), (2, 2)]
    monkeypatch.setattr("backend.models.novel_views.AT_ONCE", 2)
    told.clear()
    np.testing.assert_allclose(
        whole, model.views(picture, cameras=cameras(5), step=lambda *at: told.append(at), **ASKED), atol=1e-4
    )
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_step_may_stop_it(model: NovelViews, picture: np.ndarray) -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        model.views(picture, cameras=cameras(), step=stop, **ASKED)


def test_guidance_moves_away_from_what_is_told_of_nothing(model: NovelViews, picture: np.ndarray) -> None:
    encoded = model.encode(picture, 0.2)
    conditions = model.conditions(encoded, encoded.window, 0.2, 0.4, cameras())
    noisy, time = torch.randn(3, 4, 64, 64, generator=torch.Generator().manual_seed(0)), torch.full((3,), 0.7)
    told = model.network(noisy, time, conditions)
    free = model.network(noisy, time, model.network.of_nothing(3))
    guided = model.denoiser(conditions, 2.5)(noisy, time)
    torch.testing.assert_close(guided, free + 2.5 * (told - free), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.denoiser(conditions, 1)(noisy, time), told)


def test_the_window_that_is_given_is_used(model: NovelViews, picture: np.ndarray) -> None:
    inferred = model.window(picture, 0.2)
    assert len(inferred) == 3 and 0.3 < inferred[2] < 1.5
    with_it = model.views(picture, cameras=cameras(), window=inferred, **ASKED)
    np.testing.assert_allclose(with_it, model.views(picture, cameras=cameras(), **ASKED), atol=1e-4)
    other = model.views(picture, cameras=cameras(), window=(0.0, 0.0, 0.4), **ASKED)
    assert np.abs(with_it - other).max() > 0.01
    measured = tuple(np.array(inferred))  # float64, as cameras have it
    np.testing.assert_allclose(model.views(picture, cameras=cameras(), window=measured, **ASKED), with_it, atol=1e-4)


def test_sentences_and_nothing_are_conditions_as_well(model: NovelViews) -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(2, 384, generator=torch.Generator().manual_seed(0)), dim=1)
    told = model.network.of_sentences(embeddings, cameras(2))
    both = ViewConditions.joined([told, model.network.of_nothing(1)])
    assert len(both) == 3 and len(both.of(torch.tensor([2, 0]))) == 2
    answers = model.network(torch.zeros(3, 4, 64, 64), torch.full((3,), 0.5), both)
    assert answers.shape == (3, 4, 64, 64)
    assert (answers[0] - answers[1]).abs().max() > 1e-4, "the sentences differ"


def test_alpha_survives_the_way_through_white() -> None:
    generator = np.random.default_rng(0)
    picture = generator.uniform(0.05, 1, (1, 64, 64, 4)).astype(np.float32)
    back = straight_alpha(as_network_images(torch.from_numpy(picture)))
    np.testing.assert_allclose(back, picture, atol=2e-5)
    clear = straight_alpha(as_network_images(torch.zeros(1, 64, 64, 4)))
    assert not clear.any()


def test_a_picture_of_another_shape_is_refused(model: NovelViews) -> None:
    for shape in ((64, 64, 3), (64, 32, 4)):
        with pytest.raises(InputError, match="square with four channels"):
            model.views(np.zeros(shape, np.float32), cameras=cameras(), **ASKED)


def test_weights_that_are_not_there_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"view_diffusion\.safetensors are missing"):
        NovelViews.load(folder=tmp_path)


def test_the_plain_mean_comes_back_from_that_in_which_the_object_weighs_more():
    generator = torch.Generator().manual_seed(0)
    opacity = (torch.rand(64, 1, 8, 8, generator=generator) < torch.rand(1, 1, 8, 8, generator=generator)).float()
    colors = torch.rand(64, 3, 8, 8, generator=generator)
    images = torch.cat([colors * opacity + 1 - opacity, opacity], dim=1) * 2 - 1
    weight = BACKGROUND_WEIGHT + opacity
    weighted = (weight * images).sum(dim=0, keepdim=True) / weight.sum(dim=0, keepdim=True)
    torch.testing.assert_close(unemphasised(weighted), images.mean(dim=0, keepdim=True), atol=1e-5, rtol=0)
