"""How smooth walks between shapes are, and how long they take: pairs of objects of a data set × nine steps.

    python3 build.py bench interpolation --data DATA_SET.zip [--pairs 20] [--steps 9]

For each pair: components of every step (largest number), the ends' Chamfer-L1 in % of the size, the largest step's
Chamfer-L1 against the mean step's, and for shape keys the largest move of a vertex in a step and the share of faces
turned over. Seconds are of a warm process. Prints Markdown on standard output.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import re
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from backend import Recipe, generate
from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.data.mesh_files import write_mesh
from backend.mesh import Mesh
from backend.meshing.topology import connected_parts
from backend.meshing.validity import is_watertight
from backend.recipe import Result
from backend.tasks.latent_interpolation import reconstruction_error

COLUMNS = ("pair", "watertight", "components", "ends %", "max/mean step", "s", "moves %", "turned %", "keys s")


@dataclasses.dataclass(frozen=True)
class Walk:
    """What was measured of one pair; shares as fractions, times in seconds."""

    pair: str
    watertight: bool
    components: int
    ends: float
    ratio: float
    seconds: float
    largest_move: float
    turned: float
    key_seconds: float

    def row(self) -> str:
        cells = [self.pair, "yes" if self.watertight else "no", str(self.components), f"{100 * self.ends:.2f}"]
        cells += [f"{self.ratio:.2f}", f"{self.seconds:.1f}", f"{100 * self.largest_move:.1f}"]
        cells += [f"{100 * self.turned:.1f}", f"{self.key_seconds:.1f}"]
        return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure latent interpolation on pairs of a data set's objects.")
    parser.add_argument("--data", type=Path, required=True, help="a data-set zip")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=9)
    options = parser.parse_args(arguments)
    archive = Archive(options.data)
    chosen = random.Random(0)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    walks = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.pairs):
            walks.append(
                measure([archive[index] for index in chosen.sample(range(len(archive)), 2)], folder, options.steps)
            )
            print(walks[-1].row(), flush=True)
    print(f"\nRatio at most 2: {np.mean([walk.ratio <= 2 for walk in walks]):.0%}; ", end="")
    print(f"faces turned at most 1 %: {np.mean([walk.turned <= 0.01 for walk in walks]):.0%}; ", end="")
    print(f"median seconds: {np.median([walk.seconds for walk in walks]):.1f}, ", end="")
    print(f"with shape keys {np.median([walk.key_seconds for walk in walks]):.1f}.")


def measure(pair: Sequence[DataObject], folder: str, steps: int) -> Walk:
    """Both outputs of the walk between two objects."""
    paths = [Path(folder) / f"{shape.id}.ply" for shape in pair]
    for path, shape in zip(paths, pair, strict=True):
        write_mesh(path, as_mesh(shape))
    meshes = tuple(map(str, paths))
    series, seconds = timed(meshes, steps, "meshes")
    keyed, key_seconds = timed(meshes, steps, "shape keys")
    gaps = [reconstruction_error(one, other) for one, other in pairwise(series.meshes)]
    return Walk(
        pair=f"{pair[0].class_name} to {pair[1].class_name}",
        watertight=all(is_watertight(mesh.faces) for mesh in series.meshes),
        components=max(int(connected_parts(mesh.faces).max()) + 1 for mesh in series.meshes),
        ends=float(np.mean(figures(series.notes, "within")[:2])),
        ratio=max(gaps) / max(float(np.mean(gaps)), 1e-9),
        seconds=seconds,
        largest_move=max(figures(keyed.notes, "Largest move", before="; faces")),
        turned=figures(keyed.notes, "at most")[-1],
        key_seconds=key_seconds,
    )


def timed(meshes: tuple[str, ...], steps: int, output: str) -> tuple[Result, float]:
    """The result, and the seconds that it took beside loading the model."""
    recipe = Recipe.create("latent_interpolation", "latent interpolation", meshes=meshes, steps=steps, output=output)
    begin = time.perf_counter()
    result = generate(recipe)
    return result, time.perf_counter() - begin - result.timings["Loading"]


def figures(notes: Sequence[str], after: str, before: str = "\n") -> list[float]:
    """The numbers of the notes between two texts, from percent to shares."""
    parts = [note.partition(after)[2].partition(before)[0] for note in notes if after in note]
    return [float(number) / 100 for part in parts for number in re.findall(r"\d+\.\d+", part)]


def as_mesh(shape: DataObject) -> Mesh:
    """The object with its faces' colours at vertices of their own."""
    colors = np.repeat(srgb_to_linear(shape.face_colors / 255), 3, axis=0)
    corners = shape.vertices[shape.faces].reshape(-1, 3)
    return Mesh(corners, np.arange(len(corners)).reshape(-1, 3), colors)


if __name__ == "__main__":
    main()
