"""What runs inside Blender while drive_window.py holds the mouse: the add-on, a worker that makes vases, and a watcher.

    blender --factory-startup --python window_setup.py -- FOLDER PYTHON

The watcher writes FOLDER/state.json many times a second: where the sidebar is, what the mouse points at, which objects
there are. It presses nothing; the mouse and the keyboard do.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy

ROOT = Path(__file__).resolve().parents[2]
VASE_WORKER = ROOT / "tests" / "blender" / "vase_worker.py"
FOLDER, PYTHON = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :][:2])
WATCH_SECONDS = 0.05


def module(name: str) -> Any:
    return importlib.import_module(f"gen3d.{name}")


def set_up() -> None:
    spec = importlib.util.spec_from_file_location("gen3d_loader", ROOT / "gen3d_addon" / "headless.py")
    assert spec is not None and spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    package = loader.load_addon()
    for panel in (module("panels").GEN3D_PT_completion, module("panels").GEN3D_PT_interpolation):
        panel.bl_options = set()  # open, as after a click on its header
    package.register()
    session, client, runtime = module("session"), module("worker_client"), module("runtime")
    session.current().queue.start_worker = lambda: client.WorkerClient(
        PYTHON, VASE_WORKER, environment=runtime.child_environment(None)
    )
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.view.smooth_view = 0
    bpy.context.preferences.view.ui_scale = 0.7  # so that all of the tab is in sight
    bpy.data.batch_remove(list(bpy.data.objects))  # what is selected by A is what was made
    add_box_of_the_unknown()
    bpy.ops.ed.undo_push(message="An empty scene")
    bpy.app.timers.register(watch, first_interval=1.0, persistent=True)


def add_box_of_the_unknown() -> None:
    """An empty where the lower half of the vase will be, chosen in the panel."""
    box = bpy.data.objects.new("Unknown", None)
    box.empty_display_type, box.empty_display_size, box.location = "CUBE", 0.4, (0.0, 0.0, 0.0)
    box.hide_select = True
    bpy.context.scene.collection.objects.link(box)
    bpy.context.scene.gen3d_completion.box = box


def watch() -> float:
    window = bpy.context.window_manager.windows[0]
    area = next(found for found in window.screen.areas if found.type == "VIEW_3D")
    sidebar = next(region for region in area.regions if region.type == "UI")
    view = next(region for region in area.regions if region.type == "WINDOW")
    queue = module("session").current().queue
    watch.looks += 1
    watch.looks_while_busy += queue.busy
    state = {
        "window": [window.width, window.height],
        "view": [view.x, view.y, view.width, view.height],
        "sidebar": [sidebar.x, sidebar.y, sidebar.width, sidebar.height],
        "tab": getattr(sidebar, "active_panel_category", "") if sidebar.width > 1 else "",
        "pointed_at": pointed_at(window, area, sidebar),
        "prompt": window.scene.gen3d_text.prompt,
        "keep_original": window.scene.gen3d_completion.keep_original,
        "busy": queue.busy,
        "stage": queue.time_left.stage,
        "looks": watch.looks,
        "looks_while_busy": watch.looks_while_busy,
        "error": module("session").current().error,
        "ghost": module("session").current().previews,
        "share": window.scene.gen3d_interpolation.share,
        "selected": [item.name for item in window.view_layer.objects.selected],
        "objects": [item.name for item in window.scene.objects if "gen3d_recipe" in item],
    }
    unfinished = FOLDER / "state.json.new"
    unfinished.write_text(json.dumps(state), encoding="utf-8")
    os.replace(unfinished, FOLDER / "state.json")
    return WATCH_SECONDS


watch.looks = watch.looks_while_busy = 0  # type: ignore[attr-defined]


def pointed_at(window: Any, area: Any, sidebar: Any) -> str:
    """The operator or property whose button the mouse is on, as Blender itself sees it."""
    with bpy.context.temp_override(window=window, area=area, region=sidebar):
        for copy in (bpy.ops.ui.copy_python_command_button, bpy.ops.ui.copy_data_path_button):
            if copy.poll():
                copy()
                return bpy.context.window_manager.clipboard
    return ""


set_up()
