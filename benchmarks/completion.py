"""How well partial shapes are completed, beside what needs no learning.

    python3 build.py bench completion --dev dev.zip [--train train.zip] [--samples 10] [--count 37]

Each object of a data set loses its bottom half, its right half or an octant; what is left and the box of what is gone
are all that a method is given. Distances are in shares of the object's longest side. Prints Markdown on standard
output.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull, QhullError, cKDTree

from backend import Recipe, generate
from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.data.mesh_files import write_mesh
from backend.data.surface import sample_surface
from backend.errors import InputError
from backend.mesh import Mesh
from backend.metrics import chamfer_l1, f_score, total_mutual_difference, unidirectional_hausdorff_distance
from backend.models.observation import UnknownBox, outside_of

POINTS = 2048
DENSE = 8 * POINTS
"""Points of a shape of which every eighth is measured; what is kept is looked for among them all."""
MARGIN = 0.03
"""How far the box reaches beyond the object, as a user's would."""
KEPT_WITHIN = 0.01

MASKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bottom half": lambda points: points[..., 2] < 0,
    "right half": lambda points: points[..., 0] > 0,
    "octant": lambda points: (points > 0).all(axis=-1),
}


@dataclass(frozen=True)
class Case:
    """One object under one mask: the part that is known as a mesh, the box of the rest, points of the whole and of the
    part, and where the object's middle is. Model space."""

    part: Mesh
    box: UnknownBox
    whole: np.ndarray
    known: np.ndarray
    middle: np.ndarray
    size: float


def make_case(shape: DataObject, mask: str) -> Case | None:
    """None where the mask leaves nothing, or takes nothing."""
    low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
    middle = (low + high) / 2
    box_low, box_high = low - MARGIN, high + MARGIN
    if mask == "bottom half":
        box_high[2] = middle[2]
    elif mask == "right half":
        box_low[0] = middle[0]
    else:
        box_low = middle.copy()
    box = UnknownBox(box_low, box_high)
    vertices, faces = outside_of(box, shape.vertices, shape.faces)
    if not len(faces):
        return None
    colors = srgb_to_linear(_nearest_colors(shape, vertices))
    whole = _points(shape.vertices, shape.faces)
    known = _points(vertices, faces)
    if not box.contains(whole).any():
        return None
    return Case(Mesh(vertices, faces, colors), box, whole, known, middle, float((high - low).max()))


def _nearest_colors(shape: DataObject, vertices: np.ndarray) -> np.ndarray:
    centres = shape.vertices[shape.faces].mean(axis=1)
    return shape.face_colors[cKDTree(centres).query(vertices)[1]].astype(np.float32) / 255


def _points(vertices: np.ndarray, faces: np.ndarray, count: int = POINTS) -> np.ndarray:
    return sample_surface(vertices, faces, count, np.random.default_rng(0)).positions


def model_completions(case: Case, samples: int, detail: int, folder: Path) -> list[np.ndarray]:
    """DENSE points on each of the shapes that the bundled model gives."""
    write_mesh(folder / "part.ply", case.part)
    found = []
    for seed in range(samples):
        recipe = Recipe.create(
            "shape_completion",
            shape=str(folder / "part.ply"),
            unknown=(*case.box.low.tolist(), *case.box.high.tolist()),
            seed=seed,
            detail=detail,
            face_count=10_000,
        )
        result = generate(recipe, device="cpu")
        vertices = result.mesh.vertices @ result.transform[:3, :3].T + result.transform[:3, 3]
        found.append(_points(vertices, result.mesh.faces, DENSE))
    return found


def mirrored(case: Case, mask: str) -> np.ndarray:
    """The known part and its mirror image: upside down for a bottom half, left to right for the others."""
    axis = 2 if mask == "bottom half" else 0
    image = case.known.copy()
    image[:, axis] = 2 * case.middle[axis] - image[:, axis]
    missing = image[case.box.contains(image)]
    both = np.concatenate([case.known, missing])
    return both[np.random.default_rng(0).choice(len(both), POINTS, replace=len(both) < POINTS)]


def hull(case: Case) -> np.ndarray | None:
    """The convex hull of what is known; None where that is flat."""
    try:
        return _points(case.known, ConvexHull(case.known).simplices)
    except QhullError:
        return None


