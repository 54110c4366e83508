"""The view model's training, tiny: what a batch holds, what its losses teach, and the script from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from backend.data.distance_packing import pack_distance_grids
from backend.data.orbit_packing import OrbitViews, pack_orbits
from backend.kernels.volume_rendering import CHANNELS
from backend.models.novel_views import NovelViews
from backend.models.text_encoder import TextEncoder
from backend.models.view_diffusion import ViewDiffusion, ViewDiffusionConfig
from backend.models.view_volume import EncodedPicture, composite
from backend.representations.cameras import Cameras
from backend.training import loop, view_diffusion
from backend.training.loop import Schedule
from backend.training.view_diffusion import VIEWS_OF_PICTURE, ViewSampler, describe, losses_of
from backend.training.view_occupancy import CELL_DEPTH, occupancy_loss
from backend.training.view_samples import as_images

TINY = ViewDiffusionConfig(encoder=(8, 32, 32), denoiser=(8, 32, 32), vector=16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory, write_archive) -> OrbitViews:
    folder = tmp_path_factory.mktemp("views")
    return pack_orbits(write_archive(folder / "tiny.zip"), folder / "packed", processes=1)


@pytest.fixture(scope="module")
def sampler(views: OrbitViews, tmp_path_factory: pytest.TempPathFactory, write_archive) -> ViewSampler:
    folder = tmp_path_factory.mktemp("sentences")
    grids = pack_distance_grids(write_archive(folder / "tiny.zip"), folder / "packed", processes=1)
    return ViewSampler(views, grids, *describe(views, TextEncoder(), folder / "sentences.pt"), CPU)


def test_a_mirrored_batch_is_the_mirrored_object(sampler: ViewSampler, views: OrbitViews) -> None:
    batch = sampler(np.random.default_rng(0), 16)
    assert batch.pictures.shape == (16, 4, 64, 64) and batch.views.shape == (16 * VIEWS_OF_PICTURE, 4, 64, 64)
    pool = as_images(views.inputs.reshape(-1, 64, 64, 4))
    angles, windows = views.input_angles.reshape(-1, 2), views.windows.reshape(-1, 3)
    targets, target_angles = as_images(views.targets.reshape(-1, 64, 64, 4)), views.target_angles.reshape(-1, 2)
    mirrored = 0
    for index in range(16):
        plain = (pool - batch.pictures[index]).abs().amax(dim=(1, 2, 3))
        turned = (pool.flip(3) - batch.pictures[index]).abs().amax(dim=(1, 2, 3))
        sign = 1 if plain.min() <= turned.min() else -1
        mirrored += sign < 0
        found = int((plain if sign > 0 else turned).argmin())
        assert min(plain.min(), turned.min()) == 0
        assert batch.elevation[index] == angles[found, 1]
        assert batch.windows[index, 0].item() == pytest.approx(sign * windows[found, 0])
        assert batch.windows[index, 2].item() == pytest.approx(np.log(windows[found, 2]))
        view = index * VIEWS_OF_PICTURE
        same = ((targets if sign > 0 else targets.flip(3)) - batch.views[view]).abs().amax(dim=(1, 2, 3)).argmin()
        turn = sign * (target_angles[same, 0] - angles[found, 0])
        assert batch.cameras.azimuth[view].item() == pytest.approx(turn, abs=1e-5)
    assert 0 < mirrored < 16


def test_the_taken_cells_look_like_the_object_from_every_side(sampler: ViewSampler) -> None:
    """Also where pictures are mirrored: half of them are."""
    batch = sampler(np.random.default_rng(0), 16)
    volume = torch.zeros(*batch.taken.shape, CHANNELS)
    outline = functional.avg_pool2d(batch.views[:, 3], 2) > 0
    overlaps = []
    for taken in (batch.taken, batch.taken.flip(3)):
        volume[..., 0] = 60.0 * taken
        encoded = EncodedPicture(volume, batch.windows, torch.zeros(1), torch.zeros(1))
        seen = composite(encoded, batch.windows, batch.elevation, batch.cameras)[:, 0] > 0.5
        overlaps.append((seen & outline).sum((1, 2)) / (seen | outline).sum((1, 2)))
    right, mirrored = overlaps
    assert right.mean() > 0.7 and (right > 0.5).float().mean() > 0.9, right
    assert mirrored.mean() < right.mean() - 0.1, mirrored


def test_opacity_as_taken_costs_least() -> None:
    taken = torch.rand(2, 4, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    right, wrong = torch.where(taken, 1e3, 0.0), torch.where(taken, 0.0, 1e3)
    assert occupancy_loss(right, taken) < 1e-6 < 1 < occupancy_loss(wrong, taken)
    density = torch.full(taken.shape, 1.7)
    opacity = -torch.expm1(-density.double() * CELL_DEPTH)
    wanted = functional.binary_cross_entropy(opacity, taken.double())
    torch.testing.assert_close(occupancy_loss(density, taken).double(), wanted)


def test_a_few_steps_lower_every_loss(sampler: ViewSampler) -> None:
    torch.manual_seed(0)
    model = ViewDiffusion(TINY)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    batch = sampler(np.random.default_rng(1), 4)
    history = []
    for _ in range(25):
        torch.manual_seed(1)
        losses = losses_of(model, batch)
        torch.stack(list(losses.values())).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters()), "everything takes part"
        optimizer.step()
        optimizer.zero_grad()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name, first in history[0].items():
        assert history[-1][name] < first, name


def test_the_script_makes_a_model_that_is_loaded(
    write_archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = Schedule(minutes=1, batch_size=2, learning_rate=1e-3, warmup_steps=1)
    monkeypatch.setitem(view_diffusion.CONFIGURATIONS, "tiny", (TINY, schedule))
    seconds = iter(range(0, 100_000, 20))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(seconds)))
    weights = tmp_path / "weights"
    weights.mkdir()
    arguments = ["--data", str(write_archive(tmp_path / "tiny.zip")), "--out", str(tmp_path / "runs")]
    view_diffusion.main([*arguments, "--weights", str(weights), "--configuration", "tiny"])
    assert {path.name for path in weights.iterdir()} == {
        "view_diffusion.safetensors",
        "view_diffusion.md",
        "sha256.json",
    }
    assert "3 objects" in (weights / "view_diffusion.md").read_text()
    assert "3 steps" in capsys.readouterr().out
    cameras = Cameras.framing(torch.zeros(1), torch.zeros(1))
    picture = np.ones((64, 64, 4), np.float32)
    made = NovelViews.load(folder=weights).views(picture, elevation=0.0, azimuth=0.0, cameras=cameras, seed=0)
    assert made.shape == (1, 64, 64, 4) and np.isfinite(made).all()
