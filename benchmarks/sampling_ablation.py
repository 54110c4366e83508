"""What guidance and the number of steps do to samples of the bundled prior, before any of them is chosen.

    python3 build.py bench sampling_ablation --data train_lite.zip [--guidance 1 2 3 5] [--steps 4 8 12 24]

Prompts, classes, words and near-copies are those of `text_faithfulness`. What differs from the product: every sample
counts, where the product draws several and keeps the best of them, and surfaces are taken from a coarse grid.

- whole: of the sampled shapes, those that hold all but 2 % of their volume in one connected part.
- inconsistency: how far the prior would move a sample if it were half hidden in noise, median (`latent_prior`).
- seconds: of the processor, for one sample of the prior among as many as a prompt has.

Prints Markdown. Every finished setting is kept beside the packed data, by the weights' hashes, and is not measured
again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from backend.color import linear_to_srgb
from backend.data.archive import Archive
from backend.data.packing import pack
from backend.data.sampling import SURFACE_POINTS
from backend.data.surface import sample_surface
from backend.meshing.bake import field_colors
from backend.meshing.surface import coarse_surface
from backend.models.candidates import AS_WHOLE, wholeness
from backend.models.latent_prior import Guidance, inconsistency, sample
from backend.models.shape_space import ShapeSpace
from backend.representations.field import Field
from backend.weights.bundled import FOLDER
from benchmarks.exit_codes import print_all
from benchmarks.shape_clouds import Cloud, TrainingShapes, cloud
from benchmarks.text_faithfulness import (
    NOUNS,
    Shapes,
    class_results,
    color_results,
    near_copy_distance,
    prompts,
    proportion_results,
)

DETAIL = 48
"""Cells along a side for the surface that a sample's cloud is drawn from."""


@dataclass(frozen=True)
class Setting:
    """How the flow is integrated."""

    guidance_scale: float
    steps: int


@dataclass(frozen=True)
class Measured:
    """One setting's figures. Of the class prompts: shapes asked for, of the class, and each one's distance to its
    nearest training shape; mean distance between two of one prompt. Words asked and obeyed. Of all shapes: how many,
    empty ones, whole ones, median inconsistency, processor seconds a sample."""

    setting: Setting
    classes_asked: int
    classes_right: int
    nearest: tuple[float, ...]
    diversity: float
    words_asked: int
    proportions_obeyed: int
    colors_obeyed: int
    shapes: int
    empty: int
    whole: int
    inconsistency: float
    seconds: float

    @classmethod
    def from_json(cls, line: str) -> Measured:
        """What `to_json` wrote."""
        stored = json.loads(line)
        return cls(**{**stored, "setting": Setting(**stored["setting"]), "nearest": tuple(stored["nearest"])})

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def coarse_cloud(field: Field) -> Cloud | None:
    """Points of the field's surface on a coarse grid, with everything that floats; None where there is no surface."""
    vertices, faces = coarse_surface(field, DETAIL)
    if not len(faces):
        return None
    points = sample_surface(vertices, faces, SURFACE_POINTS, np.random.default_rng(0)).positions
    return cloud(points, np.rint(255 * linear_to_srgb(field_colors(field, points))).astype(np.uint8))


def drawn(space: ShapeSpace, prompt: str, setting: Setting, count: int) -> torch.Tensor:
    """Whitened samples (count, K), from the same noise for every prompt and setting."""
    guidance = Guidance.by(space.prior, space.conditions(prompt), setting.guidance_scale)
    noise = torch.randn(count, space.prior.config.components, generator=torch.Generator().manual_seed(0))
    return sample(space.prior, noise, guidance, steps=setting.steps)


