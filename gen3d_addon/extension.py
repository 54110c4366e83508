"""The add-on's place in Blender: its stored preferences and the folder that it may write to."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy

PACKAGE: str = __package__ or ""
DEFAULT_IDLE_MINUTES = 10


def open_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene that the user works in: the stubs call it optional, but Blender never is without one."""
    assert context.scene is not None
    return context.scene


def _preferences() -> Any:
    """The preferences; None when the add-on runs from a checkout without being enabled as an extension."""
    addon: Any = bpy.context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon is not None else None


def python_path() -> str:
    """The interpreter that the user chose for the worker; empty when none was."""
    stored = _preferences()
    return bpy.path.abspath(stored.python_path) if stored is not None and stored.python_path else ""


def idle_minutes() -> float:
    """How long an idle worker keeps the model in memory."""
    stored = _preferences()
    return float(stored.idle_minutes if stored is not None else DEFAULT_IDLE_MINUTES)


def cache_folder() -> Path | None:
    """Where compiled kernels are kept when the add-on is an installed extension; None in a checkout, where they may
    lie beside the code."""
    if not PACKAGE.startswith("bl_ext."):
        return None
    return Path(bpy.utils.extension_path_user(PACKAGE, path="cache", create=True))


def shapes_folder() -> Path:
    """Where the inputs of recipes are kept, so that a recipe finds them again in a later session; in a checkout, the
    system's temporary folder."""
    if not PACKAGE.startswith("bl_ext."):
        return Path(tempfile.gettempdir()) / "gen3d-shapes"
    return Path(bpy.utils.extension_path_user(PACKAGE, path="shapes", create=True))
