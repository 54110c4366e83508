from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.errors import MachineError
from backend.weights.bundled import expected_hashes, load_weights, save_weights, sha256

NAME = "tiny.safetensors"
CONFIG = {"width": 3, "names": ["a", "b"]}


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "matrix": torch.randn(4, 3, generator=generator),
        "grid": torch.randn(2, 3, 4, 4, 4, generator=generator).to(memory_format=torch.channels_last_3d),
        "count": torch.tensor(7),
    }


@pytest.fixture
def folder(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    save_weights(NAME, state, CONFIG, tmp_path)
    return tmp_path


def test_weights_come_back_in_single_precision(folder: Path, state: dict[str, torch.Tensor]) -> None:
    back, config = load_weights(NAME, folder)
    assert config == CONFIG
    assert set(back) == set(state)
    for name, value in state.items():
        wanted = value.half().float() if value.is_floating_point() else value
        assert back[name].dtype == value.dtype and torch.equal(back[name], wanted)


def test_floats_are_stored_in_half_precision(folder: Path) -> None:
    stored = load_file(folder / NAME)
    assert {name: value.dtype for name, value in stored.items()} == {
        "matrix": torch.float16,
        "grid": torch.float16,
        "count": torch.int64,
    }


def test_hashes_are_recorded_beside_each_other(folder: Path, state: dict[str, torch.Tensor]) -> None:
    save_weights("other.safetensors", state, {}, folder)
    save_weights(NAME, {**state, "matrix": state["matrix"] + 1}, CONFIG, folder)
    recorded = json.loads((folder / "sha256.json").read_text())
    wanted = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (NAME, "other.safetensors")}
    assert recorded == wanted == expected_hashes(folder)
    assert sha256(folder / NAME) == wanted[NAME]
    assert sorted(path.name for path in folder.iterdir()) == ["other.safetensors", "sha256.json", NAME]


def test_the_same_weights_give_the_same_file(folder: Path, state: dict[str, torch.Tensor]) -> None:
    before = (folder / NAME).read_bytes()
    save_weights(NAME, dict(reversed(state.items())), CONFIG, folder)
    assert (folder / NAME).read_bytes() == before


def test_missing_weights_are_named(folder: Path) -> None:
    with pytest.raises(MachineError, match=r"nowhere\.safetensors are missing\. Install the extension again"):
        load_weights("nowhere.safetensors", folder)


@pytest.mark.parametrize("damage", ["cut short", "one bit", "empty", "foreign", "not recorded"])
def test_weights_that_are_not_the_recorded_ones_are_refused(damage: str, folder: Path) -> None:
    path = folder / NAME
    content = bytearray(path.read_bytes())
    if damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "one bit":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"PK\x03\x04 a zip")
    else:
        (folder / "sha256.json").unlink()
    with pytest.raises(MachineError, match=r"are damaged: their SHA-256 is not the recorded one\. Install"):
        load_weights(NAME, folder)


def test_weights_can_be_read_by_whom_other_files_can(folder: Path) -> None:
    (folder / "plain").write_bytes(b"")
    assert (folder / NAME).stat().st_mode == (folder / "plain").stat().st_mode


@pytest.mark.parametrize("content", [b"no safetensors at all", None])
def test_a_recorded_file_that_is_no_weights_file_is_refused(content: bytes | None, folder: Path) -> None:
    path = folder / NAME
    if content is None:
        save_file({"matrix": torch.zeros(2)}, path)  # whole, but without the configuration
    else:
        path.write_bytes(content)
    (folder / "sha256.json").write_text(json.dumps({NAME: sha256(path)}))
    with pytest.raises(MachineError, match="cannot be read"):
        load_weights(NAME, folder)


def test_a_damaged_record_of_hashes_is_told(folder: Path) -> None:
    (folder / "sha256.json").write_text('{"tiny.safetensors": "12')
    with pytest.raises(MachineError, match="hashes of the bundled weights cannot be read"):
        load_weights(NAME, folder)


def test_a_cut_off_save_leaves_the_old_weights_whole(
    folder: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            save_weights(NAME, {**state, "matrix": state["matrix"] + 1}, CONFIG, folder)
    assert torch.equal(load_weights(NAME, folder)[0]["matrix"], state["matrix"].half().float())


def test_large_matrices_can_be_stored_in_bytes(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    rows = torch.randn(300, 256, generator=torch.Generator().manual_seed(1)) * torch.logspace(-4, 2, 300)[:, None]
    rows[7] = 0
    save_weights(NAME, {**state, "rows": rows}, CONFIG, tmp_path, matrices_in_bytes=True)
    assert load_file(tmp_path / NAME)["rows"].dtype == torch.int8
    assert (tmp_path / NAME).stat().st_size < 1.2 * rows.numel()
    back, config = load_weights(NAME, tmp_path)
    assert config == CONFIG and set(back) == {*state, "rows"}
    assert torch.equal(back["matrix"], state["matrix"].half().float()), "small ones keep half precision"
    step = rows.abs().amax(dim=1, keepdim=True) / 127
    assert ((back["rows"] - rows).abs() <= 0.51 * step + 1e-12).all(), "each row to half a step of its own"
