"""How long the shape space takes for an object, warm: medians over prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from backend import Recipe, generate
from backend.meshing.surface import extract_surface
from backend.models.shape_space import ShapeSpace

PROMPTS = ("a chair", "a tall cabinet", "a red car", "a tree", "a house", "a mug")
FINE = 256


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(space: ShapeSpace, prompts: Sequence[str] = PROMPTS) -> dict[str, list[float]]:
    """Seconds of each prompt: all of text to 3D with its usual detail, and a surface of FINE³ from a latent."""
    generate(Recipe.create(prompt=prompts[0], seed=1))
    rows: dict[str, list[float]] = {"prompt → finished mesh, detail 128": [], f"latent → surface, detail {FINE}": []}
    whole, fine = rows.values()
    for prompt in prompts:
        recipe = Recipe.create(prompt=prompt, seed=0)
        whole.append(seconds_of(lambda recipe=recipe: generate(recipe)))  # type: ignore[misc]
        parameters = recipe.parameters
        latent = space.sample(
            prompt, seed=0, steps=int(parameters["steps"]), guidance_scale=float(parameters["guidance_scale"])
        )
        fine.append(seconds_of(lambda latent=latent: extract_surface(space.field(latent), FINE)))  # type: ignore[misc]
    return rows


def table(rows: dict[str, list[float]]) -> str:
    """Markdown."""
    lines = ["| warm | median s | longest s |", "|---|---:|---:|"]
    return "\n".join(lines + [f"| {name} | {median(times):.2f} | {max(times):.2f} |" for name, times in rows.items()])
