"""Whether sampled shapes are what their prompts say, how they differ, and whether they are copies of training shapes.

Definitions:

- Class: of the twelve largest everyday classes of the training data (weapons left out, and classes of no one kind of
  thing such as "structure" and "decor"), each with one common word as its prompt. A shape's class is that of most of
  its three nearest training shapes, by Chamfer-L1 between 2,048 surface points; the nearest one's where all differ.
- Proportion words: "a tall table" against "a table" with the same seed. Tall and low are height over the larger ground
  extent, wide and narrow width over depth, as in the training captions; obeyed when that changed by 5 % or more in the
  word's direction.
- Colour words: an object's main colour is the per-channel median of those points that carry its most common colour
  name (backend.data.captions.color_word, which named the training captions' colours). Obeyed when, in sRGB from 0 to 1,
  it lies within 0.15 (Euclidean) of a colour that the word names; "named so" is the stricter question whether the most
  common name is the word. The same question about the shapes of the prompt without the word says how often that happens
  by chance.
- Diversity: mean Chamfer-L1 between the seeds of one prompt.
- Near-copy: a shape whose nearest training shape is nearer than the median training shape is to its own
  reconstruction by the auto-encoder, which is as near as this model can come. Mirrored copies are not looked for.
- Baseline: the training shapes whose captions are nearest to the prompt by sentence embedding, the first one for the
  first seed and so on; each is left out of the training shapes when its own neighbours are looked for.

1-NNA, COV and MMD, which need real shapes that were held back from training, are generation_quality's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from tqdm import tqdm

from backend.data.archive import Archive
from backend.data.captions import color_word, with_article
from backend.errors import InputError
from backend.kernels import nearest_neighbors
from backend.models.shape_space import ShapeSpace
from backend.recipe import Recipe
from benchmarks.reconstruction_fidelity import colored_mesh
from benchmarks.shape_clouds import Cloud, TrainingShapes, class_by_vote, cloud_of_field, mean_pairwise_distance

NOUNS = {
    "building": "house",
    "tableware": "cup",
    "tree": "tree",
    "plant": "potted plant",
    "storage": "cabinet",
    "food": "cake",
    "animal": "dog",
    "person": "man",
    "door_window": "door",
    "chair": "chair",
    "table": "table",
    "lamp": "lamp",
}
"""The twelve classes, and the noun that stands for each in prompts."""
DESCRIBED = ("chair", "table", "cabinet", "lamp")
"""The nouns that are asked for with proportion and colour words."""
PROPORTION_WORDS = {"tall": (0, 1), "low": (0, -1), "wide": (1, 1), "narrow": (1, -1)}
"""Word → which of a cloud's proportions, and whether it grows or shrinks."""
COLOR_WORDS = ("red", "green", "blue", "white")
CHANGE = 1.05
COLOR_DISTANCE = 0.15
PALETTE_SIZE = 33
RECONSTRUCTED = 2
"""Training shapes of each class that are encoded and decoded to tell what a near-copy is."""

Shapes = dict[str, list[Cloud | None]]
"""Prompt → a cloud for each seed; None where the shape came out empty."""


@dataclass(frozen=True)
class ClassResult:
    """One class's shapes: how many of them are of the class; the distance of each to its nearest training shape; the
    mean distance between two of them. Distances in model units."""

    prompt: str
    asked: int
    right: int
    nearest: list[float]
    diversity: float


@dataclass(frozen=True)
class WordResult:
    """One word's shapes: how many obey it, and of colours how many are named so and what chance gives of both."""

    word: str
    asked: int
    obeyed: int
    named: int = 0
    asked_by_chance: int = 0
    obeyed_by_chance: int = 0
    named_by_chance: int = 0


@dataclass(frozen=True)
class Faithfulness:
    """All results of one source of shapes."""

    classes: dict[str, ClassResult]
    proportions: list[WordResult]
    colors: list[WordResult]


def prompts() -> list[str]:
    """Every prompt that shapes are needed for."""
    words = (*PROPORTION_WORDS, *COLOR_WORDS)
    described = [with_article(f"{word} {noun}") for word, noun in itertools.product(words, DESCRIBED)]
    return [with_article(noun) for noun in NOUNS.values()] + described


def sample_all(space: ShapeSpace, seeds: Sequence[int]) -> Shapes:
    """Shapes by the product's own settings, for every prompt and seed."""
    shapes: Shapes = {}
    for prompt, seed in tqdm(list(itertools.product(prompts(), seeds)), "Sampling", unit="shape"):
        parameters = Recipe.create(prompt=prompt, seed=seed).parameters
        latent = space.sample(
            prompt, seed=seed, steps=int(parameters["steps"]), guidance_scale=float(parameters["guidance_scale"])
        )
        try:
            made = cloud_of_field(space.field(latent))
        except InputError:  # an empty shape, which counts as a wrong one
            made = None
        shapes.setdefault(prompt, []).append(made)
    return shapes


def retrieve_all(
    embed: Callable[[Sequence[str]], torch.Tensor], captions: Sequence[str], count: int
) -> dict[str, list[int]]:
    """Prompt → the `count` training shapes whose captions are nearest to it, nearest first; of equal ones the first."""
    unique = sorted(set(captions), key=len)
    rows = torch.cat([embed(unique[start : start + 64]).cpu() for start in range(0, len(unique), 64)])
    place = {caption: index for index, caption in enumerate(unique)}
    everything = rows[[place[caption] for caption in captions]]
    retrieved = {}
    for prompt in prompts():
        similarity = everything @ embed([prompt]).cpu()[0]
        retrieved[prompt] = torch.sort(similarity, descending=True, stable=True).indices[:count].tolist()
    return retrieved


