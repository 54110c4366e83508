"""Manifold's solids, in which every face of a mesh is known again after booleans."""

from __future__ import annotations

from dataclasses import dataclass, replace

import manifold3d
import numpy as np

from .repair import split_vertices
from .topology import connected_parts, half_edge_mates

BOX_CORNERS = np.array([[x, y, z] for x in (False, True) for y in (False, True) for z in (False, True)])
_LOW_SIDES = [[0, 1, 3], [0, 3, 2], [0, 4, 5], [0, 5, 1], [0, 2, 6], [0, 6, 4]]
BOX_FACES = np.array([*_LOW_SIDES, [4, 6, 7], [4, 7, 5], [2, 3, 7], [2, 7, 6], [1, 5, 7], [1, 7, 3]])
"""A box, wound outwards: which of its corners are high along x, y and z, and its triangles."""
OTHERS = -1
"""The number of faces that come from another mesh."""


@dataclass(frozen=True, eq=False)
class NumberedSolid:
    """A solid, and the number by which Manifold knows its mesh; a cavity's is `inside_out`: it faces outwards only
    here."""

    solid: manifold3d.Manifold
    number: int
    inside_out: bool = False

    def triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners (F, 3, 3) float64, and the number (F,) of the mesh's face that each is a piece of, or OTHERS."""
        mesh = self.solid.to_mesh64()
        faces = np.asarray(mesh.tri_verts, np.int64).reshape(-1, 3)
        ends = np.asarray(mesh.run_index, np.int64) // 3
        of_mesh = np.repeat(np.asarray(mesh.run_original_id) == self.number, np.diff(ends))
        corners = np.asarray(mesh.vert_properties)[:, :3][faces]
        if self.inside_out:
            corners = corners[:, ::-1]
        return corners, np.where(of_mesh, np.asarray(mesh.face_id, np.int64), OTHERS)


def numbered(vertices: np.ndarray, faces: np.ndarray) -> NumberedSolid | None:
    """A closed surface as a solid, vertices (V, 3) and faces (F, 3), numbered from 0; None where Manifold does not take
    it, or it encloses nothing."""
    origin, faces = split_vertices(faces, half_edge_mates(vertices, faces))
    return _not_empty(_solid(vertices[origin], faces, np.arange(len(faces)), _new_number()))


def shells_of(vertices: np.ndarray, faces: np.ndarray) -> list[NumberedSolid] | None:
    """The same, every connected part that encloses something as a solid of its own, all with one number; faces keep
    theirs."""
    origin, faces = split_vertices(faces, half_edge_mates(vertices, faces))
    vertices, part = vertices[origin], connected_parts(faces)
    order = np.argsort(part, kind="stable")
    shells, number = [], _new_number()
    for own in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        used, place = np.unique(faces[own], return_inverse=True)
        corners, triangles = vertices[used], place.reshape(-1, 3)
        a, b, c = (corners - corners.mean(axis=0))[triangles].transpose(1, 0, 2)
        inside_out = bool(np.einsum("fi,fi->", a, np.cross(b, c)) < 0)
        found = _solid(corners, triangles[:, ::-1] if inside_out else triangles, own, number)
        if found is None:
            return None
        if not found.solid.is_empty():  # as what encloses nothing is
            shells.append(replace(found, inside_out=inside_out))
    return shells


def box_solid(low: np.ndarray, high: np.ndarray) -> NumberedSolid | None:
    """The box between two corners (3,); None where there is nothing between them."""
    if not (np.asarray(low) < high).all():
        return None
    # Where rounding alone is between them, there is a sliver that is no solid.
    corners = np.where(BOX_CORNERS, high, low).astype(np.float64)
    return _not_empty(_solid(corners, BOX_FACES, np.arange(len(BOX_FACES)), _new_number()))


def _not_empty(found: NumberedSolid | None) -> NumberedSolid | None:
    return None if found is None or found.solid.is_empty() else found


def _new_number() -> int:
    return manifold3d.Manifold.reserve_ids(1)


def _solid(vertices: np.ndarray, faces: np.ndarray, face_numbers: np.ndarray, number: int) -> NumberedSolid | None:
    mesh = manifold3d.Mesh64(
        vert_properties=np.ascontiguousarray(vertices, np.float64),
        tri_verts=np.ascontiguousarray(faces, np.uint64),
        run_index=np.array([0, 3 * len(faces)], np.uint64),
        run_original_id=np.array([number], np.uint32),
        # Numbers of their own keep Manifold from making one face of several that lie in a plane.
        face_id=face_numbers.astype(np.uint64),
    )
    found = manifold3d.Manifold(mesh)
    return NumberedSolid(found, number) if found.status() == manifold3d.Error.NoError else None
