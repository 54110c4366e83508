"""The faces that were there, exactly as they were, and those that a completion adds, as one surface.

What the artist has is cut along the box of the unknown, and so is the completion; the two are united with Manifold's
boolean (Lalish, "Manifold", 2019–; after Smith and Dodgson, "A topologically robust algorithm for Boolean operations on
polyhedral shapes using approximate arithmetic", 2007), which leaves corners that it does not cut where they are, bit
for bit. It takes closed surfaces alone, and artists' meshes have holes, walls shared by two rooms and faces twice. So
holes are filled first, and what fills those that have nothing to do with the unknown is taken out again afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import manifold3d
import numpy as np

from ..kernels.winding import winding_of_arrays
from ..kernels.winding_tree import build_winding_tree
from .closing import close_holes
from .repair import lasting_faces, split_vertices
from .topology import connected_parts, half_edge_mates, without_unused_vertices

BOX_CORNERS = np.array([[x, y, z] for x in (False, True) for y in (False, True) for z in (False, True)])
_LOW_SIDES = [[0, 1, 3], [0, 3, 2], [0, 4, 5], [0, 5, 1], [0, 2, 6], [0, 6, 4]]
BOX_FACES = np.array([*_LOW_SIDES, [4, 6, 7], [4, 7, 5], [2, 3, 7], [2, 7, 6], [1, 5, 7], [1, 7, 3]])
"""A box, wound outwards: which of its corners are high along x, y and z, and its triangles."""
JUST_INSIDE = 1e-4
"""A step off a face, in shares of its own size."""


@dataclass(frozen=True)
class Joined:
    """vertices (V, 3) float32; faces (F, 3) int32; kept (F,) bool: which faces are the original's, parts of them, or
    their mirror images."""

    vertices: np.ndarray
    faces: np.ndarray
    kept: np.ndarray


class _Numbered(NamedTuple):
    """A solid, and the number by which its faces are known again in what is made of it."""

    solid: manifold3d.Manifold
    number: int


@dataclass(frozen=True)
class Mirror:
    """The plane on which coordinate `axis` is `at`; what it does not show of the box lies between `low` and `high`
    (3,), where low is below high."""

    axis: int
    at: float
    low: np.ndarray
    high: np.ndarray


def join_original(
    vertices: np.ndarray,
    faces: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    added: tuple[np.ndarray, np.ndarray],
    mirror: Mirror | None = None,
) -> Joined | None:
    """The original outside of a box and a completion inside of it as one surface, along the box.

    vertices, faces   the original: (V, 3) float32 and (F, 3) int; any heap of triangles
    low, high         (3,) corners of the box of the unknown, in the same frame
    added             vertices and faces of the completion in the same frame: a manifold that faces outwards
    mirror            where it shows what is in the box, the original's mirror image takes the completion's place

    Original corners outside of the box are in the result bit for bit; faces that the box cuts are cut there. The result
    is closed where the original outside of the box is, holes near the box aside: these are closed. None when the
    original cannot be joined: no volume, or connections that are beyond repair.
    """
    closed = close_holes(vertices, faces, low, high)
    if not len(closed.faces):
        return None
    own = len(closed.faces)
    everything = np.concatenate([closed.faces, closed.at_box, closed.elsewhere])
    original, completion = _manifold(closed.vertices, _turned_outwards(closed.vertices, everything)), _manifold(*added)
    box = _manifold(np.where(BOX_CORNERS, high, low).astype(np.float64), BOX_FACES)
    if original is None or completion is None or box is None:
        return None
    inside = completion.solid ^ box.solid
    if mirror is not None:
        inside = _with_image(original.solid, inside, box.solid, mirror)
    whole = (original.solid - box.solid) + inside
    if whole.status() != manifold3d.Error.NoError or whole.is_empty():
        return None
    return _read(whole, original.number, own, own + len(closed.at_box))


def _with_image(
    original: manifold3d.Manifold, completion: manifold3d.Manifold, box: manifold3d.Manifold, mirror: Mirror
) -> manifold3d.Manifold:
    """What is in the box: the mirror image of the original, and the completion where the mirror shows nothing."""
    reflection = np.eye(3, 4)
    reflection[mirror.axis] *= -1
    reflection[mirror.axis, 3] = 2 * mirror.at
    image = original.transform(reflection) ^ box
    hidden = None
    if (mirror.low < mirror.high).all():
        hidden = _manifold(np.where(BOX_CORNERS, mirror.high, mirror.low).astype(np.float64), BOX_FACES)
    # Where the plane is a side of the box, rounding can leave a sliver that is no solid.
    if hidden is None:
        return image
    return (image - hidden.solid) + (completion ^ hidden.solid)


def _turned_outwards(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The closed surface with its inside-out parts the right way round; cavities stay cavities."""
    part = connected_parts(faces)
    corners = vertices[faces]
    a, b, c = (corners - corners.mean(axis=(0, 1))).transpose(1, 0, 2)
    inward = np.flatnonzero(np.bincount(part, np.einsum("fi,fi->f", a, np.cross(b, c))) < 0)
    if not len(inward):
        return faces
    largest = [np.flatnonzero(part == index)[np.argmax(_areas(corners[part == index]))] for index in inward]
    a, b, c = corners[largest].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    inside = (a + b + c) / 3 + JUST_INSIDE * normals / np.sqrt(np.linalg.norm(normals, axis=1, keepdims=True))
    # The part itself winds around there by -1; what is left is how often the others do.
    turned = np.isin(part, inward[np.rint(winding_of_arrays(inside, build_winding_tree(corners))) + 1 <= 0])
    return np.where(turned[:, None], faces[:, ::-1], faces)


