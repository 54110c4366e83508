"""How long text to 3D takes, how much memory, and how sound its meshes are, over 100 prompts.

    python3 build.py bench text_to_3d [--count 100] [--seed 0] [--threads 2]

One process makes them all, as the worker does; the first, cold one is timed from the start of the imports. Checks are
made after all is timed, with trimesh and not with the project's own code. Prints Markdown on standard output. For Linux
and macOS.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402 - the clock starts before the imports
import platform  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import trimesh  # noqa: E402
from scipy.sparse import coo_matrix  # noqa: E402
from scipy.sparse.csgraph import connected_components  # noqa: E402

from backend import Recipe, generate  # noqa: E402
from backend.errors import InputError  # noqa: E402
from backend.progress import STAGES  # noqa: E402

PROMPTS = (
    "a wooden chair",
    "a red armchair",
    "a bar stool with a round seat",
    "a park bench",
    "an office chair on wheels",
    "a rocking chair",
    "a grey corner sofa",
    "a leather couch with two cushions",
    "a round coffee table",
    "a glass dining table",
    "a tall narrow table",
    "a white writing desk",
    "a bedside table with a drawer",
    "a workbench",
    "a double bed with pillows",
    "a bunk bed",
    "a baby crib",
    "a tall bookcase full of books",
    "a brown wardrobe",
    "a low chest of drawers",
    "a kitchen cabinet",
    "a wooden crate",
    "a barrel",
    "a treasure chest",
    "a desk lamp",
    "a floor lamp with a white shade",
    "a street light",
    "a candle in a holder",
    "a hanging lantern",
    "a wooden door",
    "a window with four panes",
    "a spiral staircase",
    "a white picket fence",
    "a brick fireplace",
    "a refrigerator",
    "a washing machine",
    "an old stove",
    "a microwave oven",
    "a ceiling fan",
    "a toilet",
    "a bathtub",
    "a washbasin",
    "a flat television",
    "a laptop",
    "a mobile phone",
    "a loudspeaker",
    "a computer keyboard",
    "an upright piano",
    "a guitar",
    "a yellow taxi",
    "a blue sports car",
    "a police car",
    "a red pickup truck",
    "a school bus",
    "a green tractor",
    "an army tank",
    "a bicycle",
    "a motorcycle",
    "a steam locomotive",
    "a passenger train wagon",
    "a sailing boat",
    "a small rowboat",
    "a cruise ship",
    "a passenger airplane",
    "a spaceship with wings",
    "a pine tree",
    "a palm tree",
    "a birch tree in autumn",
    "a dead tree without leaves",
    "a round green bush",
    "a potted plant",
    "a cactus with a flower",
    "a mushroom with a red cap",
    "a sunflower",
    "a grey rock covered with moss",
    "a snowman",
    "a dog",
    "a black cat",
    "a brown horse",
    "a cow",
    "a pink pig",
    "a blue fish",
    "a grey shark",
    "a dinosaur with a long neck",
    "a small house with a red roof",
    "a castle tower",
    "a windmill",
    "a church",
    "a skyscraper",
    "a stone bridge",
    "a red apple",
    "a birthday cake",
    "a burger",
    "a loaf of bread",
    "a banana",
    "a coffee mug",
    "a blue vase",
    "a green glass bottle",
    "a hammer",
    "a long sword",
)
"""Everyday things, with attributes: furniture, fittings, devices, vehicles, plants, animals, buildings, food, tools."""


@dataclass(frozen=True, eq=False)
class Made:
    """One mesh and what making it took: seconds a stage, and from beginning to end."""

    prompt: str
    vertices: np.ndarray
    faces: np.ndarray
    stages: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Soundness:
    """watertight: every edge has two faces, wound alike, around a volume. manifold: watertight, and each vertex has one
    fan of faces. whole: one component."""

    watertight: bool
    manifold: bool
    whole: bool


def soundness(vertices: np.ndarray, faces: np.ndarray) -> Soundness:
    """Checks a mesh: vertices (V, 3), faces (F, 3)."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    watertight = bool(mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0)
    return Soundness(
        watertight=watertight,
        manifold=watertight and count_fans(faces) == len(np.unique(faces)),
        whole=len(trimesh.graph.connected_components(mesh.face_adjacency, nodes=np.arange(len(faces)))) == 1,
    )


