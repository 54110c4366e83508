"""Reading meshes: .glb, .gltf, .obj, .ply and .stl as one Mesh, with the colours that can be had."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from ..color import srgb_to_linear
from ..errors import InputError
from ..mesh import Mesh
from .mesh_encodings import to_z_up

READABLE = (".glb", ".gltf", ".obj", ".ply", ".stl")
Y_UP = (".glb", ".gltf", ".obj")
_LINEAR_VERTEX_COLORS = (".glb", ".gltf")
_UNPAINTED = 0.8
"""Linear grey of parts without a colour in a file that has colours elsewhere, as Blender shows them."""


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    """All triangles of the file's scene in Blender's frame, as long and where the file says.

    Vertices at the same place become one, so seams of UVs and normals do not open the surface; triangles that this
    makes flat go. Colours, linear, are the material's base colour times its texture times the vertex colours, at the
    vertices. UVs and texture are kept where the whole file has a single texture and nothing else that colours it.

    Raises InputError, with one sentence, for a missing file, an unknown ending, a damaged file, a file without
    triangles and for coordinates that are no numbers.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in READABLE:
        raise InputError(f"Cannot read '{path.name}': the name must end in .glb, .gltf, .obj, .ply or .stl.")
    if not path.is_file():
        raise InputError(f"There is no file '{path}'.")
    return mesh_of_scene(load_scene(path, ending), path, ending)


def mesh_of_scene(scene: trimesh.Scene, path: Path, ending: str) -> Mesh:
    """All triangles of a scene that was read from the file `path`, in the format of the name's `ending`; the same mesh,
    and the same errors, as `read_mesh` gives."""
    parts = _triangle_parts(scene)
    if not parts:
        raise InputError(f"'{path.name}' has no triangles; export the object as a mesh.")

    vertices = np.concatenate([part.vertices for part in parts])
    if not np.isfinite(vertices).all():
        raise InputError(f"'{path.name}' has vertices whose coordinates are not numbers; export it again.")
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=True)])
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"'{path.name}' has triangles on vertices that it does not have; export it again.")
    colors = _joined_colors(parts, ending)
    uvs, texture = _single_texture(parts)
    if uvs is not None:
        uvs = uvs[faces]

    vertices, faces, colors, whole = _welded(vertices.astype(np.float32), faces, colors)
    if not len(faces):
        raise InputError(f"'{path.name}' has only triangles without area; export the object as a mesh.")
    if ending in (*Y_UP, ".fbx"):
        vertices = to_z_up(vertices)
    return Mesh(vertices, faces, colors, None, None if uvs is None else uvs[whole], texture)


@dataclass(frozen=True)
class _Part:
    """One mesh of the scene where it stands: vertices (V, 3) float64, faces (F, 3) int, and what it looks like."""

    vertices: np.ndarray
    faces: np.ndarray
    visual: ColorVisuals | TextureVisuals | None


def _triangle_parts(scene: trimesh.Scene) -> list[_Part]:
    """The scene's meshes with their nodes' transforms applied."""
    parts = []
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        shape = scene.geometry[name]
        if isinstance(shape, trimesh.Trimesh) and len(shape.faces):
            linear = transform[:3, :3]
            faces = np.asarray(shape.faces)
            vertices = np.asarray(shape.vertices) @ linear.T + transform[:3, 3]
            parts.append(_Part(vertices, faces[:, ::-1] if np.linalg.det(linear) < 0 else faces, shape.visual))
    return parts


def load_scene(path: Path, ending: str) -> trimesh.Scene:
    """All that the file holds, as trimesh reads it. Raises InputError for a damaged file."""
    try:
        return trimesh.load_scene(str(path), file_type=ending[1:], process=False)
    except MemoryError:
        raise
    except Exception as error:
        # The readers of five formats meet damage in too many ways to name; the reason goes along.
        raise InputError(f"'{path.name}' cannot be read as {ending[1:].upper()}: {error}") from error


