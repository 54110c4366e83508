"""Pictures that a job shows while it runs, as icons that a panel can draw."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from bpy.utils import previews

from .worker_client import Glimpsed

NAME = "gen3d glimpse"


class _Shown:
    """The picture that is shown, and two collections that Blender keeps it and the one before in by turns: a panel
    draws the former until it is drawn anew."""

    def __init__(self) -> None:
        self.collections: list[Any] = []
        self.glimpse: Glimpsed | None = None
        self.number = 0


_shown = _Shown()


def icon_of(glimpse: Glimpsed) -> int | None:
    """The icon of a picture, for `template_icon`; None without a window, where nothing is drawn."""
    if bpy.app.background:
        return None
    if not _shown.collections:
        _shown.collections = [previews.new(), previews.new()]
    if glimpse is not _shown.glimpse:
        # Under a new name, as Blender does not draw a changed preview anew.
        _shown.number += 1
        collection = _shown.collections[_shown.number % 2]
        collection.clear()
        preview = collection.new(f"{NAME} {_shown.number}")
        height, width, _ = glimpse.picture.shape
        rows = np.ones((height, width, 4), np.float32)
        rows[..., :3] = glimpse.picture[::-1] / np.float32(255)
        preview.image_size = preview.icon_size = (width, height)
        preview.image_pixels_float = preview.icon_pixels_float = rows.ravel().tolist()
        _shown.glimpse = glimpse
    return int(_shown.collections[_shown.number % 2][f"{NAME} {_shown.number}"].icon_id)


def forget() -> None:
    """Give the pictures back; called when the add-on goes."""
    for collection in _shown.collections:
        previews.remove(collection)
    _shown.collections, _shown.glimpse = [], None
