"""One's own 3D files as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend.data.archive import UNKNOWN_COLOR, Archive
from backend.data.distance_packing import pack_distance_grids
from backend.data.mesh_files import write_mesh
from backend.data.model_folder import caption_of, face_colors, find_models, open_data, write_archive
from backend.data.packing import pack
from backend.errors import InputError
from backend.mesh import Mesh
from backend.models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from backend.training.loop import Schedule, train
from backend.training.shape_autoencoder import ShapeSampler, losses_of


@pytest.fixture
def library(box, tmp_path: Path) -> Path:
    """Four formats of a box 1 × 2 × 4 that stands on the ground 10 m off, with a small nose in front (−Y)."""
    body, faces = box((9.5, -1.0, 0.0), (10.5, 1.0, 4.0))
    nose, _ = box((9.9, -1.4, 1.0), (10.1, -1.0, 1.2))
    vertices = np.concatenate([body, nose])
    mesh = Mesh(vertices, np.concatenate([faces, faces + 8]), np.tile([[0.5, 0.0, 0.0]], (16, 1)))
    folder = tmp_path / "my_folder"
    (folder / "chairs").mkdir(parents=True)
    write_mesh(folder / "chairs" / "old_wooden-chair_02.glb", mesh)
    write_mesh(folder / "chairs" / "ArmChair.obj", Mesh(mesh.vertices, mesh.faces))
    write_mesh(folder / "red box.ply", mesh)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(folder / "plainBox3.STL")
    return folder


def test_names_become_captions() -> None:
    assert caption_of("old_wooden-chair_02") == "an old wooden chair"
    assert caption_of("ArmChair") == "an arm chair"
    assert caption_of("café table (1)") == "a café table"
    assert caption_of("0001") == "an object"


def test_four_formats_give_the_same_shape_in_model_space(library: Path, tmp_path: Path) -> None:
    write_archive(library, tmp_path / "own.zip")
    objects = {shape.name: shape for shape in Archive(tmp_path / "own.zip")}
    assert {name: shape.caption for name, shape in objects.items()} == {
        "old_wooden-chair_02.glb": "an old wooden chair",
        "ArmChair.obj": "an arm chair",
        "red box.ply": "a red box",
        "plainBox3.STL": "a plain box",
    }
    assert {shape.class_name for name, shape in objects.items() if "hair" in name} == {"chairs"}
    assert objects["red box.ply"].class_name == "other"
    for shape in objects.values():
        extent = np.ptp(shape.vertices, axis=0)
        assert extent == pytest.approx([0.45, 1.08, 1.8], abs=1e-3)
        assert np.abs(shape.vertices).max() == pytest.approx(0.9, abs=1e-4)
        front = shape.vertices[shape.vertices[:, 1] < -0.53]
        assert len(front) == 4 and (np.abs(front[:, 0]) < 0.05).all()  # the nose looks to −Y in every format
        assert shape.watertight
    for name in ("old_wooden-chair_02.glb", "red box.ply"):
        assert np.abs(objects[name].face_colors.astype(int) - [188, 0, 0]).max() <= 1  # 0.5 of linear light
    assert (objects["plainBox3.STL"].face_colors == UNKNOWN_COLOR).all()
    assert not objects["ArmChair.obj"].has_color


def test_a_training_step_runs_on_a_folder(library: Path, tmp_path: Path) -> None:
    data = pack(library, tmp_path / "packed", processes=1)
    assert len(data) == 4
    grids = pack_distance_grids(library, tmp_path / "packed", processes=1)
    model = ShapeAutoencoder(ShapeAutoencoderConfig())
    before = next(model.parameters()).detach().clone()
    schedule = Schedule(minutes=1e-6, batch_size=2, learning_rate=1e-3)
    sampler = ShapeSampler(data, grids, torch.device("cpu"))
    trained = train(model, sampler, losses_of, schedule, tmp_path / "run" / "checkpoint.pt", device=torch.device("cpu"))
    assert trained.steps == 1
    assert all(np.isfinite(value) for value in trained.losses.values())
    assert not torch.equal(next(model.parameters()).cpu(), before)


def test_a_csv_names_what_counts(library: Path, tmp_path: Path) -> None:
    (library / "mine.csv").write_text(
        "file,caption,class\nchairs/ArmChair.obj,A Throne,Seat\nred box.ply,a crate,\n", encoding="utf-8-sig"
    )
    models = find_models(library)
    assert [(model.path.name, model.caption, model.class_name) for model in models] == [
        ("ArmChair.obj", "a throne", "seat"),
        ("red box.ply", "a crate", "other"),
    ]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("name,text\na,b\n", "lacks the columns"),
        ("file,caption\nmissing.glb,a chair\n", r"line 2: there is no file 'missing.glb'"),
        ("file,caption\nred box.ply,\n", "has no caption"),
    ],
)
def test_a_wrong_csv_gets_a_sentence(library: Path, table: str, sentence: str) -> None:
    (library / "mine.csv").write_text(table, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        find_models(library)


def test_broken_files_are_left_out_and_named(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (library / "broken.glb").write_bytes(b"not a mesh")
    line = "v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n"
    (library / "line.obj").write_text(line, encoding="utf-8")
    write_archive(library, tmp_path / "own.zip")
    assert len(Archive(tmp_path / "own.zip")) == 4
    told = capsys.readouterr().err
    assert "broken.glb is left out: " in told
    assert "line.obj is left out: All its triangles are without area." in told


def test_nothing_to_learn_from_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file or folder"):
        write_archive(tmp_path / "missing", tmp_path / "own.zip")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no 3D files"):
        write_archive(empty, tmp_path / "own.zip")
    (empty / "broken.ply").write_bytes(b"ply")
    with pytest.raises(InputError, match="None of the 1 files"):
        write_archive(empty, tmp_path / "own.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_one_file_is_a_data_set_and_is_read_once(library: Path, tmp_path: Path) -> None:
    source = library / "red box.ply"
    assert [shape.caption for shape in open_data(source, tmp_path / "packed")] == ["a red box"]
    source.unlink()
    (library / "red box.ply").write_bytes(b"changed since")
    assert len(open_data(source, tmp_path / "packed")) == 1


def test_a_faces_colour_is_its_textures_mean() -> None:
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[:, 4:] = (255, 255, 255)
    uvs = np.array([[[0.6, 0.1], [0.9, 0.1], [0.9, 0.9]], [[0.1, 0.1], [0.4, 0.1], [0.4, 0.9]]], np.float32)
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), None, None, uvs, texture)
    assert face_colors(mesh).tolist() == [[255, 255, 255], [0, 0, 0]]
