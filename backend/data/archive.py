"""Objects of a data-set archive: a zip with `meta.json` and one `<id>.npz` per mesh."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError

UNKNOWN_COLOR = (180, 180, 180)


@dataclass(frozen=True)
class DataObject:
    """One named mesh.

    vertices: (V, 3) float64, model space, Z up, front −Y, largest half-extent 0.9.
    faces: (F, 3) int64.  face_colors: (F, 3) uint8, sRGB.
    size_m: width, depth and height in metres where the source knows them.
    """

    id: str
    name: str
    caption: str
    tags: tuple[str, ...]
    category: str
    class_name: str
    size_m: tuple[float, float, float] | None
    watertight: bool
    vertices: np.ndarray
    faces: np.ndarray
    face_colors: np.ndarray

    @property
    def has_color(self) -> bool:
        """False where the source gave no colour at all."""
        return bool((self.face_colors != UNKNOWN_COLOR).any())


class Archive:
    """A data-set zip, read object by object.

    Raises InputError when the file is missing or is not such an archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.records: list[dict] = json.loads(archive.read("meta.json"))
        except FileNotFoundError:
            raise InputError(f"The data set {self.path} does not exist; give the path of a data-set zip.") from None
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise InputError(f"{self.path} is not a data-set zip with a meta.json in it ({error}).") from error

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[DataObject]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: int) -> DataObject:
        record = self.records[index]
        with zipfile.ZipFile(self.path) as archive:
            arrays = np.load(io.BytesIO(archive.read(record["id"] + ".npz")))
            size = record.get("size_m")
            return DataObject(
                id=record["id"],
                name=record["name"],
                caption=record["caption"],
                tags=tuple(record["tags"]),
                category=record["category"],
                class_name=record["class"],
                size_m=tuple(size) if size else None,
                watertight=bool(record["watertight"]),
                vertices=arrays["vertices"].astype(np.float64) / 65535 * 2 - 1,
                faces=arrays["faces"].astype(np.int64),
                face_colors=arrays["face_rgb"],
            )
