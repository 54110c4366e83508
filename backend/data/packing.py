"""A data set packed for training: one array a quantity, first axis the objects, read by memory mapping."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from .archive import Archive
from .model_folder import open_data
from .object_pool import object_pool
from .sampling import QUERY_POINTS, SURFACE_POINTS, ShapeSamples, sample_shape

LAYOUT = {
    "surface_positions": ((SURFACE_POINTS, 3), np.float16),
    "surface_normals": ((SURFACE_POINTS, 3), np.int8),
    "surface_colors": ((SURFACE_POINTS, 3), np.uint8),
    "query_positions": ((QUERY_POINTS, 3), np.float16),
    "query_distances": ((QUERY_POINTS,), np.float16),
}


@dataclass(frozen=True)
class PackedData:
    """Memory-mapped arrays, first axis the n objects (shapes and types in LAYOUT), and their records."""

    surface_positions: np.ndarray
    surface_normals: np.ndarray
    surface_colors: np.ndarray
    query_positions: np.ndarray
    query_distances: np.ndarray
    records: list[dict]

    def __len__(self) -> int:
        return len(self.records)

    def indices_of(self, class_names: set[str]) -> np.ndarray:
        """The objects whose class is one of `class_names`."""
        return np.array([i for i, record in enumerate(self.records) if record["class"] in class_names], np.int64)


def _samples(archive: Archive, seed: int, index: int) -> tuple[ShapeSamples, bool]:
    shape = archive[index]
    return sample_shape(shape, np.random.default_rng([seed, index])), shape.has_color


def pack(source: Path, folder: Path, *, seed: int = 0, processes: int | None = None) -> PackedData:
    """Packs `source`, a data-set zip, a folder of 3D files or one such file, into `folder`, or opens what a former call
    finished there.

    Every object has a random generator of its own, so the arrays do not depend on the number of processes. A call that
    was cut off leaves no `records.json`, and the next one begins anew. Raises InputError when there is no such data, or
    none of its files can be read.
    """
    done = folder / "records.json"
    if not done.exists():
        archive = open_data(source, folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (len(archive), *shape))
            for name, (shape, dtype) in LAYOUT.items()
        }
        records = []
        with object_pool(processes) as pool:
            work = pool.map(partial(_samples, archive, seed), range(len(archive)), chunksize=4)
            for index, (samples, has_color) in enumerate(tqdm(work, "Packing", len(archive), unit="object")):
                for field in fields(samples):
                    arrays[field.name][index] = getattr(samples, field.name)
                records.append({**archive.records[index], "has_color": has_color})
        for array in arrays.values():
            array.flush()
        # Written last and in one step: its presence says that the arrays are whole.
        unfinished = done.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(records), encoding="utf-8")
        os.replace(unfinished, done)
    return open_packed(folder)


def open_packed(folder: Path) -> PackedData:
    """Opens a packed folder. Raises InputError when it is not whole."""
    try:
        records = json.loads((folder / "records.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in LAYOUT}
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no packed data set ({error}); delete it and pack again.") from error
    for name, (shape, dtype) in LAYOUT.items():
        if arrays[name].shape != (len(records), *shape) or arrays[name].dtype != dtype:
            raise InputError(f"{folder}/{name}.npy has another layout than this version packs; delete the folder.")
    return PackedData(**arrays, records=records)
