"""The user: mouse and keyboard on the virtual screen, and eyes that only see state.json and pictures of the screen.

    python3 drive_window.py FOLDER

Opens the sidebar and the Gen3D tab, types a prompt, presses Generate with the mouse, takes pictures while it runs and
afterwards, undoes and redoes; completes what it made and keeps one of the answers; interpolates between the two, and
blends them by the slider. Writes FOLDER/outcome.json: what was seen at each step, or why it stopped. Needs xdotool and
ImageMagick's import; standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
PATIENCE_SECONDS = 120.0
PROMPT = "slow striped vase"
STEP = 7  # pixels; every button is higher
LOOKS_TO_SETTLE = 4
LOOKS_TO_DRAW = 40  # two seconds where nothing else goes on
SWEEPS = 3
SAMPLES = 4
STEPS = 9
DRAG = 30  # pixels to the right


class GaveUpError(Exception):
    """What was waited for did not come."""


def screen(*arguments: object) -> None:
    subprocess.run(["xdotool", *map(str, arguments)], check=True)


def state() -> dict[str, Any]:
    try:
        return json.loads((FOLDER / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def wait_for(what: str, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = state()
        if now and condition(now):
            return now
        if time.monotonic() > deadline:
            raise GaveUpError(f"{what} did not happen; the last state was {now}")
        time.sleep(0.05)


def picture(name: str) -> None:
    subprocess.run(["import", "-window", "root", str(FOLDER / name)], check=True)


def point(x: float, y: float) -> None:
    """Move the mouse to a place in Blender's window coordinates (y upwards)."""
    screen("mousemove", round(x), round(state()["window"][1] - 1 - y))


def click(x: float, y: float) -> None:
    point(x, y)
    time.sleep(0.3)
    screen("click", 1)


def look_again(looks: int = LOOKS_TO_SETTLE) -> dict[str, Any]:
    """The state once Blender has taken in what the mouse did."""
    before = state()["looks"]
    return wait_for("another look", lambda now: now["looks"] >= before + looks)


def middle(box: list[int]) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def open_tab() -> None:
    """N opens the sidebar; its tabs stand at its right edge and are pressed from the top until ours is open."""
    point(*middle(wait_for("Blender's window", lambda now: now["window"][0] > 100)["view"]))
    screen("key", "Escape")
    if state()["sidebar"][2] <= 1:
        screen("key", "n")
    x, y, width, height = wait_for("the sidebar", lambda now: now["sidebar"][2] > 20)["sidebar"]
    for below in range(15, height, 25):
        click(x + width - 10, y + height - below)
        if look_again()["tab"] == "Gen3D":
            return
    raise GaveUpError(f"There is no Gen3D tab: {state()}")


def find_button(name: str) -> tuple[float, float]:
    """Sweep the mouse down the sidebar until Blender says that it is on that button."""
    x, y, width, height = state()["sidebar"]
    across = x + width * 0.45
    for below in [*range(10, height, STEP)] * SWEEPS:
        point(across, y + height - below)
        if name in look_again()["pointed_at"]:
            return across, y + height - below - STEP / 2
    raise GaveUpError(f"There is no button {name!r} in the sidebar: {state()}")


def drive() -> dict[str, Any]:
    open_tab()
    picture("tab.png")
    click(*find_button("prompt"))
    time.sleep(0.5)
    screen("type", "--delay", "40", PROMPT)
    screen("key", "Return")
    wait_for("the prompt", lambda now: now["prompt"] == PROMPT)
    click(*find_button("gen3d.generate_text"))
    wait_for("the job", lambda now: now["busy"])
    wait_for("progress", lambda now: now["stage"] == "Sampling" or now["objects"])
    point(*middle(state()["view"]))
    time.sleep(0.5)
    picture("running.png")
    seen: dict[str, Any] = {}
    seen["made"] = wait_for("the object", lambda now: now["objects"] or now["error"])
    screen("key", "KP_Decimal")  # frame the selected object
    look_again(LOOKS_TO_DRAW)
    picture("object.png")
    screen("key", "ctrl+z")
    seen["undone"] = wait_for("undo", lambda now: not now["objects"])
    screen("key", "ctrl+shift+z")
    seen["redone"] = wait_for("redo", lambda now: now["objects"])
    complete_and_keep_one(seen)
    interpolate(seen)
    blend_by_the_slider(seen)
    return seen


