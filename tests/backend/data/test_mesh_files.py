"""Files written by us and read by others, files written by others and read by us, and what goes wrong on the way."""

import errno
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend.color import linear_to_srgb
from backend.data import mesh_files
from backend.data.mesh_encodings import glb_bytes, png_bytes
from backend.data.mesh_files import write_mesh
from backend.data.mesh_reading import read_mesh
from backend.errors import InputError, MachineError
from backend.mesh import Mesh
from backend.meshing.normals import vertex_normals
from backend.meshing.validity import is_manifold


def box_mesh(*, textured: bool = True) -> Mesh:
    """A box of 1 × 2 × 3 around (0, 0, 1.5) whose corners have colours and whose sides share one texture."""
    box = trimesh.creation.box((1, 2, 3)).apply_translation((0, 0, 1.5))
    vertices, faces = np.asarray(box.vertices, dtype=np.float32), np.asarray(box.faces)
    colors = (vertices - vertices.min(axis=0)) / np.ptp(vertices, axis=0)
    corners = vertices[faces]
    uvs = np.stack([corners[..., 0] + 0.5, corners[..., 2] / 3], axis=-1)
    texture = np.zeros((8, 16, 3), dtype=np.uint8)
    texture[:4], texture[4:] = (200, 10, 30), (20, 220, 90)  # red at the top, green below
    return Mesh(
        vertices,
        faces,
        colors,
        vertex_normals(vertices, faces),
        uvs if textured else None,
        texture if textured else None,
    )


def chunks_of(glb: bytes) -> tuple[dict, bytes]:
    """JSON and binary chunk, by the container's definition (glTF 2.0 specification, section 4)."""
    magic, version, length = struct.unpack_from("<4sII", glb)
    assert (magic, version, length) == (b"glTF", 2, len(glb))
    size, kind = struct.unpack_from("<I4s", glb, 12)
    assert kind == b"JSON" and size % 4 == 0
    text = glb[20 : 20 + size]
    binary_size, binary_kind = struct.unpack_from("<I4s", glb, 20 + size)
    assert binary_kind == b"BIN\0" and binary_size % 4 == 0 and 28 + size + binary_size == length
    return json.loads(text), glb[28 + size :]


@pytest.mark.parametrize("textured", [True, False])
def test_glb_follows_the_specification(textured: bool) -> None:
    document, binary = chunks_of(glb_bytes(box_mesh(textured=textured)))
    assert document["asset"]["version"] == "2.0"
    assert document["buffers"] == [{"byteLength": len(binary)}]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0 and view["byteOffset"] + view["byteLength"] <= len(binary)
    (primitive,) = document["meshes"][0]["primitives"]
    colored_by = "TEXCOORD_0" if textured else "COLOR_0"
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", colored_by}
    arrays = {}
    for name, number in [*primitive["attributes"].items(), ("indices", primitive["indices"])]:
        accessor = document["accessors"][number]
        view = document["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        assert view["byteLength"] == accessor["count"] * width * 4
        assert view["target"] == (34963 if name == "indices" else 34962)
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        array = np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)
        if name != "indices":
            np.testing.assert_array_equal(array.min(axis=0), np.float32(accessor["min"]))
            np.testing.assert_array_equal(array.max(axis=0), np.float32(accessor["max"]))
        arrays[name] = array
    assert len(arrays["indices"]) == 36 and arrays["indices"].max() == len(arrays["POSITION"]) - 1
    np.testing.assert_allclose(np.linalg.norm(arrays["NORMAL"], axis=1), 1, atol=1e-6)
    assert len({len(array) for name, array in arrays.items() if name != "indices"}) == 1
    if textured:
        material = document["materials"][primitive["material"]]["pbrMetallicRoughness"]
        image = document["images"][document["textures"][material["baseColorTexture"]["index"]]["source"]]
        view = document["bufferViews"][image["bufferView"]]
        assert image["mimeType"] == "image/png" and "target" not in view
        assert binary[view["byteOffset"] :].startswith(b"\x89PNG")


