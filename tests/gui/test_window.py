"""Blender's real window on a virtual screen, used with the mouse: the tab, a prompt, Generate, the object, undo;
Complete and Keep This One; Interpolate, the slider's ghost, Hide Preview and Make This Blend.

The screen is made by the program GEN3D_SCREEN, called as `PROGRAM SECONDS PICTURE ARGUMENTS-FOR-BLENDER…` with the
script that drives the window in GUI_SCRIPT; or here, where Xvfb, xdotool, ImageMagick and Blender are installed.
The pictures stay in build/window/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parents[1] / "build" / "window"
SECONDS = 1500  # a limit for hangs; a quiet machine needs a tenth of it
SCREEN = os.environ.get("GEN3D_SCREEN")
BLENDER = os.environ.get("GEN3D_BLENDER") or shutil.which("blender")
HAS_SCREEN = bool(SCREEN) or (BLENDER is not None and all(map(shutil.which, ("Xvfb", "xdotool", "import"))))

pytestmark = pytest.mark.skipif(not HAS_SCREEN, reason="no Blender with a virtual screen here (GEN3D_SCREEN makes one)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the driven window left its pictures and what was seen."""
    folder = tmp_path_factory.mktemp("window")
    script = folder / "drive.sh"
    script.write_text(f"exec python3 '{HERE / 'drive_window.py'}' '{folder}'\n", encoding="utf-8")
    python = os.environ.get("GEN3D_PYTHON") or sys.executable
    arguments = ["--factory-startup", "--python", str(HERE / "window_setup.py"), "--", str(folder), python]
    if SCREEN:
        subprocess.run(
            [SCREEN, str(SECONDS), str(folder / "last.png"), *arguments],
            env={**os.environ, "GUI_SCRIPT": str(script)},
            check=True,
            timeout=SECONDS + 120,
        )
    else:
        drive_here(script, arguments)
    yield folder
    PICTURES.mkdir(parents=True, exist_ok=True)
    for picture in folder.glob("*.png"):
        shutil.copyfile(picture, PICTURES / picture.name)


def drive_here(script: Path, arguments: list[str]) -> None:
    assert BLENDER is not None
    display = f":{90 + os.getpid() % 900}"
    environment = {**os.environ, "DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1"}
    server = subprocess.Popen(["Xvfb", display, "-screen", "0", "1600x1000x24", "+extension", "GLX"])
    blender = None
    try:
        while server.poll() is None and not Path(f"/tmp/.X11-unix/X{display[1:]}").exists():
            time.sleep(0.1)
        command = [BLENDER, "--window-geometry", "0", "0", "1600", "1000", *arguments]
        blender = subprocess.Popen(command, env=environment)
        subprocess.run(["bash", str(script)], env=environment, check=True, timeout=SECONDS)
    finally:
        for process in (blender, server):
            if process is not None:
                process.terminate()
                process.wait(60)


def vase_pixels(picture: Path) -> int:
    """How many pixels have the red of the vase's stripes."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(picture).convert("RGB")).astype(int), 2, 0)
    return int(((red > 110) & (green < red // 2) & (blue < red // 2)).sum())


def test_generate_with_the_mouse_puts_a_coloured_object_into_the_window(folder: Path) -> None:
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert "failed" not in outcome, outcome["failed"]
    made = outcome["made"]
    assert made["error"] == "" and made["objects"] == ["Slow striped vase"]
    assert made["looks_while_busy"] >= 5, "the window went on living while the worker worked"
    assert vase_pixels(folder / "object.png") > vase_pixels(folder / "tab.png") + 20_000
    assert outcome["undone"]["objects"] == [] and outcome["redone"]["objects"] == ["Slow striped vase"]


def test_complete_with_the_mouse_puts_a_row_of_samples_beside_the_shape_and_keep_leaves_one(folder: Path) -> None:
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert "failed" not in outcome, outcome["failed"]
    assert outcome["completed"]["error"] == ""
    assert vase_pixels(folder / "completions.png") > vase_pixels(folder / "tab.png") + 400
    (kept,) = set(outcome["kept"]["objects"]) - {"Slow striped vase"}
    assert kept in outcome["completed"]["objects"]
    assert outcome["brought_back"]["objects"] == outcome["completed"]["objects"]


def test_interpolate_with_the_mouse_puts_the_steps_into_the_window(folder: Path) -> None:
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert "failed" not in outcome, outcome["failed"]
    assert outcome["interpolated"]["error"] == "" and len(outcome["interpolated"]["objects"]) == 2 + 9
    assert vase_pixels(folder / "steps.png") > vase_pixels(folder / "tab.png") + 400
    assert outcome["steps_undone"]["objects"] == outcome["kept"]["objects"]


def test_dragging_the_slider_shows_a_ghost_that_can_be_hidden_or_made(folder: Path) -> None:
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert "failed" not in outcome, outcome["failed"]
    assert outcome["dragged"]["objects"] == outcome["hidden"]["objects"] == outcome["kept"]["objects"]
    assert outcome["dragged"]["share"] > 0.5 and outcome["dragged"]["error"] == ""
    assert len(outcome["blended"]["objects"]) == 3 and outcome["blended"]["error"] == ""
    assert not outcome["blended"]["ghost"]
