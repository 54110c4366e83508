"""What goes into the extension's zip, and what stops it from being written."""

from __future__ import annotations

import ast
import hashlib
import json
import tomllib
import zipfile
from pathlib import Path

import pytest

from build_steps.extension import LOOSE_FILES, check_weights, pack, stage
from build_steps.failure import StepFailed
from build_steps.paths import REPOSITORY


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with all that must and much that must not go into the zip."""
    weights = b"weights" * 100
    content = {
        **{name: name.encode() for name in LOOSE_FILES},
        "gen3d_addon/__init__.py": b"",
        "gen3d_addon/operators/text.py": b"",
        "gen3d_addon/__pycache__/a.cpython-311.pyc": b"",
        "gen3d_addon/.hidden": b"",
        "backend/__init__.py": b"",
        "backend/tests/test_a.py": b"",
        "backend/weights/a.safetensors": weights,
        "backend/weights/b.safetensors.unfinished": b"",
        "backend/weights/sha256.json": json.dumps({"a.safetensors": hashlib.sha256(weights).hexdigest()}).encode(),
        "tests/test_b.py": b"",
        "build.py": b"",
    }
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_manifest_and_package_stand_side_by_side(checkout: Path, tmp_path: Path) -> None:
    pack(stage(tmp_path / "staged", checkout), tmp_path / "extension.zip")
    with zipfile.ZipFile(tmp_path / "extension.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {
            *LOOSE_FILES,
            "__init__.py",
            "operators/text.py",
            "backend/__init__.py",
            "backend/weights/a.safetensors",
            "backend/weights/sha256.json",
        }


def test_the_same_files_give_the_same_zip(checkout: Path, tmp_path: Path) -> None:
    pack(stage(tmp_path / "one", checkout), tmp_path / "one.zip")
    pack(stage(tmp_path / "two", checkout), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_staging_leaves_nothing_of_an_older_one(checkout: Path, tmp_path: Path) -> None:
    stage(tmp_path / "staged", checkout)
    (checkout / "gen3d_addon" / "operators" / "text.py").unlink()
    assert not (stage(tmp_path / "staged", checkout) / "operators").exists()


def test_weights_can_be_left_out_for_the_type_check(checkout: Path, tmp_path: Path) -> None:
    assert not list(stage(tmp_path / "staged", checkout, weights=False).rglob("*.safetensors"))


def test_whole_weights_pass(checkout: Path) -> None:
    check_weights(checkout)


def test_damaged_weights_are_refused(checkout: Path) -> None:
    (checkout / "backend" / "weights" / "a.safetensors").write_bytes(b"cut")
    with pytest.raises(StepFailed, match=r"a\.safetensors is missing or damaged"):
        check_weights(checkout)


def test_missing_weights_are_refused(checkout: Path) -> None:
    (checkout / "backend" / "weights" / "sha256.json").unlink()
    with pytest.raises(StepFailed, match="There are no weights"):
        check_weights(checkout)


def test_manifest_and_backend_name_the_same_version() -> None:
    manifest = tomllib.loads((REPOSITORY / "blender_manifest.toml").read_text(encoding="utf-8"))
    tree = ast.parse((REPOSITORY / "backend" / "recipe.py").read_text(encoding="utf-8"))
    versions = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and ast.unparse(node.targets[0]) == "VERSION"
    ]
    assert versions == [manifest["version"]]


def test_the_manifests_texts_keep_to_blenders_rules() -> None:
    manifest = tomllib.loads((REPOSITORY / "blender_manifest.toml").read_text(encoding="utf-8"))
    for text in (manifest["tagline"], *manifest["permissions"].values()):
        assert len(text) <= 64 and text[-1].isalnum()
