"""What tests of data, models and training share: a tiny data set, made anew in every test's own folder."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

UNKNOWN = (180, 180, 180)
LOW_FACES = [[0, 1, 2], [1, 3, 2], [0, 4, 1], [1, 4, 5], [0, 2, 4], [2, 6, 4]]
HIGH_FACES = [[4, 6, 5], [5, 6, 7], [2, 3, 6], [3, 7, 6], [1, 5, 3], [3, 5, 7]]
BOX_FACES = np.array([*LOW_FACES, *HIGH_FACES])


@pytest.fixture
def box() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """box(low, high) → (vertices (8, 3) float64, faces (12, 3) int64), closed, wound outwards."""

    def make(low: tuple[float, ...], high: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
        corner = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], np.float64)
        return np.array(low) + corner * (np.array(high) - np.array(low)), BOX_FACES.copy()

    return make


@pytest.fixture(scope="session")
def write_archive() -> Callable[[Path], Path]:
    """write_archive(path) → a data-set zip of three objects: a brown closed table, a red apple without inside, a sheet
    without colour."""

    def write(path: Path) -> Path:
        corner = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], np.float64)
        objects = [
            ("t1", "a wide table", "table", corner * [0.9, 0.5, 0.3], BOX_FACES, (110, 70, 30), True),
            ("t2", "an apple", "food", corner * [0.8, 0.8, 0.9], BOX_FACES[2:], (200, 20, 20), False),
            ("t3", "a sheet", "other", corner[:4] * [0.0, 0.9, 0.9], BOX_FACES[:2], UNKNOWN, False),
        ]
        records = []
        with zipfile.ZipFile(path, "w") as archive:
            for name, caption, class_name, vertices, faces, color, watertight in objects:
                content = io.BytesIO()
                np.savez(
                    content,
                    vertices=np.round((vertices + 1) / 2 * 65535).astype(np.uint16),
                    faces=faces.astype(np.uint16),
                    face_rgb=np.tile(np.array(color, np.uint8), (len(faces), 1)),
                )
                archive.writestr(f"{name}.npz", content.getvalue())
                record = {
                    "id": name,
                    "name": caption.title(),
                    "caption": caption,
                    "tags": ["tiny"],
                    "class": class_name,
                }
                size = [1.8, 1.0, 0.6] if class_name == "table" else None
                records.append({**record, "category": "Tests", "size_m": size, "watertight": watertight})
            archive.writestr("meta.json", json.dumps(records))
        return path

    return write
