"""How well partial shapes are completed, beside what needs no learning.

    python3 build.py bench completion --dev dev.zip [--train train.zip] [--samples 10] [--count 37]
        [--masks "bottom half" octant …] [--pictures FOLDER] [--scans-only]

Each object of a data set loses its bottom half, its right half or an octant: what is left and the box of what is gone
are all that a method is given. Or it is seen from one side: points with normals from one depth camera, and no box.
Distances are in shares of the object's longest side. Prints Markdown on standard output; --pictures writes a row for
each object and mask: what is known, the object, and the first completions.

Floors: the mirror image of what is known (left and right; for a bottom half up and down; for one view front and back),
screened Poisson reconstruction (Kazhdan and Hoppe 2013, Open3D's), the convex hull, and of a library's shapes the one
that the known points are nearest to.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial import ConvexHull, QhullError, cKDTree

from backend import Recipe, generate
from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.data.mesh_encodings import ply_bytes
from backend.data.surface import sample_surface
from backend.errors import InputError
from backend.kernels import point_to_mesh_distance
from backend.mesh import Mesh
from backend.metrics import chamfer_l1, f_score, total_mutual_difference, unidirectional_hausdorff_distance
from backend.models.observation import UnknownBox, outside_of
from benchmarks.pictures import look, picture

POINTS = 2048
MARGIN = 0.03
"""How far the box reaches beyond the object, as a user's would."""
KEPT_WITHIN = 0.01
VIEW_PIXELS = 160
POISSON_DEPTH = 7
SHOWN = 4
MASKS = ("bottom half", "right half", "octant", "single view")
SCANS = (
    "YCB object set",
    "LIBERO benchmark assets",
    "HOPE objects",
    "Stanford 3D Scanning Repository",
    "common 3D test models",
    "Google Scanned Objects",
)
"""The sources of real scans and classic test models."""


@dataclass(frozen=True)
class Case:
    """One object under one mask: the part that is known as a mesh or as points, the box of the rest (None for one
    view), points of the whole (POINTS, 3) and of the part (POINTS, 3) with normals, and the object's middle and size.
    Model space."""

    part: Mesh
    box: UnknownBox | None
    whole: np.ndarray
    known: np.ndarray
    normals: np.ndarray
    middle: np.ndarray
    size: float


def make_case(shape: DataObject, mask: str) -> Case | None:
    """None where the mask leaves nothing, or takes nothing."""
    low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
    middle, size = (low + high) / 2, float((high - low).max())
    whole = _points(shape.vertices, shape.faces)
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
    colors = srgb_to_linear(_nearest_colors(shape, vertices))
    known = sample_surface(vertices, faces, POINTS, np.random.default_rng(0))
    return Case(Mesh(vertices, faces, colors), box, whole, known.positions, known.normals, middle, size)


def _one_view(shape: DataObject, whole: np.ndarray, middle: np.ndarray, size: float) -> Case | None:
    seen = look(shape.vertices, shape.faces, VIEW_PIXELS)
    if len(seen.positions) < 64:
        return None
    colors = srgb_to_linear(shape.face_colors[seen.faces].astype(np.float32) / 255)
    part = Mesh(seen.positions, np.zeros((0, 3), np.int32), colors, seen.normals)
    chosen = np.random.default_rng(0).choice(len(seen.positions), POINTS, replace=len(seen.positions) < POINTS)
    return Case(part, None, whole, seen.positions[chosen], seen.normals[chosen], middle, size)


def _nearest_colors(shape: DataObject, vertices: np.ndarray) -> np.ndarray:
    centres = shape.vertices[shape.faces].mean(axis=1)
    return shape.face_colors[cKDTree(centres).query(vertices)[1]].astype(np.float32) / 255


def _points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return sample_surface(vertices, faces, POINTS, np.random.default_rng(0)).positions


def model_completions(case: Case, samples: int, detail: int, folder: Path) -> list[Mesh]:
    """The shapes that the bundled model gives, in the object's own frame."""
    (folder / "part.ply").write_bytes(ply_bytes(case.part))
    found = []
    for seed in range(samples):
        recipe = Recipe.create(
            "shape_completion",
            shape=str(folder / "part.ply"),
            unknown="scan" if case.box is None else (*case.box.low.tolist(), *case.box.high.tolist()),
            seed=seed,
            detail=detail,
            face_count=10_000,
        )
        result = generate(recipe, device="cpu")
        found.append(result.mesh.transformed(result.transform))
    return found


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
        return _points(case.known, ConvexHull(case.known).simplices)
    except QhullError:
        return None


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
    return _points(np.asarray(mesh.vertices), np.asarray(mesh.triangles))


def nearest(case: Case, library: np.ndarray) -> np.ndarray:
    """Of a library's shapes (L, POINTS, 3), the one that the known points are nearest to."""
    distances = [cKDTree(points).query(case.known[:512])[0].mean() for points in library]
    return library[int(np.argmin(distances))]


