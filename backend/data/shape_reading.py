"""Reading what may be a mesh or a cloud of points: the formats of read_mesh, and .pcd."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import trimesh

from ..color import srgb_to_linear
from ..errors import InputError
from ..mesh import Mesh
from .mesh_encodings import to_z_up
from .mesh_reading import READABLE, Y_UP, load_scene, read_mesh
from .pcd import read_pcd

READABLE_SHAPES = (*READABLE, ".pcd")


def read_shape(path: str | os.PathLike[str]) -> Mesh:
    """The file's mesh or, where it has no triangles, its points as a Mesh without faces; in Blender's frame.

    Points bring their colours (linear), and their normals where the file has them. Raises InputError as `read_mesh`
    does, and for a file that has neither triangles nor points.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in READABLE_SHAPES:
        raise InputError(f"Cannot read '{path.name}': the name must end in {', '.join(READABLE_SHAPES[:-1])} or .pcd.")
    if not path.is_file():
        raise InputError(f"There is no file '{path}'.")
    cloud = _pcd_cloud(path) if ending == ".pcd" else _cloud(path, ending)
    return read_mesh(path) if cloud is None else cloud


def _pcd_cloud(path: Path) -> Mesh:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    try:
        points = read_pcd(content)
    except InputError as error:
        raise InputError(f"'{path.name}' is no whole .pcd file: {error}") from error
    colors = None if points.srgb is None else srgb_to_linear(points.srgb / np.float32(255))
    return Mesh(points.positions, np.zeros((0, 3), np.int32), colors, _unit(points.normals))


def _cloud(path: Path, ending: str) -> Mesh | None:
    """The file's points, when it has no triangles but points; else None."""
    scene = load_scene(path, ending)
    clouds: list[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]] = []
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        shape = scene.geometry[name]
        if isinstance(shape, trimesh.Trimesh) and len(shape.faces):
            return None
        if not isinstance(shape, (trimesh.PointCloud, trimesh.Trimesh)) or not len(shape.vertices):
            continue
        positions = np.asarray(shape.vertices) @ transform[:3, :3].T + transform[:3, 3]
        clouds.append((positions, _point_colors(shape, ending), _point_normals(shape, transform)))
    if not clouds:
        raise InputError(f"'{path.name}' has neither triangles nor points; export the object again.")
    positions, colors, normals = zip(*clouds, strict=True)
    joined = np.concatenate(positions)
    if not np.isfinite(joined).all():
        raise InputError(f"'{path.name}' has points whose coordinates are not numbers; export it again.")
    cloud = Mesh(joined.astype(np.float32), np.zeros((0, 3), np.int32), _joined(colors), _unit(_joined(normals)))
    if ending not in Y_UP:
        return cloud
    turned = None if cloud.normals is None else to_z_up(cloud.normals)
    return Mesh(to_z_up(cloud.vertices), cloud.faces, cloud.colors, turned)


def _joined(parts: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    """All parts as one; None when any of them lacks what is asked for."""
    present = [part for part in parts if part is not None]
    return np.concatenate(present).astype(np.float32) if len(present) == len(parts) else None


def _point_colors(shape: trimesh.PointCloud | trimesh.Trimesh, ending: str) -> np.ndarray | None:
    colors = getattr(shape, "colors", None)
    if not isinstance(shape, trimesh.PointCloud) or colors is None or len(colors) != len(shape.vertices):
        return None
    encoded = np.asarray(colors)[:, :3] / np.float32(255)
    return encoded if ending in Y_UP and ending != ".obj" else srgb_to_linear(encoded)


def _point_normals(shape: trimesh.PointCloud | trimesh.Trimesh, transform: np.ndarray) -> np.ndarray | None:
    """PLY's nx, ny and nz, which trimesh keeps with the raw file only."""
    raw = shape.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    if raw is None or not {"nx", "ny", "nz"} <= set(getattr(raw.dtype, "names", None) or ()):
        return None
    normals = np.stack([np.asarray(raw[name], np.float64).reshape(-1) for name in ("nx", "ny", "nz")], axis=1)
    return normals @ transform[:3, :3].T if len(normals) == len(shape.vertices) else None


def _unit(normals: np.ndarray | None) -> np.ndarray | None:
    """Normals of unit length; None when any has no direction, as in clouds that carry zeros for "not known"."""
    if normals is None:
        return None
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / lengths).astype(np.float32) if np.isfinite(normals).all() and (lengths > 1e-6).all() else None
