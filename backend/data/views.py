"""Pictures of every object of a data set, packed for training."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .archive import Archive
from .rendering import VIEW_SIZE, render_views

VIEWS_AN_OBJECT = 8


def _views(archive: Archive, index: int) -> np.ndarray:
    return render_views(archive[index], VIEWS_AN_OBJECT, np.random.default_rng([5, index]))


def pack_views(source: Path, folder: Path, *, processes: int | None = None) -> np.ndarray:
    """Pictures (n, 8, 64, 64, 4) uint8, memory-mapped, of every object of the archive `source`; made in `folder`, or
    opened where a former call finished them. A call that was cut off leaves no such file.
    """
    path = folder / "views.npy"
    if not path.exists():
        archive = Archive(source)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        shape = (len(archive), VIEWS_AN_OBJECT, VIEW_SIZE, VIEW_SIZE, 4)
        views = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
        with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
            work = pool.map(partial(_views, archive), range(len(archive)), chunksize=4)
            for index, pictures in enumerate(tqdm(work, "Views", len(archive), unit="object", mininterval=10)):
                views[index] = pictures
        views.flush()
        del views
        os.replace(unfinished, path)
    return np.load(path, mmap_mode="r")