def _areas(corners: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)


def _manifold(vertices: np.ndarray, faces: np.ndarray) -> _Numbered | None:
    """A closed surface for Manifold, its faces numbered from 0; None when Manifold does not take it."""
    origin, faces = split_vertices(faces, half_edge_mates(vertices, faces))
    number = manifold3d.Manifold.reserve_ids(1)
    mesh = manifold3d.Mesh64(
        vert_properties=np.ascontiguousarray(vertices[origin], np.float64),
        tri_verts=np.ascontiguousarray(faces, np.uint64),
        run_index=np.array([0, 3 * len(faces)], np.uint64),
        run_original_id=np.array([number], np.uint32),
        # Numbers of their own keep Manifold from making one face of several that lie in a plane.
        face_id=np.arange(len(faces), dtype=np.uint64),
    )
    found = manifold3d.Manifold(mesh)
    return _Numbered(found, number) if found.status() == manifold3d.Error.NoError and not found.is_empty() else None


def _read(whole: manifold3d.Manifold, original: int, own: int, fills_from: int) -> Joined:
    """What Manifold made, without fans: faces of the mesh `original` are the artist's when their number is below `own`,
    and are left out from `fills_from` on."""
    mesh = whole.to_mesh64()
    faces = np.asarray(mesh.tri_verts, np.int64).reshape(-1, 3)
    ends = np.asarray(mesh.run_index, np.int64) // 3
    is_original = np.zeros(len(faces), bool)
    for run, begin, end in zip(mesh.run_original_id, ends[:-1], ends[1:], strict=True):
        is_original[begin:end] = run == original
    number = np.asarray(mesh.face_id, np.int64)
    vertices = np.asarray(mesh.vert_properties)[:, :3].astype(np.float32)
    # Cuts that are too fine for float32 leave corners at one place.
    vertices, place = np.unique(vertices + np.float32(0), axis=0, return_inverse=True)
    faces = place.reshape(-1)[faces]
    lasting = lasting_faces(faces) & ~(is_original & (number >= fills_from))
    vertices, joined = without_unused_vertices(vertices, faces[lasting])
    return Joined(vertices, joined, (is_original & (number < own))[lasting])
