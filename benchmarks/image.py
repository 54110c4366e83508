"""Meshes from one picture: how near they are to objects whose shape is known.

    python3 build.py bench image --data train_lite.zip --dev dev.zip [--images dev_images] [--objects 8] [--methods …]

Every object of `--dev` is rendered once (128 pixels, a little from above, from a random side of its front half, in
random light); pictures of `--images` whose object is known are measured too. Chamfer-L1, F-score and IoU are those of
reconstruction_fidelity, between shapes that all were centred and scaled alike first. The floors need no model; the
ceiling is the training shape that is truly nearest, which nobody knows who sees a picture alone. Of rendered objects
the mesh's pictures from sides that no stage was shown are compared with the object's own, as PSNR over white.

What was measured is kept in `--out`, one line an object and method, so a run that was stopped goes on where it was.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from backend import Recipe, Result, generate
from backend.data.archive import Archive, DataObject
from backend.data.cut_out import cut_out
from backend.data.distance_packing import pack_distance_grids
from backend.data.packing import pack
from backend.data.pictures import read_picture
from backend.data.rendering import corner_normals_of, frame, random_light, render
from backend.data.view_packing import pack_views
from backend.meshing.validity import is_watertight
from benchmarks.exit_codes import exit_code_of
from benchmarks.image_floors import Floors, surface_in_norm
from benchmarks.image_sides import unseen_sides
from benchmarks.reconstruction_fidelity import Fidelity, Surface, fidelity
from benchmarks.shape_clouds import TrainingShapes

PICTURE_SIZE = 128
ELEVATION = 15.0
WIDEST_AZIMUTH = np.radians(60)
FIELD_OF_VIEW = np.radians(40)
CATALOGUE_ELEVATION = 25.0
"""About that of the catalogue renderings in `--images`."""
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "feed-forward": ("feed-forward", {}),
    "multiview": ("multiview", {}),
    "multiview, no distillation": ("multiview", {"distillation": 0.0}),
}
FLOORS = ("class mean shape", "nearest training object by picture", "nearest training shape, perfect choice")


@dataclass(frozen=True)
class Case:
    """One picture of an object whose shape is known. elevation: of the picture's camera, degrees; azimuth: radians,
    where it is known."""

    name: str
    picture: Path
    elevation: float
    shape: DataObject
    azimuth: float | None = None


@dataclass(frozen=True)
class Figures:
    """What one method made of one case. seconds and memory (GiB, the process's peak so far) are 0 for floors; views:
    PSNR of unseen sides, dB, or None."""

    case: str
    method: str
    fidelity: Fidelity
    watertight: bool = True
    seconds: float = 0.0
    memory: float = 0.0
    views: float | None = None


def rendered_cases(dev: Archive, folder: Path, count: int | None) -> Iterator[Case]:
    """A picture of each object, or of `count` of them spread evenly."""
    chosen = range(len(dev)) if count is None else np.linspace(0, len(dev) - 1, count).astype(int)
    for index in chosen:
        shape = dev[int(index)]
        generator = np.random.default_rng([11, int(index)])
        azimuth = generator.uniform(-WIDEST_AZIMUTH, WIDEST_AZIMUTH)
        camera = frame(
            shape.vertices[np.unique(shape.faces)],
            azimuth=azimuth,
            elevation=np.radians(ELEVATION),
            field_of_view=FIELD_OF_VIEW,
        )
        normals = corner_normals_of(shape.vertices, shape.faces)
        light = random_light(generator)
        pixels = render(shape.vertices, shape.faces, normals, shape.face_colors, camera, light, PICTURE_SIZE)
        path = folder / f"{shape.id}.png"
        Image.fromarray(pixels).save(path)
        yield Case(f"{shape.caption} ({shape.id})", path, ELEVATION, shape, azimuth)


def given_cases(dev: Archive, folder: Path) -> Iterator[Case]:
    """The pictures of a folder with images.json that show objects of `dev`."""
    index_of = {record["id"]: index for index, record in enumerate(dev.records)}
    for entry in json.loads((folder / "images.json").read_text(encoding="utf-8")):
        if entry["mesh_id"] in index_of:
            shape = dev[index_of[entry["mesh_id"]]]
            yield Case(f"{entry['caption']} (catalogue)", folder / entry["file"], CATALOGUE_ELEVATION, shape)


def made(case: Case, method: str, iterations: int | None) -> tuple[Result, float]:
    """What a method makes of a picture, and in how many seconds, warm or not."""
    name, parameters = METHODS[method]
    if iterations is not None and name == "multiview":
        parameters = parameters | {"iterations": iterations}
    recipe = Recipe.create("image_to_3d", name, picture=str(case.picture), elevation=case.elevation, **parameters)
    began = time.perf_counter()
    result = generate(recipe)
    return result, time.perf_counter() - began


def floor(case: Case, name: str, floors: Floors, truth: Surface) -> Surface:
    """The surface that a floor gives for a case."""
    if name == FLOORS[0]:
        return floors.class_mean(case.shape.class_name)
    if name == FLOORS[1]:
        return floors.nearest_by_picture(cut_out(read_picture(case.picture)).resized(64))
    return floors.nearest_by_shape(truth)


def measure(case: Case, method: str, floors: Floors, iterations: int | None = None) -> Figures:
    """One method, or floor, on one case."""
    truth = surface_in_norm(case.shape.vertices, case.shape.faces)
    if method in FLOORS:
        return Figures(case.name, method, fidelity(floor(case, method, floors, truth), truth))
    result, seconds = made(case, method, iterations)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    mesh = result.mesh
    nearness = fidelity(surface_in_norm(mesh.vertices, mesh.faces), truth)
    views = None if case.azimuth is None else unseen_sides(result, case.shape, case.azimuth)
    return Figures(case.name, method, nearness, is_watertight(mesh.faces), seconds, memory, views)


class Kept:
    """Figures in a JSON-lines file; the ones of a former run are there already."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        read = [json.loads(line) for line in lines]
        self.figures = [Figures(**{**entry, "fidelity": Fidelity(**entry["fidelity"])}) for entry in read]

    def has(self, case: str, method: str) -> bool:
        return any((figure.case, figure.method) == (case, method) for figure in self.figures)

    def add(self, figures: Figures) -> None:
        self.figures.append(figures)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figures)) + "\n")


