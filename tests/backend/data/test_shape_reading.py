"""Files that may hold a mesh or points."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from backend.data.mesh_encodings import ply_bytes
from backend.data.mesh_files import write_mesh
from backend.data.shape_reading import read_shape
from backend.errors import InputError
from backend.mesh import Mesh

POINTS = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
NO_FACES = np.zeros((0, 3), np.int32)
TRIANGLE = Mesh(np.eye(3), np.array([[0, 1, 2]]))


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply"])
def test_a_mesh_stays_a_mesh(tmp_path, ending):
    write_mesh(tmp_path / f"a{ending}", TRIANGLE)
    shape = read_shape(tmp_path / f"a{ending}")
    assert shape.faces.shape == (1, 3)
    np.testing.assert_allclose(np.sort(shape.vertices, 0), np.sort(TRIANGLE.vertices, 0), atol=1e-6)


def test_ply_points_with_normals_and_colours(tmp_path):
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    colors = np.tile(np.float32([0.5, 0.25, 0]), (20, 1))
    (tmp_path / "a.ply").write_bytes(ply_bytes(Mesh(POINTS, NO_FACES, colors, normals)))
    cloud = read_shape(tmp_path / "a.ply")
    assert len(cloud.faces) == 0
    np.testing.assert_array_equal(cloud.vertices, POINTS)
    np.testing.assert_allclose(cloud.normals, normals, atol=1e-6)
    np.testing.assert_allclose(cloud.colors, colors, atol=0.005)


def test_glb_points_are_turned_z_up(tmp_path):
    trimesh.Scene(trimesh.PointCloud(POINTS)).export(str(tmp_path / "a.glb"))
    np.testing.assert_allclose(read_shape(tmp_path / "a.glb").vertices, POINTS[:, [0, 2, 1]] * [1, -1, 1], atol=1e-6)


def test_pcd(tmp_path):
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 20\nHEIGHT 1\nPOINTS 20\nDATA binary\n"
    (tmp_path / "a.pcd").write_bytes(head.encode() + POINTS.tobytes())
    np.testing.assert_array_equal(read_shape(tmp_path / "a.pcd").vertices, POINTS)


def test_what_cannot_be_read_is_named(tmp_path):
    for name, content, words in (
        ("a.txt", b"", "must end in"),
        ("a.pcd", b"nothing", "no whole .pcd file"),
        ("a.ply", b"nothing", "cannot be read as PLY"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_shape(tmp_path / name)
    with pytest.raises(InputError, match="There is no file"):
        read_shape(tmp_path / "b.ply")
    broken = POINTS.copy()
    broken[3] = np.nan
    cloud = ply_bytes(Mesh(POINTS, NO_FACES)).replace(POINTS.tobytes(), broken.tobytes())
    (tmp_path / "nan.ply").write_bytes(cloud)
    with pytest.raises(InputError, match="not numbers"):
        read_shape(tmp_path / "nan.ply")
