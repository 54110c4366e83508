"""The extension: staging its files, packing them into the zip that Blender installs, and Blender's own checks of it.

Blender wants the manifest and `__init__.py` side by side, so the content of gen3d_addon/ moves up to the root:

    blender_manifest.toml   LICENSE   __init__.py …   backend/ with its weights   requirements/ for the worker's Python
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .blender import find_blender
from .environment import CONSTRAINTS, RUNTIME, explain_os_error
from .failure import StepFailed
from .paths import OUTPUT, REPOSITORY
from .processes import run_quietly
from .waiting_bar import WaitingBar

MANIFEST = "blender_manifest.toml"
LOOSE_FILES = (MANIFEST, "LICENSE", *(f"requirements/{name}.txt" for name in (*RUNTIME, CONSTRAINTS)))
UNWANTED_FOLDERS = {"__pycache__", "tests"}
UNWANTED_ENDINGS = {".pyc", ".unfinished"}
INCOMPRESSIBLE = {".safetensors", ".png"}
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same zip


def extension_files(repository: Path = REPOSITORY) -> Iterator[tuple[Path, Path]]:
    """Every file of the extension: where it lies in the checkout, and where it lies in the extension."""
    for name in LOOSE_FILES:
        yield repository / name, Path(name)
    for folder, place in ((repository / "gen3d_addon", Path()), (repository / "backend", Path("backend"))):
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            hidden = any(part.startswith(".") or part in UNWANTED_FOLDERS for part in inside.parts)
            if path.is_file() and not hidden and path.suffix not in UNWANTED_ENDINGS:
                yield path, place / inside


def stage(target: Path, repository: Path = REPOSITORY, *, weights: bool = True) -> Path:
    """Lay the extension's files out in `target`, in the place of what was there."""
    shutil.rmtree(target, ignore_errors=True)
    for source, inside in extension_files(repository):
        if weights or source.suffix != ".safetensors":
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / inside)
    return target


def check_weights(repository: Path = REPOSITORY) -> None:
    """Raises StepFailed when the bundled weights are not the recorded ones: the zip would be of no use."""
    folder = repository / "backend" / "weights"
    hashes = folder / "sha256.json"
    recorded = json.loads(hashes.read_text(encoding="utf-8")) if hashes.is_file() else {}
    if not recorded:
        raise StepFailed(
            "There are no weights in backend/weights: get the whole checkout, or train them with `build.py train`."
        )
    for name, expected in recorded.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise StepFailed(
                f"backend/weights/{name} is missing or damaged: restore it with `git checkout -- backend/weights`."
            )


def pack(staged: Path, archive: Path) -> None:
    """Zip a staged folder; the same files give the same bytes. The archive appears only when it is whole."""
    part = archive.with_name(archive.name + ".part")
    with zipfile.ZipFile(part, "w") as file:
        for path in sorted(staged.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(staged).as_posix(), ZIP_TIME)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_STORED if path.suffix in INCOMPRESSIBLE else zipfile.ZIP_DEFLATED
                file.writestr(entry, path.read_bytes())
    os.replace(part, archive)


def build() -> int:
    """Write the extension's zip below build/ and have Blender check it, where there is one."""
    check_weights()
    blender = find_blender()
    manifest = tomllib.loads((REPOSITORY / MANIFEST).read_text(encoding="utf-8"))
    archive = OUTPUT / f"{manifest['id']}-{manifest['version']}.zip"
    try:
        OUTPUT.mkdir(exist_ok=True)
        with WaitingBar("Packing the extension"):
            staged = stage(OUTPUT / "extension")
            pack(staged, archive)
    except OSError as error:
        raise StepFailed(explain_os_error(error)) from error
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    if blender:
        check_with_blender(blender, staged, archive)
    else:
        print("No Blender here to check it with: set GEN3D_BLENDER, or put `blender` on the PATH.")
    return 0


def check_with_blender(blender: Path, staged: Path, archive: Path) -> None:
    """Blender must find the zip valid, and build the same from the staged folder. Raises StepFailed."""
    built = OUTPUT / "built_by_blender.zip"
    checks = (
        ("validate", [str(archive)]),
        ("build", ["--source-dir", str(staged), "--output-filepath", str(built)]),
    )
    for verb, arguments in checks:
        command = [str(blender), "--factory-startup", "--command", "extension", verb, *arguments]
        code, output = run_quietly(command, f"Blender's extension {verb}")
        if code != 0:
            raise StepFailed(f"Blender's `extension {verb}` refuses the extension: {_last_line(output)}", 1)
    with zipfile.ZipFile(archive) as ours, zipfile.ZipFile(built) as theirs:
        differing = set(ours.namelist()) ^ {name for name in theirs.namelist() if not name.endswith("/")}
    built.unlink()
    if differing:
        raise StepFailed(f"Blender packs other files than build.py does: {', '.join(sorted(differing))}.", 1)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
