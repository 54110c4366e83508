"""How well partial shapes are completed, beside what needs no learning.

    python3 build.py bench completion --dev dev.zip [--train train.zip] [--quick] [--samples 10] [--count 37]
        [--methods "latent prior" …] [--masks "bottom half" …] [--out FOLDER] [--pictures FOLDER] [--scans-only]

Each object of a data set loses its bottom half, its right half or an octant: what is left and the box of what is gone
are all that a method is given. Or it is seen from one side: points with normals from one depth camera, and no box.
Distances are in shares of the object's longest side. "Original kept" are the same completions with the known faces in
place of the remade ones, as with *Keep Original Surface*. Prints Markdown on standard output; --pictures writes a row
for each object and mask: what is known, the object, and the first completions. A run that was stopped goes on where it
was, from the rows in --out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree

from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.errors import InputError, MachineError
from backend.kernels import point_to_mesh_distance
from backend.mesh import Mesh
from backend.meshing.join_original import join_original
from backend.meshing.mesh_from_field import surface_from_field
from backend.meshing.mirror_images import Mirror
from backend.methods import methods_of
from backend.metrics import chamfer_l1, f_score, total_mutual_difference, unidirectional_hausdorff_distance
from backend.tasks.loaded_models import completer
from backend.tasks.partial_shape import PartialShape, told_by_symmetry
from backend.tasks.shape_completion import OF_ALL_METHODS, completed_field
from benchmarks.completion_cases import MASKS, Case, floors, make_case, nearest_colors, points_on
from benchmarks.pictures import picture

KEPT_WITHIN = 0.01
FACES = 10_000
SHOWN = 4
QUICK = {"count": 8, "samples": 4}
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
class Work:
    """What is measured of every case; the same in all processes."""

    dev: Path
    train: Path | None
    library: int
    methods: tuple[str, ...]
    samples: int
    detail: int
    pictures: Path | None


@dataclass(frozen=True)
class Made:
    """A completion in the object's own frame, without colours, and the mirror that its sample used, if any."""

    mesh: Mesh
    mirror: Mirror | None


def completions(case: Case, method: str, samples: int, detail: int) -> list[Made]:
    """The shapes that a method gives for the seeds from 0 on.

    Each is what the task makes of that seed; the part is read and looked at once for all.
    """
    part = PartialShape.of(case.part, case.box)
    model = completer(method, "cpu")
    (chosen,) = (found for found in methods_of("shape_completion") if found.name == method)
    settings = {entry.name: entry.default for entry in chosen.parameters if entry.name not in OF_ALL_METHODS}
    found: list[Made] = []
    told: Made | None = None
    for seed in range(samples):
        seen, mirror = part.seen_by(seed, mirror=True)
        if told_by_symmetry(seen) and told is not None:
            found.append(told)
            continue
        field = completed_field(seen, model, seed=seed, **settings)
        mesh = Mesh(*surface_from_field(field, detail=detail, face_count=FACES))
        made = Made(mesh.transformed(np.linalg.inv(part.to_model)), mirror)
        if told_by_symmetry(seen):
            told = made
        found.append(made)
    return found


def with_original(case: Case, found: Sequence[Made]) -> list[Mesh]:
    """The completions with the known faces joined to them, or as they are where that cannot be. Empty where there are
    no faces or no box to join along."""
    box, part = case.box, case.part
    if box is None or not len(part.faces):
        return []

    def joined(made: Made) -> Mesh:
        added = made.mesh.vertices, made.mesh.faces
        whole = join_original(part.vertices, part.faces, box.low, box.high, added, made.mirror)
        return made.mesh if whole is None else Mesh(whole.vertices, whole.faces)

    return [joined(made) for made in found]


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
        "exposed known within 1 %": float((apart[:, case.exposed] < KEPT_WITHIN).mean()),
    }


def _distances(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    arrays = (np.ascontiguousarray(part) for part in (points.astype(np.float32), mesh.vertices, mesh.faces))
    return point_to_mesh_distance(*map(torch.from_numpy, arrays))[0].sqrt().numpy()


def save_row(path: Path, shape: DataObject, case: Case, made: Sequence[Mesh]) -> None:
    """A picture: what is known, the object, the first completions."""
    colors = srgb_to_linear(nearest_colors(shape, shape.vertices))
    cells = [picture(case.part), picture(Mesh(shape.vertices, shape.faces, colors))]
    cells += [picture(mesh) for mesh in made[:SHOWN]]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(cells, axis=1)).save(path, optimize=True)


@lru_cache(maxsize=1)
def _library(train: Path, count: int) -> np.ndarray:
    archive = Archive(train)
    picked = np.unique(np.linspace(0, len(archive) - 1, min(count, len(archive))).astype(int))
    return np.stack([points_on(shape.vertices, shape.faces) for shape in (archive[int(i)] for i in picked)])


