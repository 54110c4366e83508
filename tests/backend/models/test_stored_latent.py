from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backend.errors import InputError, MachineError
from backend.models.stored_latent import load_latent, save_latent

WEIGHTS = {"shape_autoencoder.safetensors": "a" * 64}


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(4, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_latent_comes_back_as_it_was(tmp_path: Path, latent: torch.Tensor) -> None:
    path = tmp_path / "a chair, größer.safetensors"
    save_latent(path, latent.transpose(1, 3).requires_grad_(), WEIGHTS)  # neither contiguous nor detached
    back = load_latent(path, WEIGHTS)
    assert back.dtype == torch.float32 and torch.equal(back, latent.transpose(1, 3))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_latent_of_other_weights_is_refused(tmp_path: Path, latent: torch.Tensor) -> None:
    path = tmp_path / "latent.safetensors"
    save_latent(path, latent, WEIGHTS)
    with pytest.raises(InputError, match=r"made with other weights .* encode the mesh again"):
        load_latent(path, {"shape_autoencoder.safetensors": "b" * 64})


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "no metadata", "no latent", "folder"])
def test_a_file_that_is_no_latent_is_refused(kind: str, tmp_path: Path, latent: torch.Tensor) -> None:
    path = tmp_path / "latent.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "no metadata":
        save_file({"latent": latent}, path)
    elif kind == "no latent":
        save_file({"other": latent}, path, {"weights": "{}"})
    else:
        save_latent(path, latent, WEIGHTS)
        path.write_bytes({"text": b"a chair", "empty": b"", "cut": path.read_bytes()[:-100]}[kind])
    with pytest.raises(InputError, match="is not a latent file of Gen3D"):
        load_latent(path, WEIGHTS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.safetensors does not exist"):
        load_latent(tmp_path / "nowhere.safetensors", WEIGHTS)


def test_a_disk_that_cannot_take_it_leaves_the_old_file_whole(
    tmp_path: Path, latent: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latent.safetensors"
    save_latent(path, latent, WEIGHTS)

    def full(target: Path, content: bytes) -> None:
        with target.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(MachineError, match=r"cannot be written .*No space left"):
            save_latent(path, latent + 1, WEIGHTS)
    assert torch.equal(load_latent(path, WEIGHTS), latent)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, latent: torch.Tensor) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in ("missing", "file"):
        with pytest.raises(MachineError, match="cannot be written"):
            save_latent(tmp_path / folder / "latent.safetensors", latent, WEIGHTS)