def _joined_colors(parts: list[_Part], ending: str) -> np.ndarray | None:
    colors = [_linear_colors(part, ending) for part in parts]
    if all(color is None for color in colors):
        return None
    filled = [
        np.full((len(part.vertices), 3), _UNPAINTED) if color is None else color
        for part, color in zip(parts, colors, strict=True)
    ]
    return np.clip(np.concatenate(filled), 0, 1).astype(np.float32)


def _linear_colors(part: _Part, ending: str) -> np.ndarray | None:
    """Linear RGB at the vertices (V, 3), or None where the file says nothing about colour."""
    visual = part.visual
    if isinstance(visual, TextureVisuals):
        return _material_colors(part, visual)
    if not isinstance(visual, ColorVisuals) or not visual.defined:
        return None
    encoded = visual.vertex_colors[:, :3] / 255
    return encoded if ending in _LINEAR_VERTEX_COLORS else srgb_to_linear(encoded)


def _material_colors(part: _Part, visual: TextureVisuals) -> np.ndarray | None:
    material = _as_pbr(visual.material)
    if material is None:
        return None
    colors = np.ones((len(part.vertices), 3))
    factor = _base_color(material)
    image = _texture_of(material)
    own = visual.vertex_attributes.get("color")
    if factor is None and image is None and own is None:
        return None
    if factor is not None:
        colors *= factor
    if image is not None and visual.uv is not None:
        colors *= srgb_to_linear(_texels_at(image, np.asarray(visual.uv)) / 255)
    if own is not None:
        own = np.asarray(own)[:, :3]
        colors *= own / np.iinfo(own.dtype).max if own.dtype.kind in "iu" else own
    return colors


def _as_pbr(material: object) -> PBRMaterial | None:
    if isinstance(material, PBRMaterial):
        return material
    return material.to_pbr() if isinstance(material, SimpleMaterial) else None


def _base_color(material: PBRMaterial) -> np.ndarray | None:
    """Linear RGB (3,), or None. Trimesh keeps it as bytes of the file's linear numbers."""
    factor = material.baseColorFactor
    return None if factor is None else np.asarray(factor, dtype=np.float64)[:3] / 255


def _texture_of(material: PBRMaterial) -> np.ndarray | None:
    """(H, W, 3) uint8, or None."""
    image = material.baseColorTexture
    return None if image is None else np.asarray(image.convert("RGB"))


def _texels_at(image: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """The texel that each UV (N, 2) falls on, repeating beyond the border, v = 1 at the top: (N, 3) uint8."""
    height, width = image.shape[:2]
    uvs = np.nan_to_num(uvs)
    u, v = np.where((uvs < 0) | (uvs > 1), np.mod(uvs, 1), uvs).T
    row = np.minimum((1 - v) * height, height - 1).astype(np.int64)
    return image[row, np.minimum(u * width, width - 1).astype(np.int64)]


def _single_texture(parts: list[_Part]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """UVs at the file's vertices (V, 2) and the texture, when one image alone colours the whole file."""
    images, uvs = [], []
    for part in parts:
        visual = part.visual
        if not isinstance(visual, TextureVisuals):
            return None, None
        material = _as_pbr(visual.material)
        if material is None or visual.uv is None or (image := _texture_of(material)) is None:
            return None, None
        factor = _base_color(material)
        if (factor is not None and (factor < 1).any()) or "color" in visual.vertex_attributes:
            return None, None
        images.append(image)
        uvs.append(np.nan_to_num(np.asarray(visual.uv, dtype=np.float32)))
    if any(not np.array_equal(image, images[0]) for image in images[1:]):
        return None, None
    return np.concatenate(uvs), images[0]


def _welded(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Vertices at the same place as one with their mean colour; also which faces still have three corners."""
    vertices, place = np.unique(vertices + np.float32(0), axis=0, return_inverse=True)  # −0 becomes 0
    place = place.reshape(-1)
    faces = place[faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    if colors is not None:
        number = np.bincount(place, minlength=len(vertices))[:, None]
        sums = np.stack([np.bincount(place, channel, len(vertices)) for channel in colors.T], axis=1)
        colors = sums / number
    return vertices, faces[whole], colors, whole
