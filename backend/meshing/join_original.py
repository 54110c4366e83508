"""The faces that were there, exactly as they were, and those that a completion adds, as one surface.

What the artist has is cut along the box of the unknown, and so is the completion; the two are united with Manifold's
boolean (Lalish, "Manifold", 2019–; after Smith and Dodgson, "A topologically robust algorithm for Boolean operations on
polyhedral shapes using approximate arithmetic", 2007), which leaves corners that it does not cut where they are, bit
for bit. It takes closed surfaces alone, and artists' meshes have holes, walls shared by two rooms and faces twice. So
holes are filled first, and what fills those that have nothing to do with the unknown is taken out again afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import manifold3d
import numpy as np

from ..kernels.winding import winding_of_arrays
from ..kernels.winding_tree import build_winding_tree
from .closing import close_holes
from .mirror_images import Mirror, with_images
from .numbered_solids import NumberedSolid, box_solid, numbered, shells_of
from .repair import lasting_faces
from .topology import connected_parts, without_unused_vertices

JUST_INSIDE = 1e-4
"""A step off a face, in shares of its own size."""


@dataclass(frozen=True)
class Joined:
    """vertices (V, 3) float32; faces (F, 3) int32; kept (F,) bool: which faces are the original's, parts of them, or
    their mirror images."""

    vertices: np.ndarray
    faces: np.ndarray
    kept: np.ndarray


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
    fills = np.concatenate([closed.at_box, closed.elsewhere])
    surface = _turned_outwards(closed.vertices, np.concatenate([closed.faces, fills]))
    box, completion = box_solid(low, high), numbered(*added)
    if box is None or completion is None:
        return None
    own, fills_from = len(closed.faces), len(closed.faces) + len(closed.at_box)
    hidden = None if mirror is None else box_solid(mirror.low, mirror.high)
    if mirror is not None and hidden is None:
        shells = shells_of(closed.vertices, surface)
        return _read(with_images(shells, box, mirror), own, fills_from) if shells else None
    original = numbered(closed.vertices, surface)
    if original is None:
        return None
    inside = completion.solid ^ box.solid
    if mirror is not None and hidden is not None:
        image = original.solid.transform(mirror.reflection) ^ box.solid
        inside = (image - hidden.solid) + (completion.solid ^ hidden.solid)
    whole = (original.solid - box.solid) + inside
    if whole.status() != manifold3d.Error.NoError or whole.is_empty():
        return None
    return _read([replace(original, solid=whole)], own, fills_from)


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


def _read(solids: Sequence[NumberedSolid], own: int, fills_from: int) -> Joined:
    """What Manifold made, without fans: of the original's faces, by which the solids are numbered, those below `own`
    are the artist's, and those from `fills_from` on are left out."""
    corners, kept = [], []
    for made in solids:
        triangles, number = made.triangles()
        lasting = number < fills_from
        corners.append(triangles[lasting])
        kept.append(((number >= 0) & (number < own))[lasting])
    # Cuts that are too fine for float32 leave corners at one place.
    places = np.concatenate(corners).reshape(-1, 3).astype(np.float32) + np.float32(0)
    vertices, place = np.unique(places, axis=0, return_inverse=True)
    faces = place.reshape(-1, 3)
    lasting = lasting_faces(faces)
    vertices, faces = without_unused_vertices(vertices, faces[lasting])
    return Joined(vertices, faces, np.concatenate(kept)[lasting])
