"""What a sound mesh is, as questions with a number or yes or no for an answer. Used by the tests and benchmarks."""

from __future__ import annotations

import numpy as np

from .topology import edge_groups, fans, half_edge_mates, is_closed


def is_watertight(faces: np.ndarray) -> bool:
    """Whether the surface has no border: each edge of `faces` (F, 3) is walked as often one way as the other."""
    return is_closed(faces)


def is_manifold(faces: np.ndarray) -> bool:
    """Whether exactly two faces meet in each edge and one closed fan of faces surrounds each vertex.

    A mesh that is not watertight, or has a face that names a vertex twice, is no manifold.
    """
    if not is_closed(faces) or (np.diff(np.sort(faces, axis=1), axis=1) == 0).any():
        return False
    _, _, count = edge_groups(faces)
    if (count != 2).any():
        return False
    # With two half-edges an edge there is no choice of mates, so positions do not matter.
    mate = half_edge_mates(np.zeros((int(faces.max()) + 1, 3)), faces)
    return int(fans(mate).max()) + 1 == len(np.unique(faces))


def enclosed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume inside a closed surface, by the divergence theorem; negative where the faces look inwards."""
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def euler_characteristic(faces: np.ndarray) -> int:
    """Vertices − edges + faces: 2 for each closed part, less 2 for each handle."""
    return len(np.unique(faces)) - len(edge_groups(faces)[1]) + len(faces)


def triangle_quality(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """4 √3 area / sum of squared edge lengths of each face, (F,): 1 for an equilateral triangle, 0 for a flat one."""
    corners = vertices[faces].astype(np.float64)
    edges = np.roll(corners, -1, axis=1) - corners
    doubled_area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    return 2 * np.sqrt(3) * doubled_area / np.maximum((edges**2).sum(axis=(1, 2)), 1e-300)
