"""Blender's images as files that the worker can read.

An image that lies on disk as it is shown is named by its own path. All others (packed, painted, generated, rendered)
are written as PNG into a folder named by their content, so that a recipe finds its picture again.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import extension
from .backend.color import linear_to_srgb
from .backend.data.mesh_encodings import png_bytes
from .backend.data.mesh_files import write_files
from .backend.recipe import InputError, MachineError


def file_of(image: bpy.types.Image) -> Path:
    """The file of an image. Raises InputError when there is nothing in it, MachineError when it cannot be written."""
    if image.source == "FILE" and not image.is_dirty and image.packed_file is None and image.filepath:
        path = Path(bpy.path.abspath(image.filepath, library=image.library))
        if path.is_file():
            return path
    pixels = pixels_of(image)
    data = png_bytes(pixels)
    folder = extension.shapes_folder() / hashlib.sha256(data).hexdigest()[:16]
    path = folder / f"{_file_name(image.name)}.png"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error
        write_files({path: data})
    return path


def pixels_of(image: bpy.types.Image) -> np.ndarray:
    """(H, W, 4) uint8, sRGB and alpha, not premultiplied, row 0 on top. Raises InputError for an empty image."""
    size: Any = image.size  # an array to Blender, an unknown thing to its types
    width, height = size
    if width == 0 or height == 0:
        raise InputError(f'"{image.name}" has no pixels: open or render a picture first.')
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(height, width, image.channels)[::-1]
    if image.channels < 4:
        values = (
            np.concatenate([values[..., :1]] * 3 + [np.ones_like(values[..., :1])], axis=-1)
            if (image.channels < 3)
            else np.concatenate([values, np.ones_like(values[..., :1])], axis=-1)
        )
    if image.is_float:  # floats are linear, and their colours multiplied by alpha
        alpha = values[..., 3:]
        colors = linear_to_srgb((values[..., :3] / np.maximum(alpha, 1e-6)).clip(0, 1))
        values = np.concatenate([colors * (alpha > 0), alpha], axis=-1)
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w .-]+", "_", Path(name).stem).strip(" .")[:48] or "picture"
