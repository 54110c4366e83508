"""How smooth walks between shapes are, and how long they take: fixed pairs of a data set's objects × nine steps.

    python3 build.py bench interpolation --data DATA_SET.zip [--pairs 20] [--steps 9] [--out FOLDER] [--no-timing]

For each pair, both as meshes and as one mesh with shape keys. Every figure is taken from the results, by means that
made none of them: the parts of the steps, the ends' Chamfer-L1 against their inputs, the largest step's distance
against the mean step's; of the shape keys how far they are from the steps' own meshes, the largest move of a vertex in
a step, and the share of faces, and of area, that look against the nearest place of the step's own mesh, however far
that is; beside it the share that is inverted where it lies, which leaves out the skin over a hole: faces that look so
within 1 % of the size, and those anywhere that look against their neighbours. Lengths are in % of model space's objects
(1.8). Distances between surfaces are from points on one to the other surface and back, so
that they are 0 where nothing changes.

Two processes share the pairs; a pair that lies in FOLDER already is not made again. Seconds are measured apart, in one
worker on all cores with the model loaded, from the recipe sent to the result received. Prints Markdown; FOLDER has a
picture of each pair's steps (above: meshes, below: shape keys).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from backend import Recipe, generate, protocol
from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.data.mesh_files import write_mesh
from backend.kernels import point_to_mesh_distance
from backend.mesh import Mesh
from backend.meshing.even_steps import Surface, surface_distance
from backend.meshing.normals import vertex_normals
from backend.meshing.validity import is_watertight
from backend.recipe import Result
from benchmarks.pictures import picture

COLUMNS = (
    "pair",
    "watertight",
    "parts",
    "ends %",
    "largest / mean step",
    "keys off %",
    "largest moves %",
    "turned %",
    "by area %",
    "inverted %",
)
POINTS = 8192
SIZE = 1.8
"""The largest extent of an object in model space."""
ON_SURFACE = 0.01 * SIZE
"""Within this distance a face lies on a surface."""
CELL = 180  # pixels
TIMED_PAIRS = 3
PREVIEWED = (0.1, 0.3, 0.5, 0.7, 0.9)
PREVIEW = {"detail": 32, "face_count": 3_000, "texture": False}
"""As the slider in Blender asks for it."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
PATIENCE = 600.0  # seconds
START_WORKER = Path(__file__).resolve().parents[1] / "backend" / "start_worker.py"


@dataclasses.dataclass(frozen=True)
class Walk:
    """What was measured of one pair, shares as fractions: parts of each step; gaps, moves, turned of each step but the
    first, turned by the number of faces and turned_area by their area, inverted those where they lie; ends' Chamfer-L1
    against the inputs; off: the shape keys' mean distance from the steps' own meshes."""

    pair: str
    watertight: bool
    parts: tuple[int, ...]
    ends: tuple[float, ...]
    gaps: tuple[float, ...]
    off: float
    moves: tuple[float, ...]
    turned: tuple[float, ...]
    turned_area: tuple[float, ...]
    inverted: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return max(self.gaps) / max(float(np.mean(self.gaps)), 1e-9)

    @property
    def whole(self) -> bool:
        """Whether every step is watertight and, where both ends are of one part, of one or two."""
        return self.watertight and (self.parts[0] > 1 or self.parts[-1] > 1 or max(self.parts) <= 2)

    def row(self) -> str:
        cells = [self.pair, "yes" if self.watertight else "no", str(max(self.parts)), f"{100 * np.mean(self.ends):.2f}"]
        cells += [f"{self.ratio:.2f}", f"{100 * self.off:.2f}", f"{100 * max(self.moves):.1f}"]
        cells += [f"{100 * max(self.turned):.1f}", f"{100 * max(self.turned_area):.1f}"]
        cells += [f"{100 * max(self.inverted):.1f}"]
        return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure latent interpolation on pairs of a data set's objects.")
    parser.add_argument("--data", type=Path, required=True, help="a data-set zip")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--out", type=Path, help="where figures and pictures stay, so that a run can go on")
    parser.add_argument("--no-timing", action="store_true", help="leave the seconds out")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not options.no_timing:
            print(timing(options.data, folder, options.steps) + "\n", flush=True)
        print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
        walks = []
        for walk in measured(options.data, folder, options.pairs, options.steps):
            walks.append(walk)
            print(walk.row(), flush=True)
    print(summary(walks))


def summary(walks: Sequence[Walk]) -> str:
    keys = [max(walk.turned) <= 0.01 for walk in walks]
    areas = [max(walk.turned_area) <= 0.01 for walk in walks]
    inverted = [max(walk.inverted) <= 0.01 for walk in walks]
    return (
        f"\nOf {len(walks)} pairs: watertight, one or two parts where the ends have one: "
        f"{sum(walk.whole for walk in walks)}; largest step at most twice the mean: "
        f"{sum(walk.ratio <= 2 for walk in walks)}; shape keys with at most 1 % of faces turned: {sum(keys)}, of area: "
        f"{sum(areas)}, of faces inverted where they lie: {sum(inverted)}; they are "
        f"{100 * np.mean([walk.off for walk in walks]):.2f} % off on average. "
        f"Ends' Chamfer-L1: mean {100 * np.mean([walk.ends for walk in walks]):.2f} %."
    )


