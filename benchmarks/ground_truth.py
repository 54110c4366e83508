"""What meshes lose by being taken for solids, before any model is asked: the truth that the auto-encoder learns from.

    python3 build.py bench ground_truth --data dev.zip [--worst 20] [--picture docs/ground_truth.jpg]

Every object's signed distance (backend.data.volume) is meshed on a grid and compared with the object's own faces:
"there" is the mean distance from the solid's surface to the faces, "back" that from the faces to the solid's surface,
which counts faces within the solid; model units. The picture shows the worst by their sum: the object, and its solid
to the right of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from backend.data.archive import Archive, DataObject
from backend.data.volume import Volume
from backend.errors import InputError
from backend.kernels import Grid
from backend.mesh import Mesh
from backend.meshing.marching_cubes import marching_cubes
from benchmarks.pictures import picture
from benchmarks.reconstruction_fidelity import Surface, colored_mesh

TILE = 150
COLUMNS = 5


@dataclass(frozen=True)
class Loss:
    """One object's figures, and its solid."""

    shape: DataObject
    solid: Mesh
    there: float
    back: float


def solid_of(shape: DataObject, detail: int) -> Mesh:
    """The object as its signed distance has it, on a grid of `detail`³ nodes; without faces where it has no inside."""
    grid = Grid.cube(detail)
    values = Volume.of(shape.vertices, shape.faces).on_grid(grid, band=2.0).numpy()
    values = np.where(np.abs(values) < 1e-5, np.float32(1e-5), values)
    if not (values < 0).any():
        return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    vertices, faces = marching_cubes(values)
    return Mesh((vertices * grid.spacing - 1).astype(np.float32), faces)


def measure(shape: DataObject, detail: int) -> Loss:
    """Both mean distances; infinite for an object without an inside."""
    solid = solid_of(shape, detail)
    if not len(solid.faces):
        return Loss(shape, solid, float("inf"), float("inf"))
    ours, truth = Surface.of(solid.vertices, solid.faces), Surface.of(shape.vertices, shape.faces)
    there, back = truth.distances(ours.samples(1)[0]), ours.distances(truth.samples(2)[0])
    return Loss(shape, solid, float(there.mean()), float(back.mean()))


def table(losses: Sequence[Loss]) -> str:
    """Markdown: the means, and the objects in the order given."""
    lines = ["| object | there | back | Chamfer-L1 |", "|---|---:|---:|---:|"]
    there, back = (float(np.mean([getattr(loss, side) for loss in losses])) for side in ("there", "back"))
    lines.append(f"| mean of {len(losses)} | {there:.4f} | {back:.4f} | {(there + back) / 2:.4f} |")
    for loss in losses:
        mean = (loss.there + loss.back) / 2
        lines.append(f"| {loss.shape.caption} | {loss.there:.4f} | {loss.back:.4f} | {mean:.4f} |")
    return "\n".join(lines)


def sheet(losses: Sequence[Loss]) -> np.ndarray:
    """Objects and their solids in pairs, COLUMNS pairs a row: (H, W, 3) uint8."""
    pairs = [np.hstack([picture(colored_mesh(loss.shape), TILE), picture(loss.solid, TILE)]) for loss in losses]
    blank = np.full_like(pairs[0], 255)
    pairs += [blank] * (-len(pairs) % COLUMNS)
    return np.vstack([np.hstack(pairs[start : start + COLUMNS]) for start in range(0, len(pairs), COLUMNS)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ground_truth", description="Measure meshes as the solids they stand for.")
    parser.add_argument("--data", type=Path, required=True, help="a data-set zip")
    parser.add_argument("--detail", type=int, default=192, help="nodes along a side of the grid")
    parser.add_argument("--worst", type=int, default=20, help="how many to show")
    parser.add_argument("--picture", type=Path, help="where the picture of the worst is written")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    try:
        archive = Archive(options.data)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    losses = [measure(shape, options.detail) for shape in tqdm(archive, "Measuring", len(archive), unit="object")]
    losses.sort(key=lambda loss: -(loss.there + loss.back))
    print(table(losses))
    if options.picture is not None:
        Image.fromarray(sheet(losses[: options.worst])).save(options.picture, quality=85)
    return 0


if __name__ == "__main__":
    sys.exit(main())
