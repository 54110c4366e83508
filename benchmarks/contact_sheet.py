"""The contact sheet: what the bundled model makes of 12 everyday things, four seeds each, none picked.

    python3 build.py bench contact_sheet [--out docs/contact_sheet.jpg] [--seeds 0 1 2 3]

Every picture goes the artist's way: a recipe through the headless add-on into a Blender scene, rendered in Cycles at
300 × 300. Pictures are kept in output/contact_sheet and those of the same weights are not made again: delete that
folder after changing anything else. A cell says "no shape" where none came of its recipe.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from backend.recipe import Recipe
from backend.weights.bundled import AUTOENCODER, PRIOR, expected_hashes
from build_steps.demo import scene_program
from build_steps.failure import StepFailed
from build_steps.paths import REPOSITORY
from build_steps.processes import run

PROMPTS = (
    "a chair",
    "a table",
    "a sofa",
    "a bed",
    "a table lamp",
    "a wardrobe",
    "a car",
    "a tree",
    "a potted plant",
    "a house",
    "a mug",
    "a fish",
)
SEEDS = (0, 1, 2, 3)
BLOCKS_ACROSS = 4
CELL = 300  # pixels
CAPTION = 60
GAP = 24
INK, PAPER, EMPTY = (40, 40, 40), (255, 255, 255), (235, 235, 235)
FOLDER = REPOSITORY / "output" / "contact_sheet"


def recipes(seeds: Sequence[int]) -> list[Recipe]:
    """All the cells' recipes; they name today's weights, so that pictures of others do not count as made."""
    hashes = {name: digest for name, digest in expected_hashes().items() if name in (AUTOENCODER, PRIOR)}
    return [Recipe.create(prompt=prompt, seed=seed, weights=hashes) for prompt in PROMPTS for seed in seeds]


def make_pictures(wanted: Sequence[Recipe], folder: Path, samples: int) -> int:
    """Runs the headless add-on over `wanted`; returns its exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = folder / "jobs.jsonl"
    jobs.write_text("".join(recipe.to_json() + "\n" for recipe in wanted), encoding="utf-8")
    python = Path(sys.executable)
    look = ["--render", "--size", str(CELL), "--samples", str(samples)]
    command = [*scene_program(python), "--", str(jobs), "--out", str(folder), *look]
    return run(command, settings={"GEN3D_PYTHON": str(python)}, silent=True)


def pictures_in(folder: Path) -> dict[str, Path]:
    """The finished pictures of a headless run's folder, by their recipes' JSON; none where it made no manifest."""
    found: dict[str, Path] = {}
    manifest = folder / "manifest.jsonl"
    for line in manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # a line that a crash cut short; its job was done again
            continue
        if entry["status"] == "done":
            found[Recipe.from_dict(entry["request"]).to_json()] = folder / entry["outputs"]["png"]
    return found


def compose(wanted: Sequence[Recipe], pictures: Mapping[str, Path]) -> Image.Image:
    """A block for each prompt, its seeds two a row, the prompt below; blocks in rows of BLOCKS_ACROSS."""
    blocks: dict[str, list[Recipe]] = {}
    for recipe in wanted:
        blocks.setdefault(str(recipe.inputs["prompt"]), []).append(recipe)
    rows_in_block = (max(map(len, blocks.values())) + 1) // 2
    width, height = 2 * CELL + GAP, rows_in_block * CELL + CAPTION + GAP
    rows = -(-len(blocks) // BLOCKS_ACROSS)
    sheet = Image.new("RGB", (BLOCKS_ACROSS * width + GAP, rows * height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=CAPTION * 0.6)
    for index, (prompt, cells) in enumerate(blocks.items()):
        left, top = GAP + index % BLOCKS_ACROSS * width, GAP + index // BLOCKS_ACROSS * height
        for cell, recipe in enumerate(cells):
            place = (left + cell % 2 * CELL, top + cell // 2 * CELL)
            if path := pictures.get(recipe.to_json()):
                with Image.open(path) as picture:
                    sheet.paste(picture.convert("RGB").resize((CELL, CELL)), place)
            else:
                draw.rectangle((*place, place[0] + CELL - 1, place[1] + CELL - 1), fill=EMPTY)
                draw.text((place[0] + CELL / 2, place[1] + CELL / 2), "no shape", INK, font, anchor="mm")
        draw.text((left + CELL, top + rows_in_block * CELL + CAPTION / 2), prompt, INK, font, anchor="mm")
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="contact_sheet", description="Make and render 12 things with four seeds.")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "contact_sheet.jpg", help="the sheet")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of every prompt (default: 0 1 2 3)")
    parser.add_argument("--samples", type=int, default=48, help="rays for each pixel (default: %(default)s)")
    options = parser.parse_args(arguments)
    wanted = recipes(options.seeds)
    try:
        code = make_pictures(wanted, FOLDER, options.samples)
    except StepFailed as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    pictures = pictures_in(FOLDER)
    if not any(recipe.to_json() in pictures for recipe in wanted):
        return code or 1  # the headless run has said why
    options.out.parent.mkdir(parents=True, exist_ok=True)
    compose(wanted, pictures).save(options.out, optimize=True)
    print(options.out)
    return code


if __name__ == "__main__":
    sys.exit(main())
