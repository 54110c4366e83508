"""Zero123's published layout: our reading of it answers as the published definition does, also in little memory."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

from backend.errors import InputError, MachineError
from backend.models.latent_diffusion import SAVINGS
from backend.models.zero123 import EncodedView, Zero123
from backend.representations.cameras import Cameras
from tests.backend.models.published_layout import REFERENCE, furthest, inputs, zero123_state

EXACT = 1e-4
CAMERAS = Cameras.framing(torch.tensor([1.2, -1.5]), torch.tensor([0.4, -0.1]))


def _loaded(saving: str = "none", kind="zero123-xl") -> Zero123:
    return Zero123.from_state(zero123_state(), kind, device="cpu", saving=saving, weights={})


@pytest.fixture(scope="module")
def model() -> Zero123:
    return _loaded()


@pytest.fixture(scope="module")
def view(model: Zero123) -> EncodedView:
    return model.encode(inputs()[0], 0.2, 0.5)


def test_every_part_answers_as_the_published_definition(model: Zero123, view: EncodedView) -> None:
    _, noisy = inputs()
    assert furthest(view.embedding, "clip") < EXACT
    assert furthest(view.latent, "latent") < EXACT
    turned = torch.tensor(REFERENCE["cameras"])[:, None]
    context = model.projection(torch.cat([view.embedding.expand(2, -1, -1), turned], dim=-1))
    seen = torch.cat([noisy, view.latent.expand(2, -1, -1, -1)], dim=1)
    with torch.no_grad():
        noise = model.diffusion.unet(seen, torch.tensor([300, 800]), encoder_hidden_states=context).sample
        pictures = model.diffusion.vae.decode(noisy).sample
    assert furthest(noise, "eps") < EXACT
    assert furthest(pictures, "decoded") < EXACT


def test_data_and_noise_that_the_model_tells_make_up_the_noisy_latents(model: Zero123, view: EncodedView) -> None:
    _, noisy = inputs()
    time, cameras = (
        torch.tensor([300, 800]) / 999,
        CAMERAS,
    )
    with torch.no_grad():
        data = model.denoise(noisy, time, view, cameras, 1.0)
        context = model.projection(
            torch.cat([view.embedding.expand(2, -1, -1), model.camera_numbers(view, cameras)[:, None]], dim=-1)
        )
        seen = torch.cat([noisy, view.latent.expand(2, -1, -1, -1)], dim=1)
        noise = model.diffusion.unet(seen, torch.tensor([300, 800]), encoder_hidden_states=context).sample
        signal, deviation = (part[:, None, None, None] for part in model.diffusion.signal_and_noise(time))
        torch.testing.assert_close(signal * data + deviation * noise, noisy, atol=1e-4, rtol=1e-4)
        free = model.diffusion.denoise(noisy, time, torch.zeros_like(context), torch.zeros_like(seen[:, 4:]))
        guided = model.denoise(noisy, time, view, cameras, 3.0)
    torch.testing.assert_close(guided, free + 3 * (data - free))


def test_the_camera_is_told_as_the_model_was_trained(model: Zero123, view: EncodedView) -> None:
    cameras = Cameras.framing(torch.tensor([0.5, 0.5 + math.pi / 2]), torch.tensor([0.2, 0.5]))
    told = model.camera_numbers(view, cameras)
    torch.testing.assert_close(told, torch.tensor([[0.0, 0, 1, 0], [-0.3, 1, 0, 0]]), atol=1e-6, rtol=0)
    stable = _loaded(kind="stable-zero123").camera_numbers(view, cameras)
    torch.testing.assert_close(stable[:, 3], torch.full((2,), math.pi / 2 - 0.2))
    torch.testing.assert_close(stable[:, :3], told[:, :3])


@pytest.mark.parametrize("saving", SAVINGS[1:])
def test_saving_memory_changes_answers_little(model: Zero123, view: EncodedView, saving: str) -> None:
    _, noisy = inputs()
    time, cameras = torch.tensor([0.3, 0.6]), CAMERAS
    saving_model = _loaded(saving)
    with torch.no_grad():
        wanted, found = (one.denoise(noisy, time, view, cameras, 1.0) for one in (model, saving_model))
    assert saving_model.diffusion.unet.dtype == torch.bfloat16
    assert 0 < (found - wanted).abs().max() < 0.1 * wanted.std()


def test_running_averages_are_preferred() -> None:
    state = zero123_state()
    name = "model.diffusion_model.out.2.bias"
    state["model_ema.diffusion_modelout2bias"] = state[name] + 1
    loaded = Zero123.from_state(state, "zero123-xl", device="cpu", saving="none", weights={})
    torch.testing.assert_close(loaded.diffusion.unet.conv_out.bias.data, state[name] + 1)


def test_views_are_pictures_that_the_seed_decides(model: Zero123, view: EncodedView) -> None:
    cameras = Cameras.framing(torch.tensor([1.0]), torch.tensor([0.1]))
    heard: list[tuple[int, int]] = []
    one = model.views(view, cameras, seed=1, steps=2, step=lambda *done: heard.append(done))
    assert one.shape == (1, 3, 256, 256) and one.min() >= 0 and one.max() <= 1
    assert heard == [(1, 2), (2, 2)]
    assert torch.equal(one, model.views(view, cameras, seed=1, steps=2))
    assert not torch.equal(one, model.views(view, cameras, seed=2, steps=2))


def test_the_sampler_finds_what_a_perfect_model_knows(model: Zero123) -> None:
    data = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    found = model.diffusion.sample(torch.randn(1, 4, 8, 8), lambda noisy, time: data, steps=5)
    # At the model's lowest noise, 3 % are left of it.
    assert (found - data).abs().max() < 0.2 and (found - data).abs().mean() < 0.05


class _Callback:
    """Stands for a trainer's class that a published checkpoint mentions."""


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_a_file_is_read_without_running_it(tmp_path: Path, ending: str) -> None:
    state = zero123_state()
    path = tmp_path / f"zero123.{ending}"
    if ending == "ckpt":
        torch.save({"state_dict": state, "callbacks": {_Callback: {"best": _Callback()}}, "epoch": 3}, path)
    else:
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    loaded = Zero123.load(path, "zero123-xl", device="cpu", saving="none", weights={"zero123": "0" * 64})
    assert torch.equal(loaded.projection.weight, state["cc_projection.weight"])
    assert loaded.weights == {"zero123": "0" * 64}


def test_other_files_are_refused(tmp_path: Path) -> None:
    def load(path: Path) -> None:
        Zero123.load(path, "zero123-xl", device="cpu", saving="none", weights={})

    for name, content in {"text.ckpt": b"no checkpoint", "text.safetensors": b"no checkpoint"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="no whole checkpoint"):
            load(tmp_path / name)
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    with pytest.raises(InputError, match="no dictionary of tensors"):
        load(tmp_path / "tensor.ckpt")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not Zero123's"):
        load(tmp_path / "other.ckpt")
    state = zero123_state()
    state["model.diffusion_model.out.2.bias"] = torch.zeros(7)
    torch.save({"state_dict": state}, tmp_path / "changed.ckpt")
    with pytest.raises(InputError, match="not Zero123's"):
        load(tmp_path / "changed.ckpt")


def test_without_its_packages_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MachineError, match=r"requirements/published_models\.txt"):
        Zero123.load(tmp_path / "any.ckpt", "zero123-xl", device="cpu", saving="none", weights={})
