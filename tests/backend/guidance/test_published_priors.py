"""Published models as priors: gradients reach the pictures through the auto-encoder, and prompts and cameras count."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from backend.errors import InputError
from backend.guidance.score_distillation import ScoreDistillation, VariationalScoreDistillation
from backend.guidance.stable_diffusion_prior import SIDES, StableDiffusionPrior, side_of
from backend.guidance.zero123_prior import Zero123Prior
from backend.models.stable_diffusion import StableDiffusion
from backend.models.zero123 import Zero123
from backend.representations.cameras import Cameras
from backend.tasks.diffusion_models import PublishedPictureModel, PublishedViewModel
from tests.backend.models.published_layout import inputs, write_stable_diffusion, zero123_state

CAMERAS = Cameras.framing(torch.tensor([0.1, 2.0]), torch.tensor([0.1, 0.3]))


@pytest.fixture(scope="module")
def zero123() -> Zero123:
    return Zero123.from_state(zero123_state(), "zero123-xl", device="cpu", saving="none", weights={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stable-diffusion")
    write_stable_diffusion(made)
    return made


@pytest.fixture(scope="module")
def stable_diffusion(folder: Path) -> StableDiffusion:
    return StableDiffusion.load(folder, device="cpu", saving="none", weights={})


def test_the_gradient_by_the_pictures_is_that_by_the_latents_through_the_encoder(zero123: Zero123) -> None:
    prior = Zero123Prior(zero123, zero123.encode(inputs()[0], 0.1, 0.0))
    images = torch.rand(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    settings = PublishedViewModel.settings
    step = ScoreDistillation(prior, settings).gradient(images, CAMERAS, torch.Generator().manual_seed(1), 0.5)
    assert step.gradient.shape == images.shape and step.gradient[:, :3].abs().max() > 0
    assert not step.gradient[:, 3].any(), "the published model does not see the opacity"

    generator = torch.Generator().manual_seed(1)
    leaf = images.clone().requires_grad_()
    data = prior.encode(leaf)
    time = settings.draw_time(2, 0.5, generator)
    noise = torch.randn(data.shape, generator=generator)
    signal, deviation = (part[:, None, None, None] for part in prior.signal_and_noise(time))
    with torch.no_grad():
        wanted = prior.denoise(signal * data + deviation * noise, time, CAMERAS, settings.guidance_scale)
        told = signal * deviation * (data - wanted)
        told *= (settings.most / told.flatten(1).norm(dim=1).clamp(min=settings.most))[:, None, None, None]
    (expected,) = torch.autograd.grad(data, leaf, told)
    torch.testing.assert_close(step.gradient, expected)


def test_signal_and_noise_are_the_models_own(zero123: Zero123) -> None:
    signal, deviation = zero123.diffusion.signal_and_noise(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(signal**2 + deviation**2, torch.ones(3))
    # ᾱ of the first, middle and last of 1000 steps, by the definition in float64.
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, dim=0)[[0, 500, 999]]
    torch.testing.assert_close(signal, kept.sqrt().float())


def test_the_side_that_is_seen_is_told_in_words() -> None:
    azimuths = torch.tensor([0.0, 0.7, 1.5, -1.5, 3.1, -3.0, 6.2, 0.0])
    elevations = torch.tensor([0.0] * 7 + [1.3])
    sides = [SIDES[index] for index in side_of(Cameras.framing(azimuths, elevations))]
    front, side, back, overhead = SIDES
    assert sides == [front, front, side, side, back, back, front, overhead]


def test_prompts_and_sides_count(stable_diffusion: StableDiffusion) -> None:
    noisy, time = torch.zeros(2, 4, 8, 8), torch.full((2,), 0.9)
    chair = StableDiffusionPrior(stable_diffusion, "a chair").denoise(noisy, time, CAMERAS, 7.5)
    assert (chair[0] - chair[1]).abs().max() > 1e-4, "front and side"
    tree = StableDiffusionPrior(stable_diffusion, "a tree").denoise(noisy, time, CAMERAS, 7.5)
    assert (chair - tree).abs().max() > 1e-4


def test_a_velocity_is_understood(stable_diffusion: StableDiffusion) -> None:
    diffusion = stable_diffusion.diffusion
    assert diffusion.predicts == "v_prediction" and diffusion.size == 16
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 1, 4, 8, 8, generator=generator)
    time = torch.tensor([0.4])
    signal, deviation = (part[:, None, None, None] for part in diffusion.signal_and_noise(time))

    class Knows:
        dtype = torch.float32

        def __call__(self, *_: object, **__: object) -> object:
            return type("Told", (), {"sample": signal * noise - deviation * data})

    knowing = type(diffusion)(Knows(), diffusion.vae, diffusion.size, "v_prediction")
    found = knowing.denoise(signal * data + deviation * noise, time, torch.zeros(1, 1, 32))
    torch.testing.assert_close(found, data, atol=1e-5, rtol=1e-5)


def test_the_variational_form_learns_with_them_too(stable_diffusion: StableDiffusion) -> None:
    model = PublishedPictureModel(stable_diffusion)
    guidance = VariationalScoreDistillation(model.prior("a chair"), model.settings(1.0))
    images = torch.rand(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert guidance.gradient(images, CAMERAS, generator, 0.5).loss == pytest.approx(0, abs=1e-6)
    assert guidance.gradient(images, CAMERAS, generator, 0.5).loss > 0


@pytest.mark.parametrize(
    "name",
    [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
    ],
)
def test_a_file_that_was_cut_off_is_told_of(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"holds no whole Stable Diffusion \(.+\): fetch it again"):
        StableDiffusion.load(tmp_path, device="cpu", saving="none", weights={})


def test_a_settings_file_of_another_kind_is_told_of(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "scheduler" / "scheduler_config.json").write_text("[]")
    with pytest.raises(InputError, match="no whole Stable Diffusion"):
        StableDiffusion.load(tmp_path, device="cpu", saving="none", weights={})


def test_folders_that_are_not_whole_are_refused(folder: Path, tmp_path: Path) -> None:
    def load() -> None:
        StableDiffusion.load(tmp_path, device="cpu", saving="none", weights={})

    with pytest.raises(InputError, match="no folder 'unet'"):
        load()
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="no whole Stable Diffusion"):
        load()