def measure(space: ShapeSpace, training: TrainingShapes, setting: Setting, count: int) -> Measured:
    """Draws `count` samples for every prompt and measures them."""
    shapes: Shapes = {}
    moved: list[float] = []
    seconds = 0.0
    whole = 0
    for prompt in tqdm(prompts(), f"guidance {setting.guidance_scale:g}, {setting.steps} steps", unit="prompt"):
        start = time.process_time()
        samples = drawn(space, prompt, setting, count)
        seconds += time.process_time() - start
        condition = space.prior.encode(space.conditions(prompt))
        moved += inconsistency(space.prior, samples, condition, space.components.deviations).tolist()
        fields = [space.field(latent) for latent in space.components.restore(samples)]
        shapes[prompt] = [coarse_cloud(field) for field in fields]
        whole += sum(wholeness(field) >= 1 - AS_WHOLE for field in fields)
    classes = class_results(shapes, training).values()
    proportions, colors = proportion_results(shapes), color_results(shapes)
    return Measured(
        setting=setting,
        classes_asked=sum(result.asked for result in classes),
        classes_right=sum(result.right for result in classes),
        nearest=tuple(distance for result in classes for distance in result.nearest),
        diversity=float(np.nanmean([result.diversity for result in classes])),
        words_asked=sum(result.asked for result in proportions),
        proportions_obeyed=sum(result.obeyed for result in proportions),
        colors_obeyed=sum(result.obeyed for result in colors),
        shapes=len(moved),
        empty=sum(shape is None for made in shapes.values() for shape in made),
        whole=whole,
        inconsistency=float(np.median(moved)),
        seconds=seconds / len(moved),
    )


HEAD = (
    "| guidance | steps | class as asked | proportion obeyed | colour obeyed | near-copies | nearest training shape "
    "| between samples | whole | empty | inconsistency | s a sample |\n"
    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def row(result: Measured, copy_distance: float) -> str:
    """One line of the table whose head is HEAD; copy_distance: nearer than this to a training shape is a near-copy."""

    def share(part: int, asked: int) -> str:
        return f"{100 * part / asked:.0f} %"

    copies = sum(distance < copy_distance for distance in result.nearest)
    cells = [
        f"{result.setting.guidance_scale:g}",
        str(result.setting.steps),
        share(result.classes_right, result.classes_asked),
        share(result.proportions_obeyed, result.words_asked),
        share(result.colors_obeyed, result.words_asked),
        share(copies, result.classes_asked),
        f"{np.median(result.nearest):.3f}" if result.nearest else "–",
        f"{result.diversity:.3f}",
        share(result.whole, result.shapes),
        str(result.empty),
        f"{result.inconsistency:.1f}",
        f"{result.seconds:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def report(options: argparse.Namespace) -> Iterator[str]:
    """Lines of Markdown as they come. Raises InputError or MachineError."""
    source = Archive(options.data)
    space = ShapeSpace.load(folder=options.weights)
    training = TrainingShapes(pack(options.data, options.packed / f"packed_{options.data.stem}"))
    yield f"Weights: {', '.join(f'{name} {digest[:12]}' for name, digest in space.weights.items())}."
    yield f"{platform.machine()}, one thread; {options.samples} samples for each of {len(prompts())} prompts.\n"
    digests = "_".join(digest[:12] for digest in space.weights.values())
    kept = options.packed / "sampling_ablation" / f"{digests}_{options.samples}_samples.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    known = [Measured.from_json(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    found = {result.setting: result for result in known}
    copy_distance = near_copy_distance(space, training, source)
    yield f"Near-copies are nearer than {copy_distance:.3f}. Classes: {', '.join(NOUNS.values())}.\n"
    yield HEAD
    for setting in itertools.starmap(Setting, itertools.product(options.guidance, options.steps)):
        if setting not in found:
            found[setting] = measure(space, training, setting, options.samples)
            with kept.open("a", encoding="utf-8") as file:
                file.write(found[setting].to_json() + "\n")
        yield row(found[setting], copy_distance)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sampling_ablation", description="Measure samples by guidance and steps.")
    parser.add_argument("--data", type=Path, required=True, help="the data-set zip that the weights were trained on")
    parser.add_argument("--guidance", type=float, nargs="+", default=(1, 2, 3, 5), help="scales (default: 1 2 3 5)")
    parser.add_argument("--steps", type=int, nargs="+", default=(4, 8, 12, 24), help="numbers (default: 4 8 12 24)")
    parser.add_argument("--samples", type=int, default=2, help="of every prompt (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="a folder of weights (default: the bundled ones)")
    parser.add_argument("--packed", type=Path, default=Path("training_runs"), help="where packed data lies")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    return print_all(report(options))


if __name__ == "__main__":
    sys.exit(main())