def measures(case: Case, found: list[np.ndarray], meshes: Sequence[Mesh] = ()) -> dict[str, float]:
    """The figures of one case's completions, POINTS points each, and the surfaces that these lie on where there are
    any: from them the distance of what is known is exact, and not to the nearest of the points."""
    scaled = [
        torch.from_numpy(np.stack(points).astype(np.float32) / case.size)
        for points in (found, [case.whole] * len(found))
    ]
    known = torch.from_numpy(case.known.astype(np.float32) / case.size).expand(len(found), -1, -1).contiguous()
    chamfer, score = chamfer_l1(*scaled), f_score(*scaled, threshold=0.01)
    if meshes:
        apart = np.stack([_distances(case.known, mesh) for mesh in meshes]) / case.size
    else:
        apart = np.stack([cKDTree(points).query(case.known)[0] for points in found]) / case.size
    return {
        "CD-L1 mean ×10³": 1000 * float(chamfer.mean()),
        "CD-L1 best ×10³": 1000 * float(chamfer.min()),
        "F@1 % mean": float(score.mean()),
        "F@1 % best": float(score.max()),
        "UHD": float(unidirectional_hausdorff_distance(known, scaled[0]).mean()),
        "TMD ×10³": 1000 * total_mutual_difference(scaled[0]) if len(found) > 1 else 0.0,
        "known within 1 %": float((apart < KEPT_WITHIN).mean()),
        "known, 99th percentile %": 100 * float(np.percentile(apart, 99)),
    }


def _distances(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    arrays = (np.ascontiguousarray(part) for part in (points.astype(np.float32), mesh.vertices, mesh.faces))
    return point_to_mesh_distance(*map(torch.from_numpy, arrays))[0].sqrt().numpy()


def save_row(path: Path, shape: DataObject, case: Case, completions: list[Mesh]) -> None:
    """A picture: what is known, the object, the first completions."""
    colors = srgb_to_linear(_nearest_colors(shape, shape.vertices))
    cells = [picture(case.part), picture(Mesh(shape.vertices, shape.faces, colors))]
    cells += [picture(mesh) for mesh in completions[:SHOWN]]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(cells, axis=1)).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Complete partial objects and measure how well.")
    parser.add_argument("--dev", type=Path, required=True, help="the data set whose objects are completed")
    parser.add_argument("--train", type=Path, help="a data set for the floor 'nearest training shape'")
    parser.add_argument("--library", type=int, default=500, help="how many of its objects (default: %(default)s)")
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=list(MASKS))
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--count", type=int, default=37, help="how many objects, evenly spread (default: %(default)s)")
    parser.add_argument("--scans-only", action="store_true", help="only real scans and classic test models")
    parser.add_argument("--detail", type=int, default=96)
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    objects = Archive(options.dev)
    listed = [i for i, record in enumerate(objects.records) if not options.scans_only or record["source"] in SCANS]
    spread = np.unique(np.linspace(0, len(listed) - 1, min(options.count, len(listed))).astype(int))
    chosen = [objects[listed[i]] for i in spread]
    library = None
    if options.train is not None:
        train = Archive(options.train)
        picked = np.unique(np.linspace(0, len(train) - 1, min(options.library, len(train))).astype(int))
        library = np.stack([_points(shape.vertices, shape.faces) for shape in (train[int(i)] for i in picked)])
    print(f"{len(chosen)} objects, {options.samples} samples each, {POINTS} points, detail {options.detail}.\n")
    for mask in options.masks:
        rows: dict[str, list[dict[str, float]]] = {}
        seconds: dict[str, list[float]] = {}
        for shape in chosen:
            case = make_case(shape, mask)
            if case is None:
                continue
            begin = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    completions = model_completions(case, options.samples, options.detail, Path(folder))
                except InputError as error:
                    print(f"{shape.name}, {mask}: {error}", file=sys.stderr)
                    continue
            seconds.setdefault("latent prior", []).append((time.perf_counter() - begin) / options.samples)
            found = [_points(mesh.vertices, mesh.faces) for mesh in completions]
            rows.setdefault("latent prior", []).append(measures(case, found, completions))
            for name, floor in floors(case, mask, library).items():
                begin = time.perf_counter()
                points = floor()
                seconds.setdefault(name, []).append(time.perf_counter() - begin)
                if points is not None:
                    rows.setdefault(name, []).append(measures(case, [points]))
            if options.pictures is not None:
                save_row(options.pictures / f"{mask.replace(' ', '-')}-{shape.id}.png", shape, case, completions)
            taken = seconds["latent prior"][-1]
            print(f"{mask}: {shape.caption}, {taken:.1f} s a sample", file=sys.stderr, flush=True)
        _print_table(mask, rows, seconds)


def floors(case: Case, mask: str, library: np.ndarray | None) -> dict[str, Callable[[], np.ndarray | None]]:
    """What needs no learning, by name; each gives POINTS points, or None where it has no answer."""
    found: dict[str, Callable[[], np.ndarray | None]] = {
        "mirror symmetry": lambda: mirrored(case, mask),
        "screened Poisson": lambda: poisson(case),
        "convex hull": lambda: hull(case),
    }
    if library is not None:
        found["nearest training shape"] = lambda: nearest(case, library)
    return found


def _print_table(mask: str, rows: dict[str, list[dict[str, float]]], seconds: dict[str, list[float]]) -> None:
    if not rows:
        print(f"### {mask}\n\nNo object could be completed.\n", flush=True)
        return
    names = list(next(iter(rows.values()))[0])
    print(f"### {mask}\n\n| method | objects | {' | '.join(names)} | s a sample |\n|---|{'---:|' * (len(names) + 2)}")
    for method, found in rows.items():
        cells = [f"{np.mean([row[name] for row in found]):.3f}" for name in names]
        print(f"| {method} | {len(found)} | {' | '.join(cells)} | {np.mean(seconds[method]):.1f} |")
    print(flush=True)


if __name__ == "__main__":
    main()
