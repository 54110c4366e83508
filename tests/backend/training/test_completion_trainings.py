"""The trainings of completion's other methods, tiny, from a data set to weights that complete."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend.data.holdout import held_out
from backend.data.packing import open_packed, pack
from backend.errors import InputError
from backend.models.code_prior import CodePriorConfig
from backend.models.placements import HALF_EXTENT, SCAN_SCALE
from backend.models.pointr import PoinTr, PoinTrConfig
from backend.models.shape_codes import TOKENS, ShapeCodesConfig
from backend.training import code_prior, loop, point_completion, shape_codes
from backend.training.loop import Schedule
from backend.training.point_completion import INPUT_POINTS, WHOLE_POINTS, CloudSampler

OBJECTS = 12
POINTR = PoinTrConfig(
    width=16,
    heads=2,
    encoder_blocks=1,
    decoder_blocks=1,
    queries=16,
    fold=2,
    centers=(64, 16),
    global_width=16,
    fold_width=8,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of twelve boxes of one class, of which one is held out."""
    path = tmp_path_factory.mktemp("data") / "boxes.zip"
    cube = trimesh.creation.box((2, 2, 2))
    records = []
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(OBJECTS):
            vertices = cube.vertices * [0.9, 0.3 + 0.04 * index, 0.6]
            content = io.BytesIO()
            arrays = {
                "vertices": np.round((vertices + 1) / 2 * 65535).astype(np.uint16),
                "faces": cube.faces.astype(np.uint16),
                "face_rgb": np.full((len(cube.faces), 3), 120, np.uint8),
            }
            np.savez(content, **arrays)
            archive.writestr(f"b{index}.npz", content.getvalue())
            named = {"id": f"b{index}", "name": "Box", "caption": "a box", "tags": [], "class": "storage"}
            records.append({**named, "category": "Tests", "size_m": None, "watertight": True})
        archive.writestr("meta.json", json.dumps(records))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A folder in which the data are packed."""
    out = tmp_path_factory.mktemp("runs")
    pack(data, out / "packed_boxes", processes=1)
    return out


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configurations that end after three steps: the clock goes on by a third of the budget at every look."""
    schedule = Schedule(minutes=1, batch_size=2, learning_rate=1e-3, warmup_steps=1)
    codes = ShapeCodesConfig(groups=2, patch_channels=8, widths=(8, 8, 8))
    prior = CodePriorConfig(groups=2, width=16, heads=2, blocks=1)
    monkeypatch.setitem(point_completion.CONFIGURATIONS, "tiny", (POINTR, schedule))
    monkeypatch.setitem(shape_codes.CONFIGURATIONS, "tiny", (codes, schedule))
    monkeypatch.setitem(code_prior.CONFIGURATIONS, "tiny", (prior, schedule))
    seconds = iter(range(0, 100_000, 20))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(seconds)))


def test_the_trainings_make_weights_with_cards(tiny: None, data: Path, runs: Path, tmp_path: Path, capsys) -> None:
    arguments = ["--data", str(data), "--out", str(runs), "--weights", str(tmp_path), "--configuration", "tiny"]
    for training in (point_completion, shape_codes, code_prior):
        training.main(arguments)
        assert "3 steps" in capsys.readouterr().out
    names = {"point_completion", "shape_codes", "code_prior"}
    files = {f"{name}{suffix}" for name in names for suffix in (".safetensors", ".md")} | {"sha256.json"}
    assert {path.name for path in tmp_path.iterdir()} == files
    for name in names:
        card = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        assert "Configuration `tiny`" in card and "12 objects" in card and "Measured on 1 objects" in card
        assert (runs / name / "progress.png").is_file()


@pytest.mark.parametrize("training", [point_completion, shape_codes, code_prior])
def test_too_few_objects_are_refused(training, tiny: None, write_archive, tmp_path: Path) -> None:
    source = write_archive(tmp_path / "three.zip")
    with pytest.raises(InputError, match="too few objects"):
        training.main(["--data", str(source), "--out", str(tmp_path / "runs"), "--configuration", "tiny"])


def test_clouds_are_parts_of_their_wholes_in_the_frame_of_the_method(runs: Path) -> None:
    packed = open_packed(runs / "packed_boxes")
    batch = CloudSampler(packed, torch.device("cpu"))(np.random.default_rng(0), 24)
    assert batch.parts.shape == (24, INPUT_POINTS, 3) and batch.wholes.shape == (24, WHOLE_POINTS, 3)
    nearest = torch.cdist(batch.parts, batch.wholes).amin(2)
    assert nearest.max() < 0.2, "every point of a part lies on its whole"
    sizes = batch.parts.amax(1) - batch.parts.amin(1)
    framed = np.isclose(sizes.amax(1), 2 * HALF_EXTENT * SCAN_SCALE, atol=1e-2)
    assert framed.any() and (batch.wholes.abs().amax((1, 2))[~framed] <= HALF_EXTENT + 1e-3).all()
    again = CloudSampler(packed, torch.device("cpu"))(np.random.default_rng(0), 24)
    assert torch.equal(again.parts, batch.parts)


def test_what_is_held_out_is_never_drawn(runs: Path) -> None:
    packed = open_packed(runs / "packed_boxes")
    sampler = CloudSampler(packed, torch.device("cpu"))
    (unseen,) = np.flatnonzero(held_out(packed.records))
    assert np.diff(sampler.cumulative, prepend=0)[unseen] == 0
    assert np.diff(sampler.cumulative, prepend=0).min(initial=1, where=np.arange(OBJECTS) != unseen) > 0


def test_the_model_is_scored_with_what_was_given(runs: Path) -> None:
    torch.manual_seed(0)
    packed = open_packed(runs / "packed_boxes")
    batch = CloudSampler(packed, torch.device("cpu"))(np.random.default_rng(0), 2)
    losses = point_completion.losses_of(PoinTr(POINTR), batch)
    assert set(losses) == {"coarse", "fine"} and all(0 < loss < 0.5 for loss in losses.values())


def test_known_codes_and_a_random_share_of_the_others_are_given(runs: Path) -> None:
    packed = open_packed(runs / "packed_boxes")
    codes = torch.arange(OBJECTS)[:, None, None, None].expand(OBJECTS, code_prior.VIEWS, TOKENS, 2).short()
    matrices = np.tile(np.eye(3, dtype=np.float32), (OBJECTS, code_prior.VIEWS, 1, 1))
    sampler = code_prior.CodeSampler(packed, codes, matrices, ~held_out(packed.records), torch.device("cpu"))
    known = sampler.known(np.random.default_rng(0), 64)
    drawn = sampler(np.random.default_rng(0), 64)
    assert (drawn.given | ~known.given).all() and drawn.given.sum() > known.given.sum()
    assert (~drawn.given).any(1).all() and (known.given.sum(1) == 0).any()
    assert torch.equal(drawn.codes[:, 0, 0], drawn.codes[:, -1, -1])