def measured(work: Work, task: tuple[int, str]) -> dict[str, Any]:
    """One case: {"object", "mask", "figures": method → figures, "seconds": method → of one sample}; no figures where
    the mask leaves nothing."""
    torch.set_num_threads(1)
    index, mask = task
    shape = Archive(work.dev)[index]
    row: dict[str, Any] = {"object": shape.id, "mask": mask, "figures": {}, "seconds": {}}
    case = make_case(shape, mask)
    if case is None:
        return row
    for method in work.methods:
        begin = time.perf_counter()
        try:
            made = completions(case, method, work.samples, work.detail)
        except InputError as error:
            print(f"{shape.name}, {mask}, {method}: {error}", file=sys.stderr)
            continue
        row["seconds"][method] = (time.perf_counter() - begin) / work.samples
        remade = [one.mesh for one in made]
        variants = {method: remade}
        if kept := with_original(case, made):
            variants[f"{method}, original kept"] = kept
        for name, meshes in variants.items():
            row["figures"][name] = measures(case, [points_on(mesh.vertices, mesh.faces) for mesh in meshes], meshes)
            row["seconds"][name] = row["seconds"][method]
        if work.pictures is not None:
            name = f"{method}-{mask}-{shape.id}.png".replace(" ", "-")
            save_row(work.pictures / name, shape, case, remade)
    library = None if work.train is None else _library(work.train, work.library)
    for name, floor in floors(case, mask, library).items():
        begin = time.perf_counter()
        points = floor()
        row["seconds"][name] = time.perf_counter() - begin
        if points is not None:
            row["figures"][name] = measures(case, [points])
    return row


def rows_of(work: Work, tasks: Sequence[tuple[int, str]], out: Path, processes: int) -> list[dict[str, Any]]:
    """The rows of all cases: those of a former run with the same settings, and the others, measured now."""
    settings = {name: str(value) for name, value in vars(work).items() if name != "pictures"}
    out.mkdir(parents=True, exist_ok=True)
    path = out / "rows.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = {tuple(row["case"]): row for row in map(json.loads, lines) if row["settings"] == settings}
    left = [task for task in tasks if task not in done]
    with path.open("a", encoding="utf-8") as file, ProcessPoolExecutor(processes) as pool:
        begun = {pool.submit(measured, work, task): task for task in left}
        try:
            # As they come: a slow case keeps no other from being written down.
            for future in as_completed(begun):
                task, row = begun[future], future.result()
                done[task] = {**row, "case": task, "settings": settings}
                print(json.dumps(done[task], ensure_ascii=False), file=file, flush=True)
                print(f"{len(done)} of {len(tasks)}: {row['object']}, {row['mask']}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [done[task] for task in tasks]


def table(mask: str, rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: the means of one mask's rows, a line for each method and floor."""
    figures: dict[str, list[dict[str, float]]] = {}
    seconds: dict[str, list[float]] = {}
    for row in rows:
        for name, found in row["figures"].items():
            figures.setdefault(name, []).append(found)
            seconds.setdefault(name, []).append(row["seconds"][name])
    if not figures:
        return f"### {mask}\n\nNo object could be completed.\n"
    names = list(next(iter(figures.values()))[0])
    lines = [
        f"### {mask}\n",
        f"| method | objects | {' | '.join(names)} | s a sample |",
        f"|---|{'---:|' * (len(names) + 2)}",
    ]
    for method, found in figures.items():
        cells = [f"{np.mean([row[name] for row in found]):.3f}" for name in names]
        lines.append(f"| {method} | {len(found)} | {' | '.join(cells)} | {np.mean(seconds[method]):.1f} |")
    return "\n".join([*lines, ""])


def available(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the methods whose weights are there; of the others it is said on standard error why not."""
    found = []
    for name in names:
        try:
            completer(name, "cpu")
        except MachineError as error:
            print(error, file=sys.stderr)
            continue
        found.append(name)
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Complete partial objects and measure how well.")
    names = [found.name for found in methods_of("shape_completion")]
    parser.add_argument("--dev", type=Path, required=True, help="the data set whose objects are completed")
    parser.add_argument("--train", type=Path, help="a data set for the floor 'nearest training shape'")
    parser.add_argument("--library", type=int, default=500, help="how many of its objects (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=names, default=names)
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=list(MASKS))
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--count", type=int, default=37, help="how many objects, evenly spread (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="eight objects, four samples")
    parser.add_argument("--scans-only", action="store_true", help="only real scans and classic test models")
    parser.add_argument("--detail", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("output/bench_completion"), help="where rows are kept")
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else {}).items():
        setattr(options, name, value)
    objects = Archive(options.dev)
    listed = [i for i, record in enumerate(objects.records) if not options.scans_only or record["source"] in SCANS]
    spread = np.unique(np.linspace(0, len(listed) - 1, min(options.count, len(listed))).astype(int))
    methods = available(options.methods)
    work = Work(options.dev, options.train, options.library, methods, options.samples, options.detail, options.pictures)
    tasks = [(listed[i], mask) for mask in options.masks for i in spread]
    rows = rows_of(work, tasks, options.out, options.processes)
    print(f"{len(spread)} objects, {options.samples} samples each, detail {options.detail}.\n")
    for mask in options.masks:
        print(table(mask, [row for row in rows if row["mask"] == mask]), flush=True)


if __name__ == "__main__":
    main()
