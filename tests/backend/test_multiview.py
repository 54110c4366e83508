"""Multi-view and score distillation, with a view model too small to know anything: that all parts meet, that what is
shown, stopped and kept is what there is. How good fits are is the business of the radiance field's own tests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backend.data.cut_out import FILLED
from backend.errors import Cancelled, InputError, MachineError
from backend.meshing.mesh_from_field import coarse_mesh
from backend.meshing.validity import is_watertight
from backend.models import zero123
from backend.models.novel_views import NovelViews
from backend.models.stable_diffusion import StableDiffusion
from backend.models.view_diffusion import ViewDiffusion, ViewDiffusionConfig
from backend.recipe import BUNDLED, Recipe
from backend.representations.cameras import RADIUS, Cameras
from backend.representations.mesh_rendering import Window, render_mesh, silhouette_window
from backend.tasks import image_to_3d, run, text_distillation
from backend.tasks.diffusion_models import (
    BundledPictureModel,
    BundledViewModel,
    PublishedPictureModel,
    PublishedViewModel,
)
from backend.tasks.framing import framed
from backend.tasks.loaded_models import picture_model as picture_model_named
from backend.tasks.loaded_models import view_model as view_model_named
from backend.tasks.multiview import PICTURE_WEIGHT, all_views, other_sides
from backend.tasks.picture_pose import Pose
from tests.backend.models.published_layout import write_stable_diffusion, zero123_state

HALF = torch.tensor([0.5, 0.3, 0.85])
WEIGHTS = {"views.safetensors": "b" * 64}


class Box:
    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        beyond = points.abs() - HALF
        return beyond.clamp(min=0).norm(dim=1) + beyond.max(dim=1).values.clamp(max=0)

    def color(self, points: torch.Tensor) -> torch.Tensor:
        return torch.full_like(points, 0.4)


class NoOpinion:
    weights = {"sides.safetensors": "c" * 64}  # noqa: RUF012

    def views(self, picture, *, elevation, azimuth, cameras, seed):
        return np.full((len(cameras), 64, 64, 4), 0.5, np.float32)


class BoxSpace:
    weights = {"prior.safetensors": "a" * 64}  # noqa: RUF012

    def candidates(self, prompt=None, *, count, seed, steps, guidance_scale, image, step):
        return torch.zeros(count, 1)

    def sample(self, prompt, *, seed, steps, guidance_scale, step=None):
        return torch.zeros(1)

    def field(self, latent: torch.Tensor) -> Box:
        return Box()


@pytest.fixture(scope="module")
def novel_views() -> NovelViews:
    torch.manual_seed(0)
    network = ViewDiffusion(ViewDiffusionConfig(encoder=(16, 16, 32), denoiser=(16, 16, 32), vector=32))
    return NovelViews(network.eval().requires_grad_(False), WEIGHTS)


@pytest.fixture
def view_model(novel_views: NovelViews) -> BundledViewModel:
    return BundledViewModel(novel_views)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    mesh = coarse_mesh(Box(), 28)
    assert mesh is not None
    camera = Cameras.framing(torch.tensor([0.4]), torch.tensor([0.3]))
    pixels = render_mesh(mesh, camera, size=64, window=silhouette_window(mesh.vertices, camera, filled=FILLED))
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / "box.png")
    return tmp_path / "box.png"


def _recipe(picture: Path, **values) -> Recipe:
    values = {"detail": 32, "face_count": 500, "steps": 1, "candidates": 1, "iterations": 10, "view_count": 4} | values
    return Recipe.create("image_to_3d", "multiview", picture=str(picture), **values)


def _made(recipe: Recipe, view_model: BundledViewModel, **options):
    return image_to_3d.run(
        recipe, load_shape_space=BoxSpace, load_sides=NoOpinion, load_view_model=lambda: view_model, **options
    )


def test_the_box_is_fitted_watched_and_its_views_are_kept(picture, view_model, monkeypatch):
    monkeypatch.setattr("backend.tasks.watched_fit.GLIMPSE_SECONDS", 0.0)
    monkeypatch.setattr("backend.tasks.watched_fit.PREVIEW_SECONDS", 0.0)
    heard: list[tuple[str, float]] = []
    shown: list[tuple[np.ndarray, str, float]] = []
    previews = []
    result = _made(
        _recipe(picture, keep_views=True),
        view_model,
        progress=lambda *given: heard.append(given),
        glimpse=lambda *given: shown.append(given),
        preview=previews.append,
    )
    assert is_watertight(result.mesh.faces)
    assert result.recipe.weights == BoxSpace.weights | NoOpinion.weights | WEIGHTS
    assert list(dict.fromkeys(stage for stage, _ in heard))[:3] == ["Loading", "Sampling", "Fitting"]
    assert [fraction for stage, fraction in heard if stage == "Fitting"] == pytest.approx(np.arange(1, 11) / 10)
    assert result.views is not None and result.views.shape == (4, 64, 64, 4)
    assert [caption for _, caption, _ in shown][1:] == [f"Step {step} of 10" for step in range(1, 11)]
    assert all(picture.dtype == np.uint8 for picture, _, _ in shown) and math.isfinite(shown[-1][2])
    assert len(previews) > 5 and np.ptp(previews[-1].vertices, axis=0).max() == pytest.approx(1, abs=1e-5)


def test_mesh_steps_move_the_vertices_and_keep_the_mesh_closed(picture, view_model):
    plain, moved = (_made(_recipe(picture, mesh_steps=steps), view_model).mesh for steps in (0, 3))
    np.testing.assert_array_equal(plain.faces, moved.faces)
    assert is_watertight(moved.faces)
    apart = np.linalg.norm(plain.vertices - moved.vertices, axis=1)
    assert 0 < apart.max() < 0.2


def test_stop_and_keep_ends_the_fit_and_cancel_the_job(picture, view_model):
    heard: list[str] = []
    result = _made(_recipe(picture), view_model, progress=lambda stage, _: heard.append(stage), enough=lambda: True)
    assert "Fitting" not in heard and "Texturing" in heard
    assert result.views is None
    with pytest.raises(Cancelled):
        _made(_recipe(picture), view_model, cancelled=lambda: True)


def test_absent_weights_are_a_sentence(picture):
    def absent() -> BundledViewModel:
        raise MachineError("The weights are not there: install them.")

    with pytest.raises(MachineError, match="not there"):
        image_to_3d.run(_recipe(picture), load_shape_space=BoxSpace, load_sides=NoOpinion, load_view_model=absent)


def test_a_published_view_model_takes_the_bundled_ones_place(picture, monkeypatch):
    monkeypatch.setattr(zero123, "STEPS", 2)
    model = zero123.Zero123.from_state(zero123_state(), "zero123-xl", device="cpu", saving="none", weights=WEIGHTS)
    recipe = _recipe(picture, view_model="zero123-xl", keep_views=True)
    result = _made(recipe, PublishedViewModel(model))
    assert is_watertight(result.mesh.faces)
    assert result.views is not None and result.views.shape == (4, 256, 256, 4)
    assert result.recipe.weights == BoxSpace.weights | NoOpinion.weights | WEIGHTS


def test_a_published_text_prior_takes_the_bundled_ones_place(tmp_path):
    write_stable_diffusion(tmp_path)
    model = StableDiffusion.load(tmp_path, device="cpu", saving="none", weights=WEIGHTS)
    recipe = Recipe.create("text_to_3d", "sds", prompt="a mug", iterations=10, detail=32, face_count=500)
    result = text_distillation.run(
        recipe, load_shape_space=BoxSpace, load_picture_model=lambda: PublishedPictureModel(model)
    )
    assert is_watertight(result.mesh.faces) and result.recipe.weights == BoxSpace.weights | WEIGHTS


def test_models_that_are_not_there_are_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN3D_MODELS", str(tmp_path))
    with pytest.raises(MachineError, match="download zero123-xl"):
        view_model_named("cpu", "zero123-xl")
    with pytest.raises(MachineError, match=r"download stable-diffusion-1\.5"):
        picture_model_named("cpu", "stable-diffusion-1.5")
    with pytest.raises(InputError, match="There is no checkpoint"):
        view_model_named("cpu", "zero123-xl", str(tmp_path / "missing.ckpt"))
    with pytest.raises(InputError, match="no bundled view model"):
        view_model_named("cpu", BUNDLED, str(tmp_path))


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        RuntimeError("unable to mmap 15465973531 bytes from file <zero123-xl.ckpt>: Cannot allocate memory (12)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        OSError(12, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    ],
    ids=["Python", "file", "CPU", "system", "GPU"],
)
def test_a_model_that_is_too_large_is_not_taken_for_a_damaged_one(tmp_path, monkeypatch, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("backend.models.zero123.unet_config", fail)
    with pytest.raises(type(failure)):
        zero123.Zero123.from_state(zero123_state(), "zero123-xl", device="cpu", saving="none", weights={})
    (tmp_path / "zero123.ckpt").write_bytes(b"much")
    monkeypatch.setattr("torch.serialization.get_unsafe_globals_in_checkpoint", fail)
    with pytest.raises(type(failure)):
        view_model_named("cpu", "zero123-xl", str(tmp_path / "zero123.ckpt"))
    write_stable_diffusion(tmp_path)
    monkeypatch.setattr("transformers.CLIPTextModel.from_pretrained", fail)
    recipe = Recipe.create(
        "text_to_3d",
        "sds",
        prompt="a mug",
        text_prior="stable-diffusion-2.1",
        saving="half precision",
        checkpoint=str(tmp_path),
    )
    with pytest.raises(
        MachineError, match=r"save that of stable-diffusion-2\.1 in another way than 'half precision', lower"
    ):
        run(recipe, device="cpu")


def test_a_picture_in_the_standard_framing_is_where_it_was_cut_out():
    mesh = coarse_mesh(Box(), 28)
    assert mesh is not None
    camera = Cameras.framing(torch.tensor([0.4]), torch.tensor([0.3]))
    window = silhouette_window(mesh.vertices, camera, filled=FILLED)
    placed = framed(render_mesh(mesh, camera, size=256, window=window), window, 64)
    whole = render_mesh(mesh, camera, size=64)
    assert placed.shape == (64, 64, 4) and placed.dtype == np.float32
    differs = np.abs(placed[..., 3] - whole[..., 3]) > 0.5
    assert differs.mean() < 0.01
    both = (placed[..., 3] > 0.99) & (whole[..., 3] > 0.99)
    assert np.abs(placed - whole)[both].mean() < 0.02


def test_other_sides_leave_the_pictured_one_out_and_the_picture_counts_most():
    pose = Pose(0.4, 0.3, Window(0.0, 0.0, 0.7), 1.0)
    cameras = other_sides(pose, 5)
    turns = np.sort((cameras.azimuth.numpy() - 0.4) % (2 * np.pi))
    assert turns == pytest.approx(np.arange(1, 6) * np.pi / 3, abs=1e-5)
    assert torch.allclose(cameras.radius, torch.full((5,), RADIUS))
    views = all_views(np.ones((8, 8, 4), np.float32), pose, np.zeros((5, 64, 64, 4), np.float32), cameras)
    assert views.weights.tolist() == [PICTURE_WEIGHT, 1, 1, 1, 1, 1]
    assert float(views.cameras.azimuth[0]) == pytest.approx(0.4)


def test_what_may_be_there_or_not_does_not_count_and_what_is_certain_does():
    alphas = np.array([0.0, 0.05, 0.2, 0.35, 0.5, 0.7, 1.0], np.float32)
    pose = Pose(0.4, 0.3, Window(0.0, 0.0, 0.7), 1.0)
    pictures = np.broadcast_to(alphas[:, None, None, None], (7, 64, 64, 4)).copy()
    views = all_views(np.ones((8, 8, 4), np.float32), pose, pictures, other_sides(pose, 7))
    assert views.certainty is not None and bool((views.certainty[0] == 1).all())
    assert views.certainty[1:, 64, 64].numpy() == pytest.approx([1, 2 / 3, 0, 0, 1 / 3, 1, 1], abs=1e-5)
    assert views.pictures[1:, 64, 64, 3].numpy() == pytest.approx([0, 0, 0, 0.125, 0.5, 1, 1], abs=1e-5)


@pytest.mark.parametrize("start", ["latent prior", "ball"])
def test_score_distillation_makes_a_mesh_of_a_prompt(novel_views, start):
    recipe = Recipe.create("text_to_3d", "sds", prompt="a mug", iterations=10, detail=32, face_count=500, start=start)
    model = BundledPictureModel(novel_views)
    result = text_distillation.run(recipe, load_shape_space=BoxSpace, load_picture_model=lambda: model)
    assert is_watertight(result.mesh.faces)
    expected = WEIGHTS | (BoxSpace.weights if start == "latent prior" else {})
    assert result.recipe.weights == expected
    size = np.ptp(result.mesh.vertices, axis=0).max() * result.transform[0, 0]
    assert size == pytest.approx(0.1, rel=1e-4)
