from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from backend.recipe import Recipe
from benchmarks import contact_sheet
from benchmarks.contact_sheet import CAPTION, CELL, EMPTY, GAP, PROMPTS, SEEDS, compose, main, pictures_in, recipes


def test_twelve_things_are_made_with_four_seeds() -> None:
    wanted = recipes(SEEDS)
    assert len(wanted) == 48 == len({recipe.to_json() for recipe in wanted})
    assert {recipe.inputs["prompt"] for recipe in wanted} == set(PROMPTS)


def color_of(recipe: Recipe) -> tuple[int, int, int]:
    return (PROMPTS.index(str(recipe.inputs["prompt"])) * 20, recipe.seed * 60, 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a headless run leaves: a picture of one colour for each recipe, but for the first, which failed."""
    lines = []
    for index, recipe in enumerate(recipes(SEEDS)):
        entry = {"request": recipe.to_dict(), "status": "failed", "error": "The shape came out empty."}
        if index:
            Image.new("RGB", (CELL, CELL), color_of(recipe)).save(tmp_path / f"{index}.png")
            entry = {"request": recipe.to_dict(), "status": "done", "outputs": {"png": f"{index}.png"}}
        lines.append(json.dumps(entry))
    (tmp_path / "manifest.jsonl").write_text("\n".join([*lines, '{"request": {"ta']))
    return tmp_path


def test_every_picture_is_in_its_block_with_its_prompt_below(folder: Path) -> None:
    wanted = recipes(SEEDS)
    sheet = compose(wanted, pictures_in(folder))
    width, height = 2 * CELL + GAP, 2 * CELL + CAPTION + GAP
    assert sheet.size == (4 * width + GAP, 3 * height + GAP)
    for index, recipe in enumerate(wanted):
        block, cell = divmod(index, 4)
        left, top = GAP + block % 4 * width, GAP + block // 4 * height
        corner = (left + cell % 2 * CELL + 5, top + cell // 2 * CELL + 5)
        assert sheet.getpixel(corner) == (color_of(recipe) if index else EMPTY)
        caption = sheet.crop((left, top + 2 * CELL, left + 2 * CELL, top + 2 * CELL + CAPTION))
        darkest = caption.convert("L").getextrema()[0]
        assert darkest < 80, "there is a caption"


def test_a_run_that_made_nothing_leaves_the_old_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "FOLDER", tmp_path / "pictures")
    monkeypatch.setattr(contact_sheet, "make_pictures", lambda wanted, folder, samples: 3)
    out = tmp_path / "sheet.png"
    out.write_bytes(b"old")
    assert main(["--out", str(out)]) == 3
    assert out.read_bytes() == b"old"


def test_a_sheet_with_gaps_is_written_and_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contact_sheet, "FOLDER", folder)
    monkeypatch.setattr(contact_sheet, "make_pictures", lambda wanted, folder, samples: 2)
    out = tmp_path / "docs" / "sheet.png"
    assert main(["--out", str(out)]) == 2
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as sheet:
        assert sheet.width > 4 * 2 * CELL
