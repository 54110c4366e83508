"""Writing meshes to files: .glb, .obj (with .mtl and .png beside it where there is a texture) and .ply.

Standard library and NumPy only, as Blender's own Python writes files too; mesh_reading reads, and needs more.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np

from ..errors import InputError, MachineError
from ..mesh import Mesh
from .mesh_encodings import glb_bytes, mtl_bytes, obj_bytes, ply_bytes, png_bytes

WRITABLE = (".glb", ".obj", ".ply")


def write_mesh(
    path: str | os.PathLike[str],
    mesh: Mesh,
    transform: np.ndarray | None = None,
    shape_keys: np.ndarray | None = None,
) -> None:
    """Write the mesh, its vertices taken through the (4, 4) transform first, in the format that the name ends in.

    shape_keys (K, V, 3), where the vertices are in each step of a morph, go through the transform as well; they become
    morph targets, which of these formats GLB alone has.

    Files that were there stay whole unless all new ones could be written. Raises InputError for a mesh without faces
    and for an ending or folder that cannot be written to, MachineError when the disk is full or refuses otherwise.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in WRITABLE:
        raise InputError(f"Cannot write '{path.name}': the name must end in .glb, .obj or .ply.")
    if not len(mesh.faces):
        raise InputError(f"'{path.name}' was not written: the mesh has no faces.")
    if shape_keys is not None and ending != ".glb":
        raise InputError(f"'{path.name}' was not written: shape keys need a name that ends in .glb.")
    if transform is not None:
        mesh = mesh.transformed(transform)
        if shape_keys is not None:
            shape_keys = shape_keys @ transform[:3, :3].T + transform[:3, 3]
    if ending == ".glb":
        write_files({path: glb_bytes(mesh, shape_keys)})
    elif ending == ".ply":
        write_files({path: ply_bytes(mesh)})
    elif mesh.texture is None:
        write_files({path: obj_bytes(mesh, None)})
    else:
        # Names in OBJ and MTL files end at a blank in many readers.
        beside = path.with_name("_".join(path.stem.split()))
        material, picture = beside.with_suffix(".mtl"), beside.with_suffix(".png")
        material_bytes = mtl_bytes(picture.name)
        write_files({picture: png_bytes(mesh.texture), material: material_bytes, path: obj_bytes(mesh, material.name)})


def named_views(beside: Path, views: np.ndarray) -> dict[Path, bytes]:
    """The files of pictures (N, S, S, 4) uint8 beside a mesh "chair.glb": "chair-view-01.png" and so on."""
    return {
        beside.with_name(f"{beside.stem}-view-{number:02}.png"): png_bytes(view) for number, view in enumerate(views, 1)
    }


def write_files(contents: dict[Path, bytes]) -> None:
    """Write all files or, when one cannot be written, none: each goes to a temporary file in its folder first.

    Raises InputError for a folder that is missing or forbidden, MachineError for a full disk or any other failure.
    """
    written: list[tuple[str, Path]] = []
    path = next(iter(contents))
    try:
        for path, content in contents.items():
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                written.append((file.name, path))
                file.write(content)
        for name, path in written:
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
    except OSError as error:
        raise _as_sentence(error, path) from error
    finally:
        for name, _ in written:
            Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _as_sentence(error: OSError, path: Path) -> InputError | MachineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(f"The disk is full: '{path}' was not written; make room and try again.")
    if not path.parent.is_dir():
        return InputError(f"The folder '{path.parent}' does not exist; make it or choose another one.")
    if path.is_dir():
        return InputError(f"'{path}' is a folder; choose a file name.")
    if isinstance(error, PermissionError):
        return InputError(f"You may not write to '{path}'; choose another place.")
    return MachineError(f"'{path}' could not be written: {error.strerror or error}.")
