"""Image to 3D in Blender's real window, used with the mouse; see test_window.py for where the window comes from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parents[1] / "build" / "window"
SECONDS = 600
SCREEN = os.environ.get("GEN3D_SCREEN")

pytestmark = pytest.mark.skipif(not SCREEN, reason="no Blender with a virtual screen here (GEN3D_SCREEN makes one)")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict]:
    """What was seen while the window was driven; its pictures stay in build/window/."""
    folder = tmp_path_factory.mktemp("image_window")
    script = folder / "drive.sh"
    script.write_text(f"exec python3 '{HERE / 'drive_image_window.py'}' '{folder}'\n", encoding="utf-8")
    python = os.environ.get("GEN3D_PYTHON") or sys.executable
    arguments = ["--factory-startup", "--python", str(HERE / "image_window_setup.py"), "--", str(folder), python]
    subprocess.run(
        [str(SCREEN), str(SECONDS), str(folder / "last.png"), *arguments],
        env={**os.environ, "GUI_SCRIPT": str(script)},
        check=True,
        timeout=SECONDS + 120,
    )
    yield json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for picture in folder.glob("*.png"):
        shutil.copyfile(picture, PICTURES / picture.name)


def test_generate_stop_and_keep_and_add_camera_with_the_mouse(outcome: dict) -> None:
    assert "failed" not in outcome, outcome["failed"]
    assert outcome["kept"]["error"] == "" and len(outcome["kept"]["objects"]) == 1
    before, after = map(int, outcome["cameras"])
    assert after == before + 1
