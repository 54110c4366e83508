"""Meshes as the bytes of files: glTF binary 2.0, Wavefront OBJ and PLY.

Standard library and NumPy only: Blender's own Python writes files too.

Vertices arrive in Blender's frame (Z up, front −Y). GLB and OBJ turn them into their own (Y up, front +Z), PLY keeps
them.
"""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np

from ..color import linear_to_srgb
from ..mesh import Mesh

ROUGHNESS = 0.8
_FLOAT, _UNSIGNED_INT = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_DIFFERENCE_FROM_ABOVE = 2
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071


def to_y_up(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) points or directions from Z up, front −Y to Y up, front +Z."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], axis=1)


def to_z_up(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) points or directions from Y up, front +Z to Z up, front −Y."""
    return np.stack([vectors[:, 0], -vectors[:, 2], vectors[:, 1]], axis=1)


def glb_bytes(mesh: Mesh, shape_keys: np.ndarray | None = None) -> bytes:
    """glTF 2.0 in one binary file: one mesh, one metallic-roughness material, the texture as an embedded PNG.

    A vertex of the file has one UV, so vertices on seams are there more than once. Vertex colours go in where there is
    no texture; glTF would multiply the two. shape_keys (K, V, 3), positions of the vertices, become morph targets, all
    but the first, which is the mesh itself.
    """
    corner_vertex, corner_uv, indices = _vertices_with_one_uv(mesh)
    positions = to_y_up(mesh.vertices)[corner_vertex]
    attributes = {"POSITION": positions}
    if mesh.normals is not None:
        length = np.linalg.norm(mesh.normals, axis=1, keepdims=True)
        unit = np.where(length > 0, mesh.normals / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
        attributes["NORMAL"] = to_y_up(unit)[corner_vertex]
    if corner_uv is not None:
        attributes["TEXCOORD_0"] = np.stack([corner_uv[:, 0], 1 - corner_uv[:, 1]], axis=1)
    if mesh.colors is not None and mesh.texture is None:
        attributes["COLOR_0"] = np.clip(mesh.colors, 0, 1)[corner_vertex]

    document = _GltfDocument()
    accessors = {name: document.add_floats(array) for name, array in attributes.items()}
    primitive = {"attributes": accessors, "indices": document.add_indices(indices), "material": 0}
    shape: dict = {"primitives": [primitive], "name": "Gen3D"}
    if shape_keys is not None:
        moved = [to_y_up(key - mesh.vertices)[corner_vertex] for key in shape_keys[1:]]
        primitive["targets"] = [{"POSITION": document.add_floats(displacement)} for displacement in moved]
        shape["weights"] = [0.0] * len(moved)
        shape["extras"] = {"targetNames": [f"Step {number}" for number in range(2, len(moved) + 2)]}
    material: dict = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    if mesh.texture is not None:
        document.add_texture(png_bytes(mesh.texture))
        material["baseColorTexture"] = {"index": 0}
    document.json |= {
        "asset": {"version": "2.0", "generator": "Gen3D"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "Gen3D"}],
        "meshes": [shape],
        "materials": [{"name": "Gen3D", "pbrMetallicRoughness": material}],
    }
    return document.to_bytes()


class _GltfDocument:
    """A glTF document that grows, with its one binary buffer."""

    def __init__(self) -> None:
        self.json: dict = {"accessors": [], "bufferViews": []}
        self.buffer = bytearray()

    def add_floats(self, array: np.ndarray) -> int:
        """An accessor on (N, 2) or (N, 3) float32 vertex data; returns its number."""
        array = np.ascontiguousarray(array, dtype="<f4")
        view = self._add_view(array.tobytes(), target=_ARRAY_BUFFER)
        accessor = {"bufferView": view, "componentType": _FLOAT, "count": len(array), "type": f"VEC{array.shape[1]}"}
        accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        return self._append("accessors", accessor)

    def add_indices(self, faces: np.ndarray) -> int:
        """An accessor on the corners of (F, 3) triangles; returns its number."""
        view = self._add_view(np.ascontiguousarray(faces, dtype="<u4").tobytes(), target=_ELEMENT_ARRAY_BUFFER)
        accessor = {"bufferView": view, "componentType": _UNSIGNED_INT, "count": faces.size, "type": "SCALAR"}
        return self._append("accessors", accessor)

    def add_texture(self, png: bytes) -> None:
        """An embedded image with a sampler; texture number 0."""
        view = self._add_view(png)
        self.json["images"] = [{"bufferView": view, "mimeType": "image/png", "name": "Gen3D"}]
        filters = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR}
        self.json["samplers"] = [filters | {"wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE}]
        self.json["textures"] = [{"source": 0, "sampler": 0}]

    def to_bytes(self) -> bytes:
        """The GLB container: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
        self.json["buffers"] = [{"byteLength": len(self.buffer)}]
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        header = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(self.buffer))
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(self.buffer), b"BIN\0")
        return header + chunks + bytes(self.buffer)

    def _add_view(self, content: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self.buffer += content + bytes(-len(content) % 4)
        return self._append("bufferViews", view)

    def _append(self, kind: str, entry: dict) -> int:
        self.json[kind].append(entry)
        return len(self.json[kind]) - 1


def _vertices_with_one_uv(mesh: Mesh) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The mesh's vertex and the UV (N, 2) of each vertex in a file that allows one UV a vertex, and faces (F, 3)."""
    if mesh.uvs is None:
        return np.arange(len(mesh.vertices)), None, mesh.faces
    corners = np.empty(mesh.faces.size, dtype=[("vertex", "i4"), ("uv", "i4", 2)])
    corners["vertex"] = mesh.faces.reshape(-1)
    corners["uv"] = mesh.uvs.reshape(-1, 2).view(np.int32)  # bit patterns: equal floats, equal whole numbers
    _, first, inverse = np.unique(corners.view("V12"), return_index=True, return_inverse=True)
    return corners["vertex"][first], mesh.uvs.reshape(-1, 2)[first], inverse.reshape(-1, 3)


def obj_bytes(mesh: Mesh, material_file: str | None) -> bytes:
    """Wavefront OBJ that names its material file, if any. Without a texture, vertex colours follow the positions in
    sRGB, as MeshLab and Blender read them."""
    lines = ["# Gen3D", *([f"mtllib {material_file}"] if material_file else []), "o Gen3D"]
    positions = to_y_up(mesh.vertices)
    if mesh.colors is not None and mesh.texture is None:
        colors = linear_to_srgb(np.clip(mesh.colors, 0, 1))
        lines += _text_rows("v {:.7g} {:.7g} {:.7g} {:.4f} {:.4f} {:.4f}", np.hstack([positions, colors]))
    else:
        lines += _text_rows("v {:.7g} {:.7g} {:.7g}", positions)
    names = [(mesh.faces + 1).reshape(-1)]
    separator = ""
    if mesh.uvs is not None:
        uvs, uv_index = np.unique(mesh.uvs.reshape(-1, 2), axis=0, return_inverse=True)
        lines += _text_rows("vt {:.7g} {:.7g}", uvs)
        names.append(uv_index.reshape(-1) + 1)
        separator = "/"
    if mesh.normals is not None:
        lines += _text_rows("vn {:.5f} {:.5f} {:.5f}", to_y_up(mesh.normals))
        separator = "/" if separator else "//"
        names.append(names[0])
    corner = separator.join(["{}"] * len(names))
    lines += [*(["usemtl Gen3D"] if material_file else []), "s 1" if mesh.normals is not None else "s off"]
    lines += _text_rows(f"f {corner} {corner} {corner}", np.stack(names, axis=1).reshape(len(mesh.faces), -1))
    return ("\n".join(lines) + "\n").encode()


def _text_rows(form: str, rows: np.ndarray) -> list[str]:
    return [form.format(*row) for row in rows.tolist()]


def mtl_bytes(texture_file: str) -> bytes:
    """The material that an OBJ with a texture names."""
    lines = ["# Gen3D", "newmtl Gen3D", "Kd 1 1 1", "Ks 0 0 0", "illum 1", f"map_Kd {texture_file}"]
    return ("\n".join(lines) + "\n").encode()


def ply_bytes(mesh: Mesh) -> bytes:
    """Binary little-endian PLY: positions, normals and sRGB vertex colours; PLY has no common way to hold a texture."""
    fields: list[tuple[str, str]] = [(name, "<f4") for name in ("x", "y", "z")]
    columns = list(mesh.vertices.T)
    if mesh.normals is not None:
        fields += [(name, "<f4") for name in ("nx", "ny", "nz")]
        columns += list(mesh.normals.T)
    if mesh.colors is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
        columns += list(np.rint(255 * linear_to_srgb(np.clip(mesh.colors, 0, 1))).T)
    vertices = np.empty(len(mesh.vertices), dtype=fields)
    for (name, _), column in zip(fields, columns, strict=True):
        vertices[name] = column
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    words = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", "comment Gen3D", f"element vertex {len(vertices)}"]
    header += [f"property {words[kind]} {name}" for name, kind in fields]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + vertices.tobytes() + faces.tobytes()


def png_bytes(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8, or (H, W, 4) with alpha, as PNG. Each row is stored as its difference from the one above, which
    packs smooth colours."""
    height, width, channels = image.shape
    color_type = {3: 2, 4: 6}[channels]
    rows = image.reshape(height, -1)
    above = np.vstack([np.zeros((1, rows.shape[1]), dtype=np.uint8), rows[:-1]])
    filtered = np.empty((height, 1 + rows.shape[1]), dtype=np.uint8)
    filtered[:, 0] = _DIFFERENCE_FROM_ABOVE
    np.subtract(rows, above, out=filtered[:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)  # 8 bits a channel, not interlaced
    chunks = ((b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, content) for kind, content in chunks)


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
