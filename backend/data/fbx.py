"""Reading .fbx, by the Open Asset Import Library. Packing a data set alone needs it; generating does not install it."""

from __future__ import annotations

from pathlib import Path, PurePath, PureWindowsPath

import assimp_py
import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial

from ..errors import InputError
from ..mesh import Mesh
from .mesh_reading import mesh_of_scene

_STEPS = assimp_py.Process_Triangulate | assimp_py.Process_PreTransformVertices


def read_fbx(path: Path) -> Mesh:
    """All triangles of the file in Blender's frame, in the file's own unit, with the colours that it has, as
    `mesh_reading.read_mesh` gives them for other formats.

    Colours are the vertex colours, else those of the diffuse texture's file (where the material says, or beside the
    .fbx), else the diffuse colour. Raises InputError for a damaged file and for one without triangles.
    """
    try:
        imported = assimp_py.import_file(str(path), _STEPS)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"'{path.name}' cannot be read as FBX: {error}") from error
    scene = trimesh.Scene()
    for mesh in imported.meshes:
        faces = np.asarray(mesh.indices, np.int64)
        if len(faces) != 3 * mesh.num_faces:
            continue  # loose edges and points
        vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
        shape = trimesh.Trimesh(vertices, faces.reshape(-1, 3), process=False)
        shape.visual = _visual(mesh, imported.materials[mesh.material_index], path.parent)
        scene.add_geometry(shape)
    return mesh_of_scene(scene, path, ".fbx")


def _visual(mesh: assimp_py.Mesh, material: dict, folder: Path) -> ColorVisuals | TextureVisuals:
    if mesh.colors:
        rgba = np.asarray(mesh.colors[0], np.float64).reshape(mesh.num_vertices, -1)
        return ColorVisuals(vertex_colors=np.rint(rgba.clip(0, 1) * 255).astype(np.uint8))
    image = _diffuse_image(material, folder) if mesh.texcoords else None
    if image is None:
        factor = [*material.get("COLOR_DIFFUSE", (0.8, 0.8, 0.8)), 1.0]
        return TextureVisuals(uv=None, material=PBRMaterial(baseColorFactor=factor))
    uvs = np.asarray(mesh.texcoords[0], np.float64).reshape(mesh.num_vertices, -1)[:, :2]
    return TextureVisuals(uv=uvs, material=PBRMaterial(baseColorTexture=image))


def _diffuse_image(material: dict, folder: Path) -> Image.Image | None:
    """The texture's file, looked for where the material says and then beside the .fbx; None where there is none."""
    for name in material.get("TEXTURES", {}).get(assimp_py.TextureType_DIFFUSE, ()):
        # FBX files carry the paths of the computer that wrote them.
        written = PureWindowsPath(name) if "\\" in name else PurePath(name)
        for place in (folder / written, folder / written.name):
            try:
                return Image.open(place).convert("RGB")
            except OSError:
                continue
    return None