def test_glb_stands_upright_and_faces_the_viewer_in_gltf_s_frame(tmp_path: Path) -> None:
    tip = np.array([[0.0, 0, 0], [1, 0, 0], [0, -5, 0], [0, 0, 9]])  # front is −Y, up is Z
    faces = trimesh.convex.convex_hull(tip).faces
    write_mesh(tmp_path / "tip.glb", Mesh(tip, faces))
    loaded = trimesh.load_mesh(tmp_path / "tip.glb")
    np.testing.assert_allclose(loaded.bounds, [[0, 0, 0], [1, 9, 5]])
    assert loaded.volume > 0


@pytest.mark.parametrize("ending", [".glb", ".obj"])
def test_textured_files_come_back_as_they_went(tmp_path: Path, ending: str) -> None:
    mesh = box_mesh()
    write_mesh(tmp_path / f"a box{ending}", mesh)
    back = read_mesh(tmp_path / f"a box{ending}")
    assert is_manifold(back.faces), "seams must not open the surface"
    order = np.lexsort(mesh.vertices.T)
    again = np.lexsort(back.vertices.T)
    np.testing.assert_allclose(back.vertices[again], mesh.vertices[order], atol=1e-6)
    assert {tuple(corner) for corner in corner_keys(back)} == {tuple(corner) for corner in corner_keys(mesh)}
    np.testing.assert_array_equal(back.texture, mesh.texture)
    red, green = (np.array(color) / 255 for color in ((200, 10, 30), (20, 220, 90)))
    top = back.vertices[:, 2] > 1.5
    np.testing.assert_allclose(linear_to_srgb(back.colors[top]), np.tile(red, (4, 1)), atol=1e-3)
    np.testing.assert_allclose(linear_to_srgb(back.colors[~top]), np.tile(green, (4, 1)), atol=1e-3)


def corner_keys(mesh: Mesh) -> np.ndarray:
    """Position and UV of every corner, rounded, whatever the order of vertices and faces."""
    assert mesh.uvs is not None
    return np.round(np.concatenate([mesh.vertices[mesh.faces], mesh.uvs], axis=2).reshape(-1, 5), 4) + 0.0


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply"])
def test_vertex_colours_come_back_linear(tmp_path: Path, ending: str) -> None:
    mesh = box_mesh(textured=False)
    write_mesh(tmp_path / f"box{ending}", mesh)
    back = read_mesh(tmp_path / f"box{ending}")
    order, again = np.lexsort(mesh.vertices.T), np.lexsort(back.vertices.T)
    np.testing.assert_allclose(back.vertices[again], mesh.vertices[order], atol=1e-6)
    np.testing.assert_allclose(back.colors[again], mesh.colors[order], atol=0.01)


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply"])
def test_trimesh_reads_what_we_write(tmp_path: Path, ending: str) -> None:
    mesh = box_mesh()
    write_mesh(tmp_path / f"box{ending}", mesh)
    loaded = trimesh.load_mesh(tmp_path / f"box{ending}", process=False)
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    assert loaded.is_watertight and loaded.volume == pytest.approx(6)
    assert sorted(loaded.extents) == pytest.approx([1, 2, 3])
    if ending != ".ply":
        picture = loaded.visual.material.to_pbr() if ending == ".obj" else loaded.visual.material
        np.testing.assert_array_equal(np.asarray(picture.baseColorTexture.convert("RGB")), mesh.texture)


def test_png_is_what_pillow_decodes(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    (tmp_path / "noise.png").write_bytes(png_bytes(image))
    with Image.open(tmp_path / "noise.png") as decoded:
        decoded.verify()
    with Image.open(tmp_path / "noise.png") as decoded:
        assert decoded.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(decoded), image)


def test_transform_goes_into_the_vertices(tmp_path: Path) -> None:
    transform = np.diag([2.0, 2, 2, 1])
    transform[:3, 3] = 10, 0, 0
    write_mesh(tmp_path / "box.ply", box_mesh(), transform)
    np.testing.assert_allclose(trimesh.load_mesh(tmp_path / "box.ply").bounds, [[9, -2, 0], [11, 2, 6]])


