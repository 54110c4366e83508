"""As window_setup.py, for drive_image_window.py: Image to 3D is open in the tab, and has a picture.

blender --factory-startup --python image_window_setup.py -- FOLDER PYTHON
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import window_setup  # sets the window up

PROMPT = "optimise a vase"


def set_up() -> None:
    registration, panels = window_setup.module("registration"), window_setup.module("panels")
    registration.unregister()
    for panel in (panels.GEN3D_PT_text, panels.GEN3D_PT_completion):
        panel.bl_options = {"DEFAULT_CLOSED"}
    panels.GEN3D_PT_image.bl_options = set()
    registration.register()
    client, runtime = window_setup.module("worker_client"), window_setup.module("runtime")
    window_setup.module("session").current().queue.start_worker = lambda: client.WorkerClient(
        window_setup.PYTHON, window_setup.VASE_WORKER, environment=runtime.child_environment(None)
    )
    settings = bpy.context.scene.gen3d_image
    settings.picture, settings.method, settings.prompt = red_disc(), "multiview", PROMPT
    settings.keep_views = True
    bpy.ops.ed.undo_push(message="A picture")
    bpy.app.timers.register(watch, first_interval=1.0, persistent=True)


def red_disc() -> bpy.types.Image:
    image = bpy.data.images.new("a red disc", 128, 128, alpha=True)
    rows, columns = np.mgrid[:128, :128]
    pixels = np.zeros((128, 128, 4), np.float32)
    pixels[(rows - 64) ** 2 + (columns - 64) ** 2 < 50**2] = (0.8, 0.1, 0.05, 1)
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    return image


def watch() -> float:
    """Tells, beside what window_setup.watch does, whether a picture of the work was shown, and of the cameras."""
    job = window_setup.module("session").current().queue.running
    lines = [
        f"seen {window_setup.module('session').current().seen is not None}",
        f"glimpsed {job is not None and job.glimpse is not None}",
        f"keeping {job is not None and job.keeping}",
        f"cameras {sum(item.type == 'CAMERA' for item in bpy.context.scene.objects)}",
    ]
    unfinished = window_setup.FOLDER / "image_state.unfinished"
    unfinished.write_text("\n".join(lines), encoding="utf-8")
    os.replace(unfinished, window_setup.FOLDER / "image_state.txt")
    return window_setup.WATCH_SECONDS


set_up()
