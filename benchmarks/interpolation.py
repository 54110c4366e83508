"""How smooth walks between shapes are, and how long they take: pairs of objects of a data set × nine steps.

    python3 build.py bench interpolation --data DATA_SET.zip [--pairs 20] [--steps 9] [--picture ROWS.png]

For each pair: the parts of every step (largest number), the ends' Chamfer-L1 in % of the size, the largest step's
distance against the mean step's, and for shape keys the largest move of a vertex in a step and the share of faces
turned over. Distances between steps are from points on one surface to the other surface and back, so that they are 0
where nothing changes. Seconds are of a warm process. Prints Markdown on standard output; the picture has a row a pair.
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
from PIL import Image, ImageDraw

from backend import Recipe, generate
from backend.color import linear_to_srgb, srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.data.mesh_files import write_mesh
from backend.mesh import Mesh
from backend.meshing.even_steps import Surface, surface_distance
from backend.meshing.validity import is_watertight
from backend.recipe import Result

COLUMNS = ("pair", "watertight", "parts", "ends %", "max/mean step", "s", "moves %", "turned %", "keys s")
POINTS = 8192
CELL = 180  # pixels
TURN, TILT = np.radians(35), np.radians(20)
LIGHT = np.array([-0.4, -0.6, 0.7]) / np.linalg.norm([-0.4, -0.6, 0.7])


@dataclasses.dataclass(frozen=True)
class Walk:
    """What was measured of one pair; shares as fractions, times in seconds; parts of each step."""

    pair: str
    watertight: bool
    parts: tuple[int, ...]
    ends: float
    ratio: float
    seconds: float
    largest_move: float
    turned: float
    key_seconds: float

    def row(self) -> str:
        cells = [self.pair, "yes" if self.watertight else "no", str(max(self.parts)), f"{100 * self.ends:.2f}"]
        cells += [f"{self.ratio:.2f}", f"{self.seconds:.1f}", f"{100 * self.largest_move:.1f}"]
        cells += [f"{100 * self.turned:.1f}", f"{self.key_seconds:.1f}"]
        return "| " + " | ".join(cells) + " |"

    @property
    def whole(self) -> bool:
        """Whether every step is watertight and, where both ends are of one part, of one or two."""
        return self.watertight and (self.parts[0] > 1 or self.parts[-1] > 1 or max(self.parts) <= 2)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure latent interpolation on pairs of a data set's objects.")
    parser.add_argument("--data", type=Path, required=True, help="a data-set zip")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--picture", type=Path, help="where to draw the steps, a row a pair")
    options = parser.parse_args(arguments)
    archive = Archive(options.data)
    chosen = random.Random(0)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    walks, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.pairs):
            pair = [archive[index] for index in chosen.sample(range(len(archive)), 2)]
            walk, series = measure(pair, folder, options.steps)
            walks.append(walk)
            print(walk.row(), flush=True)
            if options.picture is not None:
                rows.append([draw(mesh) for mesh in series.meshes])
                sheet(rows).save(options.picture, optimize=True)
    print(f"\nWatertight, one or two parts where the ends have one: {np.mean([walk.whole for walk in walks]):.0%}; ")
    print(f"largest step at most 2 mean steps: {np.mean([walk.ratio <= 2 for walk in walks]):.0%}; ", end="")
    print(f"faces turned at most 1 %: {np.mean([walk.turned <= 0.01 for walk in walks]):.0%}; ", end="")
    print(f"median seconds: {np.median([walk.seconds for walk in walks]):.1f}, ", end="")
    print(f"with shape keys {np.median([walk.key_seconds for walk in walks]):.1f}.")


def measure(pair: Sequence[DataObject], folder: str, steps: int) -> tuple[Walk, Result]:
    """Both outputs of the walk between two objects, measured, and the series of meshes."""
    paths = [Path(folder) / f"{shape.id}.ply" for shape in pair]
    for path, shape in zip(paths, pair, strict=True):
        write_mesh(path, as_mesh(shape))
    meshes = tuple(map(str, paths))
    series, seconds = timed(meshes, steps, "meshes")
    keyed, key_seconds = timed(meshes, steps, "shape keys")
    surfaces = [Surface.of(mesh.vertices, mesh.faces, POINTS) for mesh in series.meshes]
    gaps = [surface_distance(one, other) for one, other in pairwise(surfaces)]
    walk = Walk(
        pair=f"{pair[0].class_name} to {pair[1].class_name}",
        watertight=all(is_watertight(mesh.faces) for mesh in series.meshes),
        parts=tuple(surface.parts for surface in surfaces),
        ends=float(np.mean(figures(series.notes, "within")[:2])),
        ratio=max(gaps) / max(float(np.mean(gaps)), 1e-9),
        seconds=seconds,
        largest_move=max(figures(keyed.notes, "Largest move", before="; faces")),
        turned=figures(keyed.notes, "at most")[-1],
        key_seconds=key_seconds,
    )
    return walk, series


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


def draw(mesh: Mesh) -> Image.Image:
    """A mesh of model space in its vertex colours, from the front left, back to front."""
    turn = np.array([[np.cos(TURN), np.sin(TURN), 0], [-np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(TILT), -np.sin(TILT)], [0, np.sin(TILT), np.cos(TILT)]])
    corners = (mesh.vertices.astype(np.float64) @ (tilt @ turn).T)[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    colors = np.full((len(corners), 3), 0.6) if mesh.colors is None else mesh.colors[mesh.faces].mean(axis=1)
    lit = linear_to_srgb(np.clip(colors * (0.35 + 0.65 * np.clip(normals @ LIGHT, 0, 1))[:, None], 0, 1))
    picture = Image.new("RGB", (2 * CELL, 2 * CELL), (255, 255, 255))
    pen = ImageDraw.Draw(picture)
    places = CELL + corners[..., [0, 2]] * (CELL / 1.5) * [1, -1]
    for face in np.argsort(-corners[..., 1].mean(axis=1)):
        if normals[face, 1] < 0:
            pen.polygon([tuple(place) for place in places[face]], fill=tuple(np.rint(255 * lit[face]).astype(int)))
    return picture.resize((CELL, CELL), Image.Resampling.LANCZOS)


def sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Pictures in rows."""
    whole = Image.new("RGB", (CELL * max(map(len, rows)), CELL * len(rows)), (255, 255, 255))
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            whole.paste(picture, (across * CELL, down * CELL))
    return whole


if __name__ == "__main__":
    main()
