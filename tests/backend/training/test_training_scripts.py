"""Both scripts from end to end, tiny: data set in, weights with cards out, and a shape space that samples."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from backend.errors import InputError, MachineError
from backend.models.latent_prior import LatentPriorConfig
from backend.models.shape_autoencoder import ShapeAutoencoderConfig
from backend.models.shape_space import ShapeSpace
from backend.training import latent_prior, loop, shape_autoencoder, shape_space
from backend.training.loop import Schedule
from backend.weights.bundled import AUTOENCODER as AUTOENCODER_FILE
from backend.weights.bundled import PRIOR as PRIOR_FILE
from backend.weights.bundled import load_weights

STEPS = 3
AUTOENCODER = ShapeAutoencoderConfig(
    latent_channels=4,
    patch_channels=8,
    mid_channels=8,
    latent_width=8,
    coarse_channels=8,
    fine_channels=8,
    hidden_channels=8,
)
PRIOR = LatentPriorConfig(components=6, width=16, hidden=24, blocks=2)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configurations that end after three steps: the clock goes on by a third of the budget at every look."""
    schedule = Schedule(minutes=1, batch_size=2, learning_rate=1e-3, warmup_steps=1)
    monkeypatch.setitem(shape_autoencoder.CONFIGURATIONS, "tiny", (AUTOENCODER, schedule))
    monkeypatch.setitem(latent_prior.CONFIGURATIONS, "tiny", (PRIOR, schedule))
    seconds = iter(range(0, 100_000, 20))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(seconds)))


@pytest.fixture
def arguments(write_archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    weights = tmp_path / "weights"
    weights.mkdir()
    data = write_archive(tmp_path / "tiny.zip")
    own = ["--data", str(data), "--out", str(tmp_path / "runs"), "--weights", str(weights), "--configuration", "tiny"]
    return own


def test_both_trainings_make_a_shape_space(
    tiny: None, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights"
    shape_space.main([*arguments, "--dev", str(tmp_path / "tiny.zip")])
    names = {"shape_autoencoder", "latent_prior"}
    files = {f"{name}{suffix}" for name in names for suffix in (".safetensors", ".md")} | {"sha256.json"}
    assert {path.name for path in weights.iterdir()} == files
    recorded = json.loads((weights / "sha256.json").read_text())
    assert recorded == {
        f"{name}.safetensors": hashlib.sha256((weights / f"{name}.safetensors").read_bytes()).hexdigest()
        for name in names
    }
    card = (weights / "shape_autoencoder.md").read_text()
    assert "Configuration `tiny`" in card and f"{STEPS} steps" in card and "3 objects" in card
    assert "IoU" in card and "Measured on 3 objects that training did not see" in card
    card = (weights / "latent_prior.md").read_text()
    assert "18 latents of 3 objects" in card and "explain" in card
    assert f"{STEPS} steps" in capsys.readouterr().out

    space = ShapeSpace.load(folder=weights)
    latent = space.sample("a red table", seed=0, steps=2, guidance_scale=2.0)
    assert latent.shape == (4, 8, 8, 8)
    assert torch.isfinite(space.field(latent).signed_distance(torch.zeros(3, 3))).all()


def test_a_prior_begins_anew_for_another_autoencoder(tiny: None, arguments: list[str], tmp_path: Path) -> None:
    dev = ["--dev", str(tmp_path / "tiny.zip")]
    shape_autoencoder.main([*arguments, *dev])
    latent_prior.main(arguments)
    folder = tmp_path / "runs" / "latent_prior"
    first = {path.name for path in folder.iterdir()}
    assert len(first) == 4, "latents, checkpoint, its picture and captions"
    (tmp_path / "runs" / "shape_autoencoder" / "checkpoint.pt").unlink()
    shape_autoencoder.main([*arguments, *dev, "--minutes", "2"])
    latent_prior.main(arguments)
    assert len({path.name for path in folder.iterdir()} - first) == 2


def test_a_longer_budget_goes_on_from_the_checkpoint(tiny: None, arguments: list[str], tmp_path: Path) -> None:
    dev = ["--dev", str(tmp_path / "tiny.zip")]
    checkpoint = tmp_path / "runs" / "shape_autoencoder" / "checkpoint.pt"
    shape_autoencoder.main([*arguments, *dev])
    assert torch.load(checkpoint, weights_only=True)["step"] == STEPS
    shape_autoencoder.main([*arguments, *dev, "--minutes", "2"])
    assert torch.load(checkpoint, weights_only=True)["step"] == 2 * STEPS
    assert "minutes 2.0" in (tmp_path / "weights" / "shape_autoencoder.md").read_text()


def test_weights_can_be_trained_further(tiny: None, arguments: list[str], tmp_path: Path) -> None:
    shape_space.main([*arguments, "--dev", str(tmp_path / "tiny.zip")])
    first = {name: load_weights(name, tmp_path / "weights")[0] for name in (AUTOENCODER_FILE, PRIOR_FILE)}
    out, further = tmp_path / "further", tmp_path / "further_weights"
    further.mkdir()
    own = [*arguments, "--out", str(out), "--weights", str(further), "--start", str(tmp_path / "weights")]
    shape_autoencoder.main([*own, "--dev", str(tmp_path / "tiny.zip"), "--minutes", "0"])
    latent_prior.main([*own, "--minutes", "0"])
    for name, state in first.items():
        again = load_weights(name, further)[0]
        assert all(torch.equal(again[key], value) for key, value in state.items()), "nothing was learned, or forgotten"


def test_too_few_objects_need_others_to_measure_on(tiny: None, arguments: list[str]) -> None:
    with pytest.raises(InputError, match="too few objects to hold any out"):
        shape_autoencoder.main(arguments)


def test_what_is_missing_is_told(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"shape_autoencoder\.safetensors are missing"):
        latent_prior.main(arguments[:-2])
    with pytest.raises(InputError, match="does not exist"):
        shape_autoencoder.main(["--data", str(tmp_path / "none.zip"), "--dev", str(tmp_path / "none.zip")])
