"""How well samples stand for real shapes that training never saw: 1-NNA, coverage and minimum matching distance.

The reference is what backend.data.holdout keeps back from training, evenly thinned to a number that a CPU can sample
in minutes; each sample is asked for by the caption of one reference shape, so both sets are as large and of the same
kinds. The baseline answers with the training shape whose caption is nearest to that prompt. CD is the sum of both mean
squared nearest distances between 2,048 surface points, EMD the mean distance under the best matching of 512 of them,
both in the model's units after centring and scaling.

The figures say something only of weights whose training left these shapes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from backend.data.holdout import held_out
from backend.errors import InputError
from backend.metrics import coverage, minimum_matching_distance, one_nearest_neighbor_accuracy, pairwise_distances
from backend.metrics.pairwise import Distance
from backend.models.shape_space import ShapeSpace
from backend.recipe import Recipe
from benchmarks.shape_clouds import Cloud, TrainingShapes, cloud_of_field

REFERENCES = 64
POINTS: dict[Distance, int] = {"chamfer": 2048, "earth movers": 512}


@dataclass(frozen=True)
class GenerationResult:
    """One distance's figures for one source of shapes; accuracy and coverage in [0, 1]."""

    accuracy: float
    coverage: float
    matching: float


def references(records: Sequence[dict], count: int = REFERENCES) -> list[int]:
    """Indices of `count` held-out objects, or of all where there are fewer, spread evenly over the data set."""
    indices = np.flatnonzero(held_out(records))
    if not len(indices):
        raise InputError("The data set is too small to have held any object back from training.")
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return indices[places].tolist()


def compare(generated: Sequence[Cloud], reference: Sequence[Cloud]) -> dict[Distance, GenerationResult]:
    """The three figures by both distances."""
    results = {}
    for distance, points in POINTS.items():
        made, real = (
            torch.from_numpy(np.stack([shape.positions[:: len(shape.positions) // points] for shape in shapes]))
            for shapes in (generated, reference)
        )
        between = pairwise_distances(made, real, distance)
        within_made, within_real = (
            pairwise_distances(made, distance=distance),
            pairwise_distances(real, distance=distance),
        )
        results[distance] = GenerationResult(
            one_nearest_neighbor_accuracy(within_made, between, within_real),
            coverage(between),
            minimum_matching_distance(between),
        )
    return results


def nearest_captions(
    embed: Callable[[Sequence[str]], torch.Tensor], prompts: Sequence[str], captions: Sequence[str]
) -> list[int]:
    """For each prompt the index of the caption that is nearest by sentence embedding; of equal ones the first."""
    unique = sorted(set(captions))
    rows = torch.cat([embed(unique[start : start + 64]).cpu() for start in range(0, len(unique), 64)])
    best = torch.cat([embed([prompt]).cpu() for prompt in prompts]) @ rows.T
    return [captions.index(unique[int(place)]) for place in best.argmax(dim=1)]


def measure(space: ShapeSpace, training: TrainingShapes) -> dict[str, dict[Distance, GenerationResult]]:
    """The model's and the baseline's results. Raises InputError when every sample came out empty."""
    chosen = references(training.data.records)
    real = [training.clouds[index] for index in chosen]
    prompts = [training.captions[index] for index in chosen]
    generated = []
    for seed, prompt in enumerate(tqdm(prompts, "Sampling", unit="shape")):
        parameters = Recipe.create(prompt=prompt, seed=seed).parameters
        latent = space.sample(
            prompt, seed=seed, steps=int(parameters["steps"]), guidance_scale=float(parameters["guidance_scale"])
        )
        try:
            generated.append(cloud_of_field(space.field(latent)))
        except InputError:
            continue  # an empty shape has no points; the table says how many there were by the number of samples
    if not generated:
        raise InputError("Every sample came out empty.")
    seen = np.flatnonzero(~held_out(training.data.records)).tolist()
    nearest = nearest_captions(space.text_encoder, prompts, [training.captions[index] for index in seen])
    retrieved = [training.clouds[seen[index]] for index in nearest]
    return {
        f"{len(generated)} samples": compare(generated, real),
        "nearest caption in training": compare(retrieved, real),
    }


def table(results: dict[str, dict[Distance, GenerationResult]]) -> str:
    """Markdown. 1-NNA is best at 50 %."""
    lines = [
        "| shapes | 1-NNA CD | 1-NNA EMD | COV CD | COV EMD | MMD CD (× 10³) | MMD EMD (× 10²) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, result in results.items():
        cd, emd = result["chamfer"], result["earth movers"]
        lines.append(
            f"| {name} | {cd.accuracy:.0%} | {emd.accuracy:.0%} | {cd.coverage:.0%} | {emd.coverage:.0%} "
            f"| {cd.matching * 1e3:.2f} | {emd.matching * 1e2:.2f} |"
        )
    return "\n".join(lines)
