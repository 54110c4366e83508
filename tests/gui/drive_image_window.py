"""The user of Image to 3D: Preview Mask, Generate, a look at the picture of what goes on, Stop and Keep, Add Camera.

    python3 drive_image_window.py FOLDER

Writes FOLDER/outcome.json, as drive_window.py does, whose hands and eyes it has.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import drive_window
from drive_window import FOLDER, click, find_button, open_tab, picture, wait_for


def told(name: str) -> str:
    """What image_window_setup.py tells under that name."""
    lines = dict(line.split(" ", 1) for line in (FOLDER / "image_state.txt").read_text(encoding="utf-8").splitlines())
    return lines.get(name, "")


def drive() -> dict[str, Any]:
    open_tab()
    picture("image_tab.png")
    click(*find_button("gen3d.preview_mask"))
    wait_for("the mask", lambda now: told("seen") == "True" or now["error"])
    time.sleep(1.0)
    picture("image_mask.png")
    click(*find_button("gen3d.generate_image"))
    wait_for("a picture of what goes on", lambda now: told("glimpsed") == "True" or now["error"])
    time.sleep(1.0)
    picture("image_running.png")
    click(*find_button("gen3d.stop_and_keep"))
    seen: dict[str, Any] = {"kept": wait_for("the object", lambda now: now["objects"] or now["error"])}
    before = told("cameras")
    click(*find_button("gen3d.add_camera"))
    wait_for("the camera", lambda _: told("cameras") != before)
    picture("image_camera.png")
    seen["cameras"] = [before, told("cameras")]
    return seen


if __name__ == "__main__":
    drive_window.drive = drive
    sys.exit(drive_window.main())
