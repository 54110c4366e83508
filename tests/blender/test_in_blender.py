"""The tests of this folder once more, inside a real Blender: GEN3D_BLENDER, or `blender` on the PATH."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PURE_PACKAGES = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")

blender = os.environ.get("GEN3D_BLENDER") or shutil.which("blender")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pytest and what it needs, all of it pure Python, so that Blender's Python can import it."""
    folder = tmp_path_factory.mktemp("packages")
    for name in PURE_PACKAGES:
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if file.suffix in (".py", ".typed") or ".dist-info" in file.parts[0]:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    return folder


@pytest.mark.skipif(not blender, reason="no Blender program here (GEN3D_BLENDER names one)")
def test_everything_passes_inside_blender(packages: Path, tmp_path: Path) -> None:
    assert blender is not None
    python = os.environ.get("GEN3D_PYTHON") or sys.executable
    arguments = [str(packages), python, "-q", "--basetemp", str(tmp_path / "inside")]
    done = subprocess.run(
        [blender, "-b", "--factory-startup", "--python", str(HERE / "run_inside.py"), "--", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=1500,
        check=False,
    )
    report = (done.stdout + done.stderr)[-12_000:]
    assert done.returncode == 0, report
    passed = re.search(r"(\d+) passed", report)
    assert passed is not None and int(passed[1]) > 30, report