def chosen_pairs(count: int, objects: int) -> list[tuple[int, int]]:
    """The same for every run: two different objects each."""
    generator = random.Random(0)
    drawn = [generator.sample(range(objects), 2) for _ in range(count)]
    return [(first, second) for first, second in drawn]


def measured(data: Path, folder: Path, pairs: int, steps: int) -> Iterator[Walk]:
    """All walks in their order, those that are not in the folder yet made by two processes."""
    chosen = chosen_pairs(pairs, len(Archive(data)))
    os.environ.update(ONE_THREAD)  # for the processes
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(measure, [data] * pairs, [folder] * pairs, chosen, [steps] * pairs)


def measure(data: Path, folder: Path, pair: tuple[int, int], steps: int) -> Walk:
    """Both outputs of the walk between two objects, measured; or what an earlier run measured."""
    kept = folder / f"{pair[0]:02d}-{pair[1]:02d}.json"
    if kept.is_file():
        return Walk(**json.loads(kept.read_text(encoding="utf-8")))
    shapes = [Archive(data)[index] for index in pair]
    meshes = written(shapes, folder)
    series = generate(recipe(meshes, steps=steps))
    keyed = generate(recipe(meshes, steps=steps, output="shape keys"))
    walk = figures(shapes, series, keyed)
    assert keyed.shape_keys is not None
    rows = [series.meshes, [Mesh(key, keyed.mesh.faces, keyed.mesh.colors) for key in keyed.shape_keys]]
    sheet([[picture(mesh, CELL) for mesh in row] for row in framed(rows)]).save(kept.with_suffix(".png"), optimize=True)
    kept.write_text(json.dumps(dataclasses.asdict(walk)), encoding="utf-8")
    return walk


def framed(rows: Sequence[Sequence[Mesh]]) -> list[list[Mesh]]:
    """The meshes as large as the picture takes them all, side by side alike."""
    corners = np.concatenate([mesh.vertices for row in rows for mesh in row])
    low, high = corners.min(axis=0), corners.max(axis=0)
    placed = np.diag([*[SIZE / np.ptp(corners, axis=0).max()] * 3, 1.0])
    placed[:3, 3] = -placed[0, 0] * (low + high) / 2
    return [[mesh.transformed(placed) for mesh in row] for row in rows]


def figures(shapes: Sequence[DataObject], series: Result, keyed: Result) -> Walk:
    surfaces = [Surface.of(mesh.vertices, mesh.faces, POINTS) for mesh in series.meshes]
    keys = keyed.shape_keys
    assert keys is not None
    faces = keyed.mesh.faces
    turned = [turned_shares(key, faces, goal) for key, goal in list(zip(keys, surfaces, strict=True))[1:]]
    return Walk(
        pair=f"{shapes[0].class_name} to {shapes[1].class_name}",
        watertight=all(is_watertight(mesh.faces) for mesh in series.meshes),
        parts=tuple(surface.parts for surface in surfaces),
        ends=tuple(end_error(shape, surfaces[end]) for shape, end in zip(shapes, (0, -1), strict=True)),
        gaps=tuple(surface_distance(one, other) / SIZE for one, other in pairwise(surfaces)),
        off=float(
            np.mean([surface_distance(Surface.of(k, faces), goal) for k, goal in zip(keys, surfaces, strict=True)])
        )
        / SIZE,
        moves=tuple(float(np.linalg.norm(b - a, axis=1).max()) / SIZE for a, b in pairwise(keys)),
        turned=tuple(number for number, _, _ in turned),
        turned_area=tuple(area for _, area, _ in turned),
        inverted=tuple(number for _, _, number in turned),
    )


def end_error(shape: DataObject, made: Surface) -> float:
    """Chamfer-L1 between an input and its end, both with the largest extent 1 about one middle."""
    vertices = shape.vertices - (shape.vertices.max(axis=0) + shape.vertices.min(axis=0)) / 2
    own = Surface.of((vertices / np.ptp(vertices, axis=0).max()).astype(np.float32), shape.faces, POINTS)
    middle = (made.vertices.max(axis=0) + made.vertices.min(axis=0)) / 2
    scale = np.ptp(made.vertices, axis=0).max()
    placed = ((made.vertices - middle) / scale).astype(np.float32)
    return surface_distance(own, Surface.of(placed, made.faces, POINTS))