def complete_and_keep_one(seen: dict[str, Any]) -> None:
    """Shape completion of the selected vase: a checkbox, Complete, a look at the row, Keep This One, undo."""
    click(*find_button("keep_original"))
    wait_for("the checkbox", lambda now: now["keep_original"])
    click(*find_button("gen3d.complete"))
    seen["completed"] = wait_for("the samples", lambda now: len(now["objects"]) == 1 + SAMPLES or now["error"])
    point(*middle(state()["view"]))
    screen("key", "Home")  # frame all
    look_again(LOOKS_TO_DRAW)
    picture("completions.png")
    click(*find_button("gen3d.keep"))
    seen["kept"] = wait_for("the others to go", lambda now: len(now["objects"]) == 2)
    picture("kept.png")
    point(*middle(state()["view"]))
    screen("key", "ctrl+z")
    seen["brought_back"] = wait_for("undo", lambda now: len(now["objects"]) == 1 + SAMPLES)


def interpolate(seen: dict[str, Any]) -> None:
    """The two vases selected, Interpolate, a look at the row of steps, undo."""
    screen("key", "ctrl+shift+z")  # one of the samples is kept again
    wait_for("redo", lambda now: len(now["objects"]) == 2)
    screen("key", "a")
    wait_for("both vases selected", lambda now: len(now["selected"]) == 2)
    click(*find_button("gen3d.interpolate"))
    seen["interpolated"] = wait_for("the steps", lambda now: len(now["objects"]) == 2 + STEPS or now["error"])
    point(*middle(state()["view"]))
    screen("key", "Home")
    look_again(LOOKS_TO_DRAW)
    picture("steps.png")
    screen("key", "ctrl+z")
    seen["steps_undone"] = wait_for("undo", lambda now: len(now["objects"]) == 2 and len(now["selected"]) == 2)


def blend_by_the_slider(seen: dict[str, Any]) -> None:
    """The slider dragged for a ghost, which goes when asked; dragged again, and the mesh of that blend made."""
    place = drag_slider()
    seen["dragged"] = wait_for("a ghost", lambda now: now["ghost"])
    picture("ghost.png")
    click(*find_button("gen3d.hide_preview"))
    seen["hidden"] = wait_for("the ghost to go", lambda now: not now["ghost"])
    drag_slider(place)
    wait_for("another ghost", lambda now: now["ghost"])
    click(*find_button("gen3d.blend"))
    seen["blended"] = wait_for("the blend", lambda now: len(now["objects"]) == 3 or now["error"])
    point(*middle(state()["view"]))
    look_again(LOOKS_TO_DRAW)
    picture("blended.png")


def drag_slider(place: tuple[float, float] | None = None) -> tuple[float, float]:
    """Press the mouse on the slider, move it and let go; returns where it was pressed."""
    place = place or find_button("interpolation.share")
    before = state()["share"]
    point(*place)
    screen("mousedown", 1)
    for _ in range(DRAG // 5):
        screen("mousemove_relative", 5, 0)
        time.sleep(0.1)
    screen("mouseup", 1)
    wait_for("the slider to move", lambda now: now["share"] != before)
    return place


def main() -> int:
    try:
        outcome: dict[str, Any] = drive()
    except (GaveUpError, subprocess.CalledProcessError) as error:
        outcome = {"failed": str(error)}
        picture("failed.png")
    (FOLDER / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