def nearest(case: Case, library: np.ndarray) -> np.ndarray:
    """Of a library's shapes (L, POINTS, 3), the one that the known points are nearest to."""
    distances = [cKDTree(points).query(case.known[:512])[0].mean() for points in library]
    return library[int(np.argmin(distances))]


def measures(case: Case, found: list[np.ndarray]) -> dict[str, float]:
    """The figures of one case's completions."""
    thin = [points[:: len(points) // POINTS] for points in found]  # still stratified: the order follows the faces
    scaled = [
        torch.from_numpy(np.stack(points).astype(np.float32) / case.size)
        for points in (thin, [case.whole] * len(found))
    ]
    known = torch.from_numpy(case.known.astype(np.float32) / case.size).expand(len(found), -1, -1).contiguous()
    chamfer, score = chamfer_l1(*scaled), f_score(*scaled, threshold=0.01)
    kept = [float((cKDTree(points).query(case.known)[0] < KEPT_WITHIN * case.size).mean()) for points in found]
    return {
        "CD-L1 mean ×10³": 1000 * float(chamfer.mean()),
        "CD-L1 best ×10³": 1000 * float(chamfer.min()),
        "F@1 % mean": float(score.mean()),
        "UHD": float(unidirectional_hausdorff_distance(known, scaled[0]).mean()),
        "TMD ×10³": 1000 * total_mutual_difference(scaled[0]) if len(found) > 1 else 0.0,
        "kept within 1 %": float(np.mean(kept)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Complete partial objects and measure how well.")
    parser.add_argument("--dev", type=Path, required=True, help="the data set whose objects are completed")
    parser.add_argument("--train", type=Path, help="a data set for the floor 'nearest training shape'")
    parser.add_argument("--library", type=int, default=500, help="how many of its objects (default: %(default)s)")
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=list(MASKS))
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--count", type=int, default=37, help="how many objects, evenly spread (default: %(default)s)")
    parser.add_argument("--detail", type=int, default=96)
    options = parser.parse_args()
    torch.set_num_threads(2)
    objects = Archive(options.dev)
    chosen = np.unique(np.linspace(0, len(objects) - 1, min(options.count, len(objects))).astype(int))
    library = None
    if options.train is not None:
        train = Archive(options.train)
        picked = np.unique(np.linspace(0, len(train) - 1, min(options.library, len(train))).astype(int))
        library = np.stack([_points(shape.vertices, shape.faces) for shape in (train[int(i)] for i in picked)])
    print(f"{len(chosen)} objects, {options.samples} samples each, {POINTS} points, detail {options.detail}.\n")
    for mask in options.masks:
        rows: dict[str, list[dict[str, float]]] = {}
        seconds = []
        for index in chosen:
            case = make_case(objects[int(index)], mask)
            if case is None:
                continue
            begin = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    completions = model_completions(case, options.samples, options.detail, Path(folder))
                except InputError as error:
                    print(f"{objects[int(index)].name}, {mask}: {error}", file=sys.stderr)
                    continue
            seconds.append((time.perf_counter() - begin) / options.samples)
            rows.setdefault("latent prior", []).append(measures(case, completions))
            rows.setdefault("mirror symmetry", []).append(measures(case, [mirrored(case, mask)]))
            if (points := hull(case)) is not None:
                rows.setdefault("convex hull", []).append(measures(case, [points]))
            if library is not None:
                rows.setdefault("nearest training shape", []).append(measures(case, [nearest(case, library)]))
            print(f"{mask}: {objects[int(index)].caption}, {seconds[-1]:.1f} s a sample", file=sys.stderr, flush=True)
        _print_table(mask, rows, seconds)


def _print_table(mask: str, rows: dict[str, list[dict[str, float]]], seconds: list[float]) -> None:
    print(f"### {mask}\n")
    names = list(next(iter(rows.values()))[0])
    print(f"| method | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for method, found in rows.items():
        print(f"| {method} | {' | '.join(f'{np.mean([row[name] for row in found]):.3f}' for name in names)} |")
    print(f"\n{np.mean(seconds):.1f} s a sample.\n", flush=True)


if __name__ == "__main__":
    main()
