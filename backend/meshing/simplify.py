"""Fewer faces for the same shape."""

from __future__ import annotations

import fast_simplification
import numpy as np

from .repair import make_manifold
from .solids import keep_solids

GENTLE_TO_ROUGH = (5.0, 7.0, 10.0)
"""How fast the error that a collapse may cost grows from pass to pass; the first that reaches the count is taken."""


def simplify(
    vertices: np.ndarray,
    faces: np.ndarray,
    face_count: int,
    *,
    smallest_share: float = 0.0,
    most_parts: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface of at most about `face_count` faces near the given one, by quadric error (Garland & Heckbert
    1997); the same surface when it has no more faces than that.

    vertices (V, 3) float32 and faces (F, 3) int32 must be a manifold that faces outwards, and so is the result. Edge
    collapses keep a surface closed but may pinch it. What they pinch is cut apart again, and of that go scraps with
    less than `smallest_share` of the largest part's volume and all but the `most_parts` largest parts, so the count may
    be missed by a few faces (a shape of many parts or handles cannot go below some number at all).
    """
    if len(faces) <= face_count:
        return vertices, faces
    for aggression in GENTLE_TO_ROUGH:
        fewer = fast_simplification.simplify(vertices, faces, target_count=face_count, agg=aggression)
        if len(fewer[1]) <= face_count:
            break
    return keep_solids(*make_manifold(*fewer), smallest_share, most_parts)
