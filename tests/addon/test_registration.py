"""Registering leaves nothing behind, however often."""

from __future__ import annotations

import atexit
import sys

import bpy
import pytest


def surroundings() -> dict[str, object]:
    return {
        "types": {name for name in dir(bpy.types) if "gen3d" in name.lower()},
        "operators": [name for name in dir(bpy.ops.gen3d)],
        "scene": hasattr(bpy.types.Scene, "gen3d_text"),
        "window manager": hasattr(bpy.types.WindowManager, "gen3d"),
        "handlers": [handler.__name__ for handler in bpy.app.handlers.load_post],
        "path": list(sys.path),
    }


def test_ten_times_in_a_row(addon):
    registration, session = addon("registration"), addon("session")
    before = surroundings()
    for _ in range(10):
        registration.register()
        assert bpy.context.scene.gen3d_text.variations >= 1
        assert bpy.types.Operator.bl_rna_get_subclass_py("GEN3D_OT_generate_text") is not None
        registration.unregister()
        assert surroundings() == before
        assert not bpy.app.timers.is_registered(session.tick)


def test_every_class_of_the_add_on_is_in_the_list(addon):
    listed = set(addon("registration").CLASSES)
    bases = (bpy.types.Operator, bpy.types.Panel, bpy.types.UIList, bpy.types.PropertyGroup, bpy.types.AddonPreferences)
    modules = [module for name, module in sys.modules.items() if name.startswith("gen3d.") and module is not None]
    written = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, bases) and value.__module__.startswith("gen3d.")
    }
    assert {entry.__name__ for entry in written} <= {entry.__name__ for entry in listed}
    assert len(listed) == len(addon("registration").CLASSES)


def test_unregistering_stops_the_worker_and_the_timer(addon, start_fake_worker, until):
    registration, session = addon("registration"), addon("session")
    recipe = addon("backend.recipe").Recipe.create(prompt="deaf")
    registration.register()
    now = session.current()
    now.queue.start_worker = start_fake_worker
    now.submit([recipe], bpy.context.scene)
    until(lambda: (now.tick(), now.queue.time_left.stage)[1])
    assert now.queue.worker_alive and bpy.app.timers.is_registered(session.tick)
    registration.unregister()
    assert not now.queue.worker_alive and not bpy.app.timers.is_registered(session.tick)
    with pytest.raises(RuntimeError, match="not registered"):
        session.current()


def test_the_end_of_blender_ends_the_worker(addon, monkeypatch):
    registered: list[object] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    addon("registration").register()
    try:
        assert addon("session").current().queue.stop_worker in registered
    finally:
        addon("registration").unregister()


def test_the_command_line_reaches_headless(addon, monkeypatch):
    commands: dict[str, object] = {}
    monkeypatch.setattr(bpy.utils, "register_cli_command", lambda name, run: commands.setdefault(name, run))
    monkeypatch.setattr(bpy.utils, "unregister_cli_command", lambda handle: None)
    addon("registration").register()
    addon("registration").unregister()
    assert commands == {"gen3d": addon("headless").main}
