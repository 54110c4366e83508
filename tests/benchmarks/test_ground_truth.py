from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend.data.archive import DataObject
from benchmarks.ground_truth import Loss, main, measure, sheet, table


def data_object(mesh: trimesh.Trimesh) -> DataObject:
    colors = np.full((len(mesh.faces), 3), 90, np.uint8)
    return DataObject("t1", "Ball", "a ball", (), "Balls", "food", None, True, mesh.vertices, mesh.faces, colors)


def test_a_closed_solid_loses_nothing() -> None:
    found = measure(data_object(trimesh.creation.icosphere(subdivisions=3, radius=0.9)), 64)
    assert max(found.there, found.back) < 0.002


def test_faces_within_the_solid_are_what_is_lost_on_the_way_back() -> None:
    outer, inner = (trimesh.creation.icosphere(subdivisions=3, radius=radius) for radius in (0.9, 0.45))
    found = measure(data_object(trimesh.util.concatenate([outer, inner])), 64)
    assert found.there < 0.002
    # A fifth of the surface is the inner ball's, 0.45 from the outer one.
    assert found.back == pytest.approx(0.45 / 5, rel=0.03)


def test_tables_and_pictures_show_every_object() -> None:
    found = measure(data_object(trimesh.creation.icosphere(subdivisions=2, radius=0.9)), 32)
    shown = table([found, Loss(found.shape, found.solid, 0.01, 0.03)])
    assert "| a ball | 0.0100 | 0.0300 | 0.0200 |" in shown
    assert sheet([found] * 6).shape == (300, 1500, 3)


def test_the_command_writes_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "tiny.zip"
    cube = trimesh.creation.box((1.8, 1.8, 1.8))
    with zipfile.ZipFile(source, "w") as archive:
        np.savez(
            tmp_path / "c.npz",
            vertices=np.rint((cube.vertices + 1) / 2 * 65535).astype(np.uint16),
            faces=cube.faces.astype(np.uint16),
            face_rgb=np.full((12, 3), 200, np.uint8),
        )
        archive.write(tmp_path / "c.npz", "c.npz")
        record = {"id": "c", "name": "C", "caption": "a cube", "tags": [], "category": "T", "class": "food"}
        archive.writestr("meta.json", json.dumps([{**record, "watertight": True}]))
    assert main(["--data", str(source), "--detail", "32", "--picture", str(tmp_path / "worst.png")]) == 0
    assert "a cube" in capsys.readouterr().out
    assert Image.open(tmp_path / "worst.png").size == (1500, 150)
    assert main(["--data", str(tmp_path / "none.zip")]) == 2
