"""The distance grids of every object of a data set, packed for training."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .archive import Archive
from .distance_grids import RESOLUTION, distance_grid
from .model_folder import open_data
from .object_pool import object_pool
from .volume import Volume


def _grid(archive: Archive, index: int) -> np.ndarray:
    shape = archive[index]
    return np.rint(127 * distance_grid(Volume.of(shape.vertices, shape.faces))).astype(np.int8)


def pack_distance_grids(source: Path, folder: Path, *, processes: int | None = None) -> np.ndarray:
    """The grids (n, R, R, R) int8 (127 = 1), memory-mapped, of every object of `source`, as `pack` takes it; made in
    `folder`, or opened where a former call finished them. A call that was cut off leaves no such file.
    """
    path = folder / "distance_grids.npy"
    if not path.exists():
        archive = open_data(source, folder)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        grids = np.lib.format.open_memmap(unfinished, "w+", np.int8, (len(archive), *[RESOLUTION] * 3))
        with object_pool(processes) as pool:
            work = pool.map(partial(_grid, archive), range(len(archive)), chunksize=4)
            for index, grid in enumerate(tqdm(work, "Distances", len(archive), unit="object", mininterval=10)):
                grids[index] = grid
        grids.flush()
        del grids
        os.replace(unfinished, path)
    return np.load(path, mmap_mode="r")
