"""A folder of 3D files as a data-set zip, so that a model can be trained on one's own library."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..color import linear_to_srgb
from ..errors import InputError
from ..mesh import Mesh
from .archive import UNKNOWN_COLOR, Archive
from .captions import with_article
from .fbx import read_fbx
from .mesh_reading import READABLE, read_mesh
from .surface import SurfacePoints, surface_colors

ENDINGS = (*READABLE, ".fbx")
HALF_EXTENT = 0.9
UNNAMED = "object"
OTHER_CLASS = "other"
# The middle of a triangle, and the middles of the three triangles that it makes with its corners.
PLACES = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]], np.float32)
PLACES /= PLACES.sum(1, keepdims=True)


@dataclass(frozen=True)
class ModelFile:
    """A file of the library, and what it shows. class_name: of the CSV, else the folder that the file is in."""

    path: Path
    id: str
    caption: str
    class_name: str


def caption_of(stem: str) -> str:
    """What a file's name says, as a phrase: "old_wooden-chair_02" → "an old wooden chair"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", apart)]
    return with_article(" ".join(words) or UNNAMED)


def find_models(source: Path) -> list[ModelFile]:
    """The 3D files of a folder and the folders in it, by name; or the one file that `source` is.

    A CSV in the folder with the columns file, caption and, if wanted, class names the files (paths in the folder) that
    count and what they show; without one, all count and their names are the captions. Raises InputError when there are
    no files, for a CSV without those columns, for more than one CSV, and for a row whose file is missing or whose
    caption is empty.
    """
    if not source.exists():
        raise InputError(f"There is no file or folder '{source}'.")
    if source.is_file():
        return [_model(source, source.parent)]
    tables = sorted(source.glob("*.csv"))
    if len(tables) > 1:
        raise InputError(f"{source} has {len(tables)} CSV files; leave the one with the columns file,caption[,class].")
    if tables:
        models = list(_listed(tables[0]))
    else:
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        models = [_model(path, source) for path in found]
    if not models:
        raise InputError(f"{source} holds no 3D files; their names must end in {', '.join(ENDINGS)}.")
    return models


def _model(path: Path, folder: Path, caption: str = "", class_name: str = "") -> ModelFile:
    within = path.relative_to(folder)
    own_folder = " ".join(re.findall(r"[^\W\d_]+", within.parent.name)).lower()
    digest = hashlib.sha256(within.as_posix().encode()).hexdigest()[:16]
    return ModelFile(path, digest, caption or caption_of(path.stem), class_name or own_folder or OTHER_CLASS)


def _listed(table: Path) -> Iterator[ModelFile]:
    try:
        rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as a CSV in UTF-8: {error}.") from error
    if rows and not {"file", "caption"} <= rows[0].keys():
        raise InputError(f"{table} lacks the columns file and caption in its first line.")
    for number, row in enumerate(rows, start=2):
        path = table.parent / (row["file"] or "").strip()
        if not path.is_file():
            raise InputError(f"{table}, line {number}: there is no file '{row['file']}' in the folder.")
        caption = (row["caption"] or "").strip().lower()
        if not caption:
            raise InputError(f"{table}, line {number}: '{row['file']}' has no caption.")
        yield _model(path, table.parent, caption, (row.get("class") or "").strip().lower())


def open_data(source: Path, folder: Path) -> Archive:
    """The data-set zip `source`; or, for a folder of 3D files or one such file, the zip that is made of it in `folder`
    unless it is there already. Raises InputError as Archive and `write_archive` do."""
    if not source.is_dir() and source.suffix.lower() not in ENDINGS:
        return Archive(source)
    archive = folder / "data_set.zip"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_archive(source, archive)
    return Archive(archive)


def write_archive(source: Path, archive: Path) -> None:
    """Writes the readable files of `source`, a folder or one file, as the data-set zip `archive`.

    Meshes are centred and scaled to model space; files without a mesh are named on standard error, in a sentence each,
    and left out. The zip appears whole or not at all. Raises InputError when no file is left.
    """
    models = find_models(source)
    unfinished = archive.with_suffix(".unfinished")
    records = []
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as content:
        for model in tqdm(models, "Reading", unit="file", mininterval=10):
            try:
                mesh = normalized(
                    read_fbx(model.path) if model.path.suffix.lower() == ".fbx" else read_mesh(model.path)
                )
            except InputError as error:
                print(f"{model.path.name} is left out: {error}", file=sys.stderr)
                continue
            packed = io.BytesIO()
            vertices = np.rint((mesh.vertices.astype(np.float64) + 1) / 2 * 65535).astype(np.uint16)
            np.savez(packed, vertices=vertices, faces=mesh.faces, face_rgb=face_colors(mesh))
            content.writestr(f"{model.id}.npz", packed.getvalue())
            records.append(_record(model, mesh))
        content.writestr("meta.json", json.dumps(records))
    if not records:
        unfinished.unlink()
        raise InputError(f"None of the {len(models)} files of {source} could be read.")
    os.replace(unfinished, archive)


def _record(model: ModelFile, mesh: Mesh) -> dict:
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    watertight = bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())
    return {
        "id": model.id,
        "name": model.path.name,
        "caption": model.caption,
        "tags": [],
        "class": model.class_name,
        "category": model.path.parent.name,
        "creator": "",
        "licence": "",
        "source": "",
        "size_m": None,
        "watertight": watertight,
        "n_faces": len(mesh.faces),
        "icon": None,
    }


def normalized(mesh: Mesh) -> Mesh:
    """The mesh in model space: its bounding box centred, its largest half-extent 0.9. Raises InputError for a mesh
    without area."""
    used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
    low, high = used.min(0), used.max(0)
    half = (high - low).max() / 2
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    if not np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).any():
        raise InputError("All its triangles are without area.")
    scale = HALF_EXTENT / half
    transform = np.eye(4)
    transform[:3, :3] *= scale
    transform[:3, 3] = -scale * (low + high) / 2
    moved = mesh.transformed(transform)
    kept, faces = np.unique(moved.faces, return_inverse=True)  # a vertex of no face may lie anywhere
    colors = None if moved.colors is None else moved.colors[kept]
    return Mesh(moved.vertices[kept], faces.reshape(-1, 3), colors, None, moved.uvs, moved.texture)


def face_colors(mesh: Mesh) -> np.ndarray:
    """Mean sRGB (F, 3) uint8 of each face: the mean of the linear colours at four places on it."""
    count = len(mesh.faces)
    if mesh.colors is None and mesh.texture is None:
        return np.tile(np.array(UNKNOWN_COLOR, np.uint8), (count, 1))
    nowhere = np.zeros((count, 3), np.float32)
    places = [SurfacePoints(nowhere, nowhere, np.arange(count), np.broadcast_to(place, (count, 3))) for place in PLACES]
    linear = np.mean([surface_colors(mesh, place) for place in places], axis=0)
    return np.rint(linear_to_srgb(linear.clip(0, 1)) * 255).astype(np.uint8)