def table(figures: Sequence[Figures]) -> str:
    """Markdown: the means of every method over the cases that all of the methods have been measured on."""
    methods = [name for name in (*METHODS, *FLOORS) if any(figure.method == name for figure in figures)]
    of_method = {name: {figure.case: figure for figure in figures if figure.method == name} for name in methods}
    shared = set.intersection(*(set(cases) for cases in of_method.values())) if methods else set()
    lines = [
        f"| mean of {len(shared)} | Chamfer-L1 | F-score | IoU | unseen sides, dB | watertight | median s | peak GiB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in methods:
        lines.append(_row(name, [figure for case, figure in of_method[name].items() if case in shared]))
    return "\n".join(lines)


def _row(name: str, figures: Sequence[Figures]) -> str:
    if not figures:
        return f"| {name} | | | | | | | |"
    chamfer, f_score, iou = (
        float(np.mean([getattr(figure.fidelity, column) for figure in figures]))
        for column in ("chamfer_l1", "f_score", "iou")
    )
    cost = "| | | |"
    if name in METHODS:
        watertight = f"{100 * np.mean([figure.watertight for figure in figures]):.0f} %"
        seconds = np.median([figure.seconds for figure in figures])
        sides = [figure.views for figure in figures if figure.views is not None]
        shown = f"{np.mean(sides):.2f}" if sides else ""
        cost = f"{shown} | {watertight} | {seconds:.1f} | {max(figure.memory for figure in figures):.2f}"
        return f"| {name} | {chamfer:.4f} | {f_score:.3f} | {iou:.3f} | {cost} |"
    return f"| {name} | {chamfer:.4f} | {f_score:.3f} | {iou:.3f} {cost} |"


def report(options: argparse.Namespace) -> None:
    """Measures what is not yet measured, and prints. Raises InputError or MachineError."""
    source, dev = Archive(options.data), Archive(options.dev)
    folder = options.packed / f"packed_{options.data.stem}"
    shapes = TrainingShapes(pack(options.data, folder))
    floors = Floors(source, shapes, pack_distance_grids(options.data, folder), pack_views(options.data, folder))
    kept = Kept(options.out)
    print(f"{platform.machine()}, {options.threads} threads; {len(shapes)} training shapes.")
    with tempfile.TemporaryDirectory(prefix="gen3d-") as pictures:
        cases = list(rendered_cases(dev, Path(pictures), options.objects))
        if options.images is not None:
            cases += given_cases(dev, options.images)
        for method in (*FLOORS, *options.methods):
            for case in cases:
                if not kept.has(case.name, method):
                    kept.add(measure(case, method, floors, options.iterations))
                    last = kept.figures[-1]
                    print(f"{method}: {case.name}: Chamfer-L1 {last.fidelity.chamfer_l1:.4f}", file=sys.stderr)
    names = {case.name for case in cases}
    chosen = [figure for figure in kept.figures if figure.case in names]
    for title, rendered in (("Renderings of dev objects", True), ("Catalogue pictures", False)):
        group = [figure for figure in chosen if figure.case.endswith("(catalogue)") is not rendered]
        if group:
            print(f"\n## {title}\n\n{table(group)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="image", description="Measure image to 3D.")
    parser.add_argument("--data", type=Path, required=True, help="the data-set zip that the weights were trained on")
    parser.add_argument("--dev", type=Path, required=True, help="a data-set zip of objects that they never saw")
    parser.add_argument("--images", type=Path, help="a folder of pictures of them, with images.json")
    parser.add_argument("--objects", type=int, help="only so many objects of the dev data, spread evenly")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS), help="none: floors alone")
    parser.add_argument("--iterations", type=int, help="of multiview, where not its default")
    parser.add_argument("--packed", type=Path, default=Path("training_runs"), help="where packed data lies")
    parser.add_argument("--out", type=Path, default=Path("output/bench_image.jsonl"), help="where figures are kept")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    return exit_code_of(lambda: report(options))


if __name__ == "__main__":
    sys.exit(main())
