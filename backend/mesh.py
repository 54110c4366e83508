"""A triangle mesh as NumPy arrays: the form in which shapes travel between backend, worker and Blender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with what is known of their surface; raises InputError when the arrays do not fit together.

    vertices   (V, 3) float32, model space unless said otherwise (right-handed, Z up, front −Y)
    faces      (F, 3) int32 indices into vertices, counter-clockwise seen from outside
    colors     (V, 3) float32 linear RGB in [0, 1], or None
    normals    (V, 3) float32 of unit length, or None
    uvs        (F, 3, 2) float32, one for each corner of each face, v = 1 is the top of the texture; or None
    texture    (H, W, 3) uint8 sRGB, row 0 is the top of the image; needs uvs; or None

    Arrays of another float or integer width are converted; all are contiguous afterwards.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None
    normals: np.ndarray | None = None
    uvs: np.ndarray | None = None
    texture: np.ndarray | None = None

    def __post_init__(self) -> None:
        vertices = _floats("vertices", self.vertices, (None, 3))
        faces = _face_indices(self.faces, len(vertices))
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)
        for name, shape in (
            ("colors", (len(vertices), 3)),
            ("normals", (len(vertices), 3)),
            ("uvs", (len(faces), 3, 2)),
        ):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, _floats(name, array, shape))
        if self.texture is not None:
            object.__setattr__(self, "texture", _texture(self.texture))
            if self.uvs is None:
                raise InputError("The mesh has a texture but no UVs to place it by.")

    def transformed(self, matrix: np.ndarray) -> Mesh:
        """The same mesh with its vertices taken through a (4, 4) matrix that rotates, scales evenly and moves."""
        linear = np.asarray(matrix, dtype=np.float64)[:3, :3]
        vertices = self.vertices @ linear.T + matrix[:3, 3]
        normals = self.normals
        if normals is not None:
            normals = normals @ linear.T / np.cbrt(np.linalg.det(linear))
        return Mesh(vertices, self.faces, self.colors, normals, self.uvs, self.texture)


def _floats(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    array = np.asarray(array)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in "fiu":
        wanted = " × ".join("n" if size is None else str(size) for size in shape)
        raise InputError(f"The mesh's {name} must be {wanted} numbers, not {array.shape} of {array.dtype}.")
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"The mesh's {name} contain numbers that are not finite.")
    return array


def _face_indices(array: np.ndarray, vertex_count: int) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu":
        raise InputError(f"The mesh's faces must be n × 3 whole numbers, not {array.shape} of {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() >= vertex_count):
        raise InputError(f"A face of the mesh points to a vertex that is not there (there are {vertex_count:,}).")
    return np.ascontiguousarray(array, dtype=np.int32)


def _texture(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise InputError(
            f"The mesh's texture must be height × width × 3 bytes of sRGB, not {array.shape} of {array.dtype}."
        )
    return np.ascontiguousarray(array)
