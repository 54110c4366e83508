"""Pictures of a packed data set's objects, beside its arrays, for models that are conditioned on an image."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from .archive import Archive
from .model_folder import open_data
from .object_pool import object_pool
from .packing import open_packed
from .rendering import VIEW_SIZE, render_views

VIEWS_PER_OBJECT = 8
FILE_NAME = "views.npy"


def _views(archive: Archive, seed: int, index: int) -> np.ndarray:
    return render_views(archive[index], VIEWS_PER_OBJECT, np.random.default_rng([seed, index]))


def pack_views(source: Path, folder: Path, *, seed: int = 5, processes: int | None = None) -> np.ndarray:
    """Renders the objects of the data `source`, whose packed arrays are in `folder`, or opens what is there.

    Returns what `open_views` does. Every object has a random generator of its own, so the pictures do not depend on
    the number of processes. A call that was cut off leaves no views.npy, and the next one begins anew. Raises
    InputError when there is no such data, or when `folder` holds another data set's arrays or none.
    """
    done = folder / FILE_NAME
    if not done.exists():
        archive = open_data(source, folder)
        packed = [record["id"] for record in open_packed(folder).records]
        if packed != [record["id"] for record in archive.records]:
            raise InputError(f"{folder} was not packed from {source}; give the data set that it was packed from.")
        unfinished = done.with_suffix(".unfinished")
        shape = (len(archive), VIEWS_PER_OBJECT, VIEW_SIZE, VIEW_SIZE, 4)
        views = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
        with object_pool(processes) as pool:
            work = pool.map(partial(_views, archive, seed), range(len(archive)), chunksize=4)
            for index, pictures in enumerate(tqdm(work, "Rendering", len(archive), unit="object", mininterval=10)):
                views[index] = pictures
        views.flush()
        del views  # Windows renames no file that is mapped
        os.replace(unfinished, done)
    return open_views(folder)


def open_views(folder: Path) -> np.ndarray:
    """The pictures (n, VIEWS_PER_OBJECT, VIEW_SIZE, VIEW_SIZE, 4) uint8, sRGB and alpha as `render` gives them, memory-
    mapped; the objects in the order of the packed records. Raises InputError when they are not there or not whole."""
    try:
        views = np.load(folder / FILE_NAME, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no pictures of its objects ({error}); pack them again.") from error
    if views.shape[1:] != (VIEWS_PER_OBJECT, VIEW_SIZE, VIEW_SIZE, 4) or views.dtype != np.uint8:
        raise InputError(f"{folder / FILE_NAME} has another layout than this version packs; delete it.")
    return views
