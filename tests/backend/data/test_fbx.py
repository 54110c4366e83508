"""Reading .fbx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.data.fbx import read_fbx
from backend.data.model_folder import open_data
from backend.errors import InputError

TETRAHEDRON = """; FBX 7.4.0 project file
FBXHeaderExtension:  {
    FBXHeaderVersion: 1003
    FBXVersion: 7400
}
Objects:  {
    Geometry: 1, "Geometry::box", "Mesh" {
        Vertices: *12 {
            a: 0,0,0,1,0,0,0,2,0,0,0,4
        }
        PolygonVertexIndex: *12 {
            a: 0,2,-2,0,1,-4,0,3,-3,1,2,-4
        }
        GeometryVersion: 124
        LayerElementMaterial: 0 {
            Version: 101
            MappingInformationType: "AllSame"
            ReferenceInformationType: "IndexToDirect"
            Materials: *1 {
                a: 0
            }
        }
        Layer: 0 {
            Version: 100
            LayerElement:  {
                Type: "LayerElementMaterial"
                TypedIndex: 0
            }
        }
    }
    Model: 2, "Model::box", "Mesh" {
        Version: 232
        Properties70:  {
            P: "Lcl Translation", "Lcl Translation", "", "A",10,0,0
        }
    }
    Material: 3, "Material::red", "" {
        Version: 102
        ShadingModel: "lambert"
        Properties70:  {
            P: "DiffuseColor", "Color", "", "A",1,0.2,0
        }
    }
}
Connections:  {
    C: "OO",2,0
    C: "OO",1,2
    C: "OO",3,2
}
"""


def test_triangles_colour_and_frame(tmp_path: Path) -> None:
    path = tmp_path / "tetrahedron.fbx"
    path.write_text(TETRAHEDRON, encoding="utf-8")
    mesh = read_fbx(path)
    # Y up in the file: its height of 2 becomes z, its depth of 4 to the front becomes −y; and it stands at x = 10.
    assert sorted(map(tuple, mesh.vertices.tolist())) == [(10, -4, 0), (10, 0, 0), (10, 0, 2), (11, 0, 0)]
    corners = mesh.vertices[mesh.faces].astype(float)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume == pytest.approx(1 * 2 * 4 / 6, rel=1e-5)
    assert mesh.colors is not None and np.abs(mesh.colors - [1, 0.2, 0]).max() < 1 / 255


def test_a_damaged_file_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.fbx"
    path.write_bytes(b"Kaydara FBX Binary  \x00\x1a\x00" + bytes(50))
    with pytest.raises(InputError, match=r"'broken.fbx' cannot be read as FBX"):
        read_fbx(path)


def test_it_can_be_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "red_tetrahedron.fbx"
    path.write_text(TETRAHEDRON, encoding="utf-8")
    shape = open_data(path, tmp_path / "packed")[0]
    assert (shape.caption, shape.watertight) == ("a red tetrahedron", True)
    assert np.ptp(shape.vertices, axis=0) == pytest.approx([0.45, 1.8, 0.9], abs=1e-4)