def turned_shares(key: np.ndarray, faces: np.ndarray, goal: Surface) -> tuple[float, float, float]:
    """The share of faces that look against the nearest place of the step's own mesh, that of their area, and the share
    of faces that do within ON_SURFACE or look against the mean normal of their corners."""
    a, b, c = key[faces].astype(np.float64).transpose(1, 0, 2)
    middles = torch.from_numpy(((a + b + c) / 3).astype(np.float32))
    found = point_to_mesh_distance(middles, torch.from_numpy(goal.vertices), torch.from_numpy(goal.faces))[:2]
    squared, nearest = (part.numpy() for part in found)
    p, q, r = goal.vertices[goal.faces[nearest]].astype(np.float64).transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    turned = (normals * np.cross(q - p, r - p)).sum(axis=1) < 0
    folded = (normals * vertex_normals(key, faces)[faces].sum(axis=1)).sum(axis=1) < 0
    areas = np.linalg.norm(normals, axis=1)
    inverted = turned & (squared < ON_SURFACE**2) | folded
    return float(turned.mean()), float(areas[turned].sum() / areas.sum()), float(inverted.mean())


def recipe(meshes: tuple[str, ...], **parameters: Any) -> Recipe:
    return Recipe.create("latent_interpolation", "latent interpolation", meshes=meshes, **parameters)


def written(shapes: Sequence[DataObject], folder: Path) -> tuple[str, ...]:
    """Mesh files of the objects."""
    paths = [folder / f"{shape.id}.ply" for shape in shapes]
    for path, shape in zip(paths, shapes, strict=True):
        if not path.is_file():
            write_mesh(path, as_mesh(shape))
    return tuple(map(str, paths))


def as_mesh(shape: DataObject) -> Mesh:
    """The object with its faces' colours at vertices of their own."""
    colors = np.repeat(srgb_to_linear(shape.face_colors / 255), 3, axis=0)
    corners = shape.vertices[shape.faces].reshape(-1, 3)
    return Mesh(corners, np.arange(len(corners)).reshape(-1, 3), colors)


def timing(data: Path, folder: Path, steps: int) -> str:
    """Seconds of a worker that has made something before: nine steps between meshes that are new to it, both outputs;
    and previews between meshes that it knows."""
    archive = Archive(data)
    warm, *timed = [
        written([archive[index] for index in pair], folder) for pair in chosen_pairs(TIMED_PAIRS + 1, len(archive))
    ]
    with worker(folder) as channel:
        for output in ("meshes", "shape keys"):
            seconds(channel, recipe(warm, steps=2, output=output))
        taken: dict[str, list[float]] = {"meshes": [], "shape keys": [], "preview": []}
        for meshes in timed:
            taken["meshes"].append(seconds(channel, recipe(meshes, steps=steps)))
            for share in PREVIEWED:
                taken["preview"].append(seconds(channel, recipe(meshes, blend=(1 - share, share), **PREVIEW)))
        for meshes in (warm, *timed[:-1]):  # each forgotten by now: the other inputs have taken its place
            taken["shape keys"].append(
                seconds(channel, recipe(copied(meshes, folder), steps=steps, output="shape keys"))
            )
    parts = [f"{name}: median {np.median(found):.2f}, most {max(found):.2f}" for name, found in taken.items()]
    return f"Seconds of a warm worker on {os.cpu_count()} cores, {steps} steps. " + "; ".join(parts) + "."


def copied(meshes: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """The same files by other names, which no cache knows."""
    copies = []
    for name in meshes:
        copy = folder / f"copy-{Path(name).name}"
        copy.write_bytes(Path(name).read_bytes())
        copies.append(str(copy))
    return tuple(copies)


@contextmanager
def worker(folder: Path) -> Iterator[protocol.Channel]:
    """The channel to a worker process, which ends with it."""
    with protocol.Listener() as listener:
        process = subprocess.Popen(
            [sys.executable, str(START_WORKER), "--address", listener.address, "--log", str(folder / "worker.log")],
            stdin=subprocess.DEVNULL,
            env={**os.environ, protocol.KEY_VARIABLE: listener.key},
        )
        channel = listener.accept(PATIENCE, lambda: process.poll() is None)
    if channel is None:
        raise SystemExit(f"The worker did not start: {folder / 'worker.log'} tells why.")
    try:
        channel.receive()  # its hello
        yield channel
    finally:
        channel.close()
        process.wait(PATIENCE)


def seconds(channel: protocol.Channel, asked: Recipe) -> float:
    """From the recipe's leaving to the result's arrival."""
    begin = time.perf_counter()
    channel.send(protocol.generate("1", asked))
    while (message := channel.receive()).kind != "result":
        if message.kind in ("error", "cancelled"):
            raise SystemExit(str(message.fields))
    protocol.read_result(message)
    return time.perf_counter() - begin


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> Image.Image:
    """Square pictures in rows."""
    return Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0))


if __name__ == "__main__":
    main()