def test_scene_nodes_are_merged_where_they_stand(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    part = trimesh.creation.box()
    turned = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1], [1, 0, 0])
    scene.add_geometry(part, node_name="one")
    scene.add_geometry(part, node_name="two", transform=trimesh.transformations.translation_matrix([0, 4, 0]) @ turned)
    scene.export(tmp_path / "scene.glb")
    mesh = read_mesh(tmp_path / "scene.glb")
    assert len(mesh.faces) == 24
    # Y up in the file: four units up are four along Z, and (1, −1) lies below after the turn about (1, 0).
    np.testing.assert_allclose(
        [mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], [[-0.5, -0.5, -0.5], [1.5, 0.5, 3.5]]
    )


def test_material_colours_reach_the_vertices(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for color, x in (((255, 0, 0, 255), 0), ((0, 0, 128, 255), 3)):
        part = trimesh.creation.box().apply_translation((x, 0, 0))
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=color)
        part.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(part)
    scene.export(tmp_path / "two.glb")
    mesh = read_mesh(tmp_path / "two.glb")
    left = mesh.vertices[:, 0] < 1
    np.testing.assert_allclose(mesh.colors[left], np.tile([1, 0, 0], (8, 1)), atol=5e-3)
    np.testing.assert_allclose(mesh.colors[~left], np.tile([0, 0, 0.5], (8, 1)), atol=5e-3)
    assert mesh.texture is None


def test_stl_is_read_as_it_stands_without_colours(tmp_path: Path) -> None:
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "box.STL")
    mesh = read_mesh(tmp_path / "box.STL")
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1, 2, 3])
    assert is_manifold(mesh.faces) and mesh.colors is None


def refused(path: Path) -> str:
    with pytest.raises(InputError) as refusal:
        read_mesh(path)
    message = str(refusal.value)
    assert "\n" not in message
    return message


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "missing.glb")
    assert "must end in .glb" in refused(tmp_path / "model.fbx")
    (tmp_path / "broken.glb").write_bytes(glb_bytes(box_mesh())[:200])
    assert "cannot be read as GLB" in refused(tmp_path / "broken.glb")
    (tmp_path / "text.ply").write_text("not a mesh at all")
    assert "cannot be read as PLY" in refused(tmp_path / "text.ply")
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "points.ply")
    assert "no triangles" in refused(tmp_path / "points.ply")
    (tmp_path / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert "not numbers" in refused(tmp_path / "nan.obj")
    (tmp_path / "flat.obj").write_text("v 1 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert "without area" in refused(tmp_path / "flat.obj")


def test_names_and_folders_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in"):
        write_mesh(tmp_path / "box.fbx", box_mesh())
    with pytest.raises(InputError, match="does not exist"):
        write_mesh(tmp_path / "nowhere" / "box.glb", box_mesh())
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_mesh(tmp_path / "folder.glb", box_mesh())
    with pytest.raises(InputError, match="no faces"):
        write_mesh(tmp_path / "nothing.glb", Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int32)))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.glb"]


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply"])
def test_full_disk_leaves_the_old_files_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = tmp_path / f"box{ending}"
    write_mesh(path, box_mesh())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    named_temporary_file = mesh_files.tempfile.NamedTemporaryFile
    opened = []

    def full(*args, **options):
        file = named_temporary_file(*args, **options)
        opened.append(file)
        if len(opened) == (3 if ending == ".obj" else 1):  # the last file of those that belong together

            def no_room(_: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            file.write = no_room
        return file

    monkeypatch.setattr(mesh_files.tempfile, "NamedTemporaryFile", full)
    with pytest.raises(MachineError, match="disk is full"):
        write_mesh(path, box_mesh())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_writing_needs_neither_trimesh_nor_pillow(tmp_path: Path) -> None:
    """Blender's own Python writes files and has neither."""
    import subprocess

    program = (
        "import sys\n"
        "for name in ('trimesh', 'PIL', 'torch', 'scipy'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from backend.data.mesh_files import write_mesh\n"
        "from backend.mesh import Mesh\n"
        "write_mesh(sys.argv[1], Mesh(np.eye(3), np.array([[0, 1, 2]]), uvs=np.zeros((1, 3, 2)),"
        " texture=np.zeros((2, 2, 3), np.uint8)))\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "one.glb")], check=True, cwd=root)
    assert len(read_mesh(tmp_path / "one.glb").faces) == 1
