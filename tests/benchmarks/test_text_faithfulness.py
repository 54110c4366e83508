from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.recipe import Recipe
from benchmarks.shape_clouds import Cloud, TrainingShapes
from benchmarks.shape_space import main
from benchmarks.text_faithfulness import (
    COLOR_WORDS,
    DESCRIBED,
    NOUNS,
    PROPORTION_WORDS,
    Faithfulness,
    Shapes,
    class_results,
    color_results,
    distance_to_word,
    main_color,
    prompts,
    proportion_results,
    retrieve_all,
)
from benchmarks.text_faithfulness_tables import tables


def shape(height: float = 1.0, width: float = 1.0, srgb: tuple[int, int, int] = (128, 128, 128)) -> Cloud:
    random = np.random.default_rng(0)
    positions = random.uniform(-1, 1, (2048, 3)).astype(np.float32)
    return Cloud(positions, np.full((2048, 3), srgb, np.uint8), np.array([height, width]))


def all_alike() -> Shapes:
    return {prompt: [shape(), shape()] for prompt in prompts()}


class FakeTraining(TrainingShapes):
    """Three chairs and three tables; every shape is nearest to the chairs."""

    def __init__(self) -> None:
        self.classes = ["chair"] * 3 + ["table"] * 3

    def nearest(self, positions: np.ndarray, left_out: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        indices = np.array([index for index in range(6) if index != left_out])
        return indices, (indices + 1) / 10


def test_prompts_are_valid_and_every_described_noun_is_also_asked_for_plainly() -> None:
    wanted = prompts()
    assert len(wanted) == len(set(wanted)) == 12 + 4 * (len(PROPORTION_WORDS) + len(COLOR_WORDS))
    for prompt in wanted:
        Recipe.create(prompt=prompt).validate()
    assert set(DESCRIBED) <= set(NOUNS.values())


def test_the_nearest_captions_are_retrieved_in_order() -> None:
    captions = ["a lamp", "a chair", "a tall chair", "a chair"]

    def embed(sentences: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float("chair" in text), float("tall" in text), 0.5] for text in sentences])

    retrieved = retrieve_all(embed, captions, 3)
    assert retrieved["a tall chair"] == [2, 1, 3]
    assert set(retrieved) == set(prompts())


def test_classes_are_counted_and_empty_shapes_are_wrong() -> None:
    shapes = all_alike()
    shapes["a chair"] = [shape(), None]
    results = class_results(shapes, FakeTraining())
    assert (results["chair"].right, results["chair"].asked, results["table"].right) == (1, 2, 0)
    assert results["chair"].nearest == pytest.approx([0.1])
    assert np.isnan(results["chair"].diversity) and results["table"].diversity == 0


def test_a_retrieved_shape_is_not_its_own_neighbour() -> None:
    retrieved = {prompt: [0, 1] for prompt in prompts()}
    results = class_results(all_alike(), FakeTraining(), retrieved)
    assert results["chair"].nearest == pytest.approx([0.2, 0.1])


def test_proportion_words_must_change_what_they_name_in_their_direction() -> None:
    shapes = all_alike()
    shapes["a tall chair"] = [shape(height=1.2), shape(height=1.04)]
    shapes["a low chair"] = [shape(height=0.8), shape(height=1.2)]
    shapes["a wide table"] = [shape(width=1.2), None]
    shapes["a narrow table"] = [shape(height=0.5), shape(width=0.9)]
    found = {result.word: result for result in proportion_results(shapes)}
    assert {word: result.obeyed for word, result in found.items()} == {"tall": 1, "low": 1, "wide": 1, "narrow": 1}
    assert all(result.asked == 8 for result in found.values())


def test_the_main_colour_is_the_median_of_the_most_common_name() -> None:
    srgb = np.array([[200, 20, 20]] * 5 + [[220, 30, 30]] * 4 + [[20, 20, 200]] * 7, np.uint8)
    name, color = main_color(srgb)
    assert name == "red" and color * 255 == pytest.approx([200, 20, 20])


def test_distances_to_colour_words() -> None:
    assert distance_to_word(np.array([0.9, 0.1, 0.1]), "red") < 0.03
    assert distance_to_word(np.array([0.5, 0.5, 0.5]), "grey") < 0.03
    assert distance_to_word(np.array([0.1, 0.1, 0.9]), "red") > 0.5


def test_colour_words_are_set_against_chance() -> None:
    shapes = all_alike()
    for noun in DESCRIBED:
        shapes[f"a red {noun}"] = [shape(srgb=(210, 20, 20)), shape(srgb=(20, 20, 210))]
        shapes[f"a {noun}"] = [shape(srgb=(210, 20, 20)), None]
    red = color_results(shapes)[0]
    assert (red.asked, red.obeyed, red.named) == (8, 4, 4)
    assert (red.asked_by_chance, red.obeyed_by_chance, red.named_by_chance) == (8, 4, 4)


def test_tables_add_up() -> None:
    shapes = all_alike()
    ours = Faithfulness(class_results(shapes, FakeTraining()), proportion_results(shapes), color_results(shapes))
    shown = tables(ours, ours, 0.15)
    assert "| class as asked | 8% (2 of 24) | 8% (2 of 24) | ≥ 80 % |" in shown
    assert "| near-copies (nearer than 0.150) | 100% (24 of 24) |" in shown
    assert "| chair | a chair | 2 of 2 |" in shown and "| tall | 0 of 8 | 0 of 8 |" in shown


def test_a_missing_data_set_is_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--data", str(tmp_path / "none.zip"), "--dev", str(tmp_path / "none.zip"), "--threads", "1"])
    captured = capsys.readouterr()
    assert code == 2 and captured.out == "" and "none.zip does not exist" in captured.err
