"""Cases of shape completion: what is left of an object under a mask, and what needs no learning to complete it.

Floors: the mirror image of what is known (left and right; for a bottom half up and down; for one view front and back),
screened Poisson reconstruction (Kazhdan and Hoppe 2013, Open3D's), the convex hull, and of a library's shapes the one
that the known points are nearest to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.transform import Rotation

from backend.color import srgb_to_linear
from backend.data.archive import DataObject
from backend.data.surface import sample_surface
from backend.mesh import Mesh
from backend.models.observation import UnknownBox, outside_of
from benchmarks.pictures import look

POINTS = 2048
MARGIN = 0.03
"""How far the box reaches beyond the object, as a user's would."""
VIEW_PIXELS = 160
AROUND_PIXELS = 192
BESIDE = 0.02
"""How near to what a camera sees (model units) a point must be to count as seen: somewhat more than a pixel."""
POISSON_DEPTH = 7
MASKS = ("bottom half", "right half", "octant", "single view")


@dataclass(frozen=True)
class Case:
    """One object under one mask: the part that is known as a mesh or as points, the box of the rest (None for one
    view), points of the whole (POINTS, 3) and of the part (POINTS, 3) with normals, which of the latter are `exposed`
    (POINTS,) bool, not hidden within the object, and the object's middle and size. Model space."""

    part: Mesh
    box: UnknownBox | None
    whole: np.ndarray
    known: np.ndarray
    normals: np.ndarray
    exposed: np.ndarray
    middle: np.ndarray
    size: float


def make_case(shape: DataObject, mask: str) -> Case | None:
    """None where the mask leaves nothing, or takes nothing."""
    low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
    middle, size = (low + high) / 2, float((high - low).max())
    whole = points_on(shape.vertices, shape.faces)
    if mask == "single view":
        return _one_view(shape, whole, middle, size)
    box_low, box_high = low - MARGIN, high + MARGIN
    if mask == "bottom half":
        box_high[2] = middle[2]
    elif mask == "right half":
        box_low[0] = middle[0]
    else:
        box_low = middle.copy()
    box = UnknownBox(box_low, box_high)
    vertices, faces = outside_of(box, shape.vertices, shape.faces)
    if not len(faces) or not box.contains(whole).any():
        return None
    colors = srgb_to_linear(nearest_colors(shape, vertices))
    known = sample_surface(vertices, faces, POINTS, np.random.default_rng(0))
    exposed = seen_from_around(shape, known.positions)
    return Case(Mesh(vertices, faces, colors), box, whole, known.positions, known.normals, exposed, middle, size)


def seen_from_around(shape: DataObject, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which of the points (N, 3) on an object lie where cameras all around it see its surface."""
    turns = [axis * np.pi / 2 * quarter for axis in np.eye(3)[:2] for quarter in range(4)]
    turns += [np.array([0, 0, np.pi / 2 * quarter]) for quarter in (1, 3)]
    seen = []
    for turn in Rotation.from_rotvec(turns):
        seen.append(turn.inv().apply(look(turn.apply(shape.vertices), shape.faces, AROUND_PIXELS).positions))
    return cKDTree(np.concatenate(seen)).query(points)[0] < BESIDE


def _one_view(shape: DataObject, whole: np.ndarray, middle: np.ndarray, size: float) -> Case | None:
    seen = look(shape.vertices, shape.faces, VIEW_PIXELS)
    if len(seen.positions) < 64:
        return None
    colors = srgb_to_linear(shape.face_colors[seen.faces].astype(np.float32) / 255)
    part = Mesh(seen.positions, np.zeros((0, 3), np.int32), colors, seen.normals)
    chosen = np.random.default_rng(0).choice(len(seen.positions), POINTS, replace=len(seen.positions) < POINTS)
    exposed = np.ones(POINTS, bool)
    return Case(part, None, whole, seen.positions[chosen], seen.normals[chosen], exposed, middle, size)


def nearest_colors(shape: DataObject, vertices: np.ndarray) -> np.ndarray:
    centres = shape.vertices[shape.faces].mean(axis=1)
    return shape.face_colors[cKDTree(centres).query(vertices)[1]].astype(np.float32) / 255


def points_on(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return sample_surface(vertices, faces, POINTS, np.random.default_rng(0)).positions


def mirrored(case: Case, mask: str) -> np.ndarray:
    """The known part and its mirror image: upside down for a bottom half, front to back for one view, left to right for
    the others."""
    axis = {"bottom half": 2, "single view": 1}.get(mask, 0)
    image = case.known.copy()
    image[:, axis] = 2 * case.middle[axis] - image[:, axis]
    missing = image if case.box is None else image[case.box.contains(image)]
    return _thinned(np.concatenate([case.known, missing]))


def _thinned(points: np.ndarray) -> np.ndarray:
    return points[np.random.default_rng(0).choice(len(points), POINTS, replace=len(points) < POINTS)]


def hull(case: Case) -> np.ndarray | None:
    """The convex hull of what is known; None where that is flat."""
    try:
        return points_on(case.known, ConvexHull(case.known).simplices)
    except QhullError:
        return None


@lru_cache(maxsize=1)
def has_open3d() -> bool:
    """Whether Open3D can be loaded; where it cannot, it is said why, once."""
    try:
        import open3d  # noqa: F401 - whether it loads is the question
    except (ImportError, OSError) as error:
        print(f"Without Open3D there is no screened Poisson floor: {error}.", file=sys.stderr)
        return False
    return True


def poisson(case: Case) -> np.ndarray | None:
    """Screened Poisson reconstruction of the known points, cropped to known and unknown; None where empty."""
    import open3d as o3d

    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(case.known.astype(np.float64)))
    cloud.normals = o3d.utility.Vector3dVector(case.normals.astype(np.float64))
    mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=POISSON_DEPTH, n_threads=1)
    corners = [case.known] if case.box is None else [case.known, case.box.low[None], case.box.high[None]]
    around = np.concatenate(corners)
    mesh = mesh.crop(o3d.geometry.AxisAlignedBoundingBox(around.min(axis=0) - MARGIN, around.max(axis=0) + MARGIN))
    if not len(mesh.triangles):
        return None
    return points_on(np.asarray(mesh.vertices), np.asarray(mesh.triangles))


def nearest(case: Case, library: np.ndarray) -> np.ndarray:
    """Of a library's shapes (L, POINTS, 3), the one that the known points are nearest to."""
    distances = [cKDTree(points).query(case.known[:512])[0].mean() for points in library]
    return library[int(np.argmin(distances))]


def floors(case: Case, mask: str, library: np.ndarray | None) -> dict[str, Callable[[], np.ndarray | None]]:
    """What needs no learning, by name; each gives POINTS points, or None where it has no answer."""
    found: dict[str, Callable[[], np.ndarray | None]] = {
        "mirror symmetry": lambda: mirrored(case, mask),
        "convex hull": lambda: hull(case),
    }
    if has_open3d():
        found["screened Poisson"] = lambda: poisson(case)
    if library is not None:
        found["nearest training shape"] = lambda: nearest(case, library)
    return found