def near_copy_distance(space: ShapeSpace, training: TrainingShapes, source: Archive) -> float:
    """The median Chamfer-L1 between training shapes, evenly picked from the twelve classes, and what the auto-encoder
    makes of them."""
    distances = []
    for name in tqdm(NOUNS, "Reconstructing", unit="class"):
        members = training.data.indices_of({name})
        for index in members[np.linspace(0, len(members) - 1, RECONSTRUCTED).round().astype(int)]:
            decoded = cloud_of_field(space.field(space.encode(colored_mesh(source[int(index)]))))
            distances.append(float(training.distances(decoded.positions, [int(index)])[0]))
    return float(np.median(distances))


def class_results(
    shapes: Shapes, training: TrainingShapes, retrieved: dict[str, list[int]] | None = None
) -> dict[str, ClassResult]:
    """Class → its result. retrieved: where the shapes are training shapes themselves, their indices."""
    results = {}
    for name, noun in tqdm(NOUNS.items(), "Comparing", unit="class"):
        prompt = with_article(noun)
        nearest, right = [], 0
        for order, shape in enumerate(shapes[prompt]):
            if shape is None:
                continue
            left_out = None if retrieved is None else retrieved[prompt][order]
            indices, distances = training.nearest(shape.positions, left_out)
            nearest.append(float(distances[0]))
            right += class_by_vote([training.classes[index] for index in indices]) == name
        made = [shape for shape in shapes[prompt] if shape is not None]
        results[name] = ClassResult(prompt, len(shapes[prompt]), right, nearest, mean_pairwise_distance(made))
    return results


def proportion_results(shapes: Shapes) -> list[WordResult]:
    """How often each proportion word changed what it names by CHANGE, against the same seed without the word."""
    results = []
    for word, (axis, direction) in PROPORTION_WORDS.items():
        asked = obeyed = 0
        for noun in DESCRIBED:
            pairs = zip(shapes[with_article(f"{word} {noun}")], shapes[with_article(noun)], strict=True)
            for described, plain in pairs:
                asked += 1
                if described is not None and plain is not None:
                    change = (described.proportion[axis] / plain.proportion[axis]) ** direction
                    obeyed += bool(change >= CHANGE)
        results.append(WordResult(word, asked, obeyed))
    return results


def main_color(srgb: np.ndarray) -> tuple[str, np.ndarray]:
    """The most common colour name of points (N, 3) uint8 sRGB, and the median (3,) in [0, 1] of those that have it."""
    colors, place = np.unique(srgb, axis=0, return_inverse=True)
    names = np.array([color_word(color / 255) for color in colors])[place.reshape(-1)]
    kinds, counts = np.unique(names, return_counts=True)
    name = str(kinds[np.argmax(counts)])
    return name, np.median(srgb[names == name] / 255, axis=0)


@cache
def named_colors(word: str) -> torch.Tensor:
    """Those of 33³ sRGB colours that `word` names, (M, 3) float32 in [0, 1]."""
    axis = np.linspace(0, 1, PALETTE_SIZE)
    return torch.tensor([tone for tone in itertools.product(axis, axis, axis) if color_word(tone) == word]).float()


def distance_to_word(color: np.ndarray, word: str) -> float:
    """From an sRGB colour (3,) in [0, 1] to the nearest one that `word` names."""
    squared, _ = nearest_neighbors(torch.from_numpy(color).float().reshape(1, 1, 3), named_colors(word)[None])
    return float(squared.sqrt())


def color_results(shapes: Shapes) -> list[WordResult]:
    """How often each colour word shows, in the shapes that were asked for with it and in those without."""
    results = []
    for word in COLOR_WORDS:
        described = [shape for noun in DESCRIBED for shape in shapes[with_article(f"{word} {noun}")]]
        plain = [shape for noun in DESCRIBED for shape in shapes[with_article(noun)]]
        obeyed, named = _color_counts(described, word)
        by_chance, named_by_chance = _color_counts(plain, word)
        results.append(WordResult(word, len(described), obeyed, named, len(plain), by_chance, named_by_chance))
    return results


def _color_counts(shapes: Sequence[Cloud | None], word: str) -> tuple[int, int]:
    mains = [main_color(shape.srgb) for shape in shapes if shape is not None]
    near = sum(distance_to_word(color, word) <= COLOR_DISTANCE for _, color in mains)
    return near, sum(name == word for name, _ in mains)


def measure(
    space: ShapeSpace, training: TrainingShapes, source: Archive, seeds: Sequence[int]
) -> tuple[Faithfulness, Faithfulness, float]:
    """The model's results, the baseline's, and the distance below which a shape is a near-copy."""
    sampled = sample_all(space, seeds)
    retrieved = retrieve_all(space.text_encoder, training.captions, len(seeds))
    found: Shapes = {prompt: [training.clouds[index] for index in indices] for prompt, indices in retrieved.items()}
    ours = Faithfulness(class_results(sampled, training), proportion_results(sampled), color_results(sampled))
    theirs = Faithfulness(class_results(found, training, retrieved), proportion_results(found), color_results(found))
    return ours, theirs, near_copy_distance(space, training, source)