def count_fans(faces: np.ndarray) -> int:
    """The fans of a closed mesh's faces (F, 3): corners at a vertex are in one fan when an edge joins their faces."""
    corner = np.arange(faces.size).reshape(faces.shape)
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    from_corner, to_corner = corner.ravel(), np.roll(corner, -1, axis=1).ravel()
    order, opposite = np.lexsort((end, start)), np.lexsort((start, end))  # the k-th edge of one is the other's reverse
    pairs = np.concatenate(
        [
            np.stack([from_corner[order], to_corner[opposite]]),
            np.stack([to_corner[order], from_corner[opposite]]),
        ],
        axis=1,
    )
    graph = coo_matrix((np.ones(pairs.shape[1]), pairs), shape=(faces.size, faces.size))
    return int(connected_components(graph, directed=False)[0])


def make_all(prompts: Sequence[str], seed: int) -> tuple[list[Made], list[str]]:
    """Every prompt's mesh, and a sentence for each that none came of. The first one's seconds count from STARTED."""
    made: list[Made] = []
    failures: list[str] = []
    for index, prompt in enumerate(prompts):
        begin = time.perf_counter() if index else STARTED
        try:
            result = generate(Recipe.create(prompt=prompt, seed=seed), device="cpu")
        except InputError as error:
            failures.append(f"{prompt}: {error}")
            continue
        seconds = time.perf_counter() - begin
        made.append(Made(prompt, result.mesh.vertices, result.mesh.faces, result.timings, seconds))
        print(f"{index + 1:3d}/{len(prompts)} {prompt}: {seconds:.1f} s", file=sys.stderr)
    return made, failures


def peak_memory() -> float:
    """The most resident memory that this process has had, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def seconds_table(made: Sequence[Made]) -> str:
    """Markdown: seconds of each stage for the first mesh, and median and 95th percentile of the others."""
    columns = {stage: np.array([one.stages.get(stage, 0.0) for one in made]) for stage in STAGES}
    columns["all"] = np.array([one.seconds for one in made])
    lines = ["| seconds | cold | warm, median | warm, 95 % |", "|---|---:|---:|---:|"]
    for name, column in columns.items():
        warm = column[1:] if len(column) > 1 else column
        lines.append(f"| {name} | {column[0]:.2f} | {np.median(warm):.2f} | {np.quantile(warm, 0.95):.2f} |")
    return "\n".join(lines)


def soundness_table(made: Sequence[Made], asked: int) -> str:
    """Markdown: how many of the prompts gave a mesh, and how many of the meshes are sound."""
    checks = [soundness(one.vertices, one.faces) for one in made]
    counts = np.array([len(one.faces) for one in made])
    rows = {
        "made": f"{len(made)} of {asked}",
        "watertight": f"{sum(check.watertight for check in checks)} of {len(made)}",
        "manifold": f"{sum(check.manifold for check in checks)} of {len(made)}",
        "one component": f"{sum(check.whole for check in checks)} of {len(made)}",
        "faces, least · median · most": f"{counts.min():,} · {int(np.median(counts)):,} · {counts.max():,}",
    }
    return "\n".join(["| meshes | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows.items())])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="text_to_3d", description="Time text to 3D and check its meshes.")
    parser.add_argument("--count", type=int, default=len(PROMPTS), help="so many of the prompts, evenly picked")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    picked = np.linspace(0, len(PROMPTS) - 1, min(options.count, len(PROMPTS))).round().astype(int)
    made, failures = make_all([PROMPTS[index] for index in picked], options.seed)
    memory = peak_memory()
    if not made:
        print("No prompt gave a mesh.", *failures, sep="\n", file=sys.stderr)
        return 1
    print(
        f"{len(picked)} prompts, seed {options.seed}, {platform.machine()}, {options.threads} threads; "
        f"peak resident memory {memory:.2f} GiB.\n"
    )
    print(seconds_table(made), soundness_table(made, len(picked)), *failures, sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
