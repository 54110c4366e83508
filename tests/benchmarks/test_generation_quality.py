"""Samples against real shapes that were held back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from backend.errors import InputError
from benchmarks.generation_quality import compare, nearest_captions, references, table
from benchmarks.shape_clouds import Cloud


def balls(count: int, seed: int, radius: float = 0.9) -> list[Cloud]:
    generator = np.random.default_rng(seed)
    clouds = []
    for _ in range(count):
        points = generator.normal(size=(2048, 3))
        points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
        clouds.append(Cloud(points.astype(np.float32), np.zeros((2048, 3), np.uint8), np.ones(2)))
    return clouds


def test_copies_cover_everything_and_another_kind_is_told_apart() -> None:
    real = [balls(1, seed, radius)[0] for seed, radius in enumerate((0.3, 0.5, 0.7, 0.9))]
    same, other = compare(real, real), compare(balls(4, 9, 0.1), real)
    for distance in ("chamfer", "earth movers"):
        assert same[distance].coverage == 1 and same[distance].matching == pytest.approx(0, abs=0.011)
        assert other[distance].coverage == 0.25  # all are nearest to the smallest
        assert other[distance].accuracy > 0.8 > same[distance].accuracy
    # The matching of two concentric spheres costs what their radii differ by, at the least; the mean of 0.2 … 0.8.
    assert other["earth movers"].matching == pytest.approx(0.5, abs=0.05)


def test_references_are_held_out_objects_spread_over_the_data() -> None:
    records = [{"id": f"{name}{i}", "class": name} for name in ("chair", "lamp") for i in range(100)]
    everything = references(records, 64)
    assert len(everything) == 10 and {records[index]["class"] for index in everything} == {"chair", "lamp"}
    few = references(records, 4)
    assert set(few) < set(everything) and len(few) == 4
    with pytest.raises(InputError, match="too small"):
        references(records[:5])


def test_the_nearest_caption_is_found() -> None:
    vectors = {"a cat": [1.0, 0.0], "a dog": [0.8, 0.6], "a car": [0.0, 1.0], "a kitten": [0.95, 0.3]}

    def embed(sentences: Sequence[str]) -> torch.Tensor:
        return torch.tensor([vectors[sentence] for sentence in sentences])

    assert nearest_captions(embed, ["a kitten", "a car"], ["a car", "a dog", "a cat", "a car"]) == [2, 0]


def test_the_table_has_a_row_for_each_source() -> None:
    real = balls(3, 0)
    lines = table({"ours": compare(real, real), "theirs": compare(balls(3, 1), real)}).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| ours | ") and "100%" in lines[2]
