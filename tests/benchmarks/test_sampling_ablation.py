from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.models.shape_space import ShapeSpace
from benchmarks import sampling_ablation
from benchmarks.sampling_ablation import Measured, Setting, coarse_cloud, drawn, main, row
from benchmarks.text_faithfulness import NOUNS, prompts
from tests.backend.models.conftest import octahedron_weights, random_weights

__all__ = ["octahedron_weights", "random_weights"]

MEASURED = Measured(
    setting=Setting(2.0, 12),
    classes_asked=24,
    classes_right=18,
    nearest=(0.02, 0.04, 0.05),
    diversity=0.1,
    words_asked=32,
    proportions_obeyed=24,
    colors_obeyed=8,
    shapes=88,
    empty=1,
    whole=66,
    inconsistency=20.04,
    seconds=0.25,
)


class Sphere:
    def __init__(self, radius: float) -> None:
        self.radius = radius

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        return points.norm(dim=-1) - self.radius

    def color(self, points: torch.Tensor) -> torch.Tensor:
        return torch.tensor([1.0, 0.0, 0.0]).expand(len(points), 3)


def test_a_coarse_cloud_lies_on_the_surface_and_an_empty_shape_has_none() -> None:
    found = coarse_cloud(Sphere(0.6))
    assert found is not None
    # Clouds are scaled to a half-extent of 0.9.
    assert np.abs(np.linalg.norm(found.positions, axis=1) - 0.9).max() < 0.01
    assert (found.srgb == [255, 0, 0]).all()
    assert coarse_cloud(Sphere(-1.0)) is None


def test_results_are_kept_as_they_are() -> None:
    assert Measured.from_json(MEASURED.to_json()) == MEASURED


def test_a_row_says_what_was_counted() -> None:
    assert row(MEASURED, 0.03) == "| 2 | 12 | 75 % | 75 % | 25 % | 4 % | 0.040 | 0.100 | 75 % | 1 | 20.0 | 0.25 |"
    assert "| – |" in row(replace(MEASURED, nearest=()), 0.03)


def test_samples_differ_by_setting_and_by_nothing_else(random_weights: Path) -> None:
    space = ShapeSpace.load(folder=random_weights)
    first = drawn(space, "a chair", Setting(2.0, 3), 4)
    assert first.shape == (4, 6) and torch.equal(first, drawn(space, "a chair", Setting(2.0, 3), 4))
    assert not torch.allclose(first, drawn(space, "a chair", Setting(3.0, 3), 4), atol=1e-3)
    assert not torch.allclose(first, drawn(space, "a chair", Setting(2.0, 6), 4), atol=1e-6)


def test_settings_are_measured_once(
    octahedron_weights: Path,
    tmp_path: Path,
    write_archive: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every sample is the same octahedron: all whole, none empty, no two different, no word obeyed but by colour."""
    monkeypatch.setattr(sampling_ablation, "DETAIL", 8)
    monkeypatch.setattr(sampling_ablation, "near_copy_distance", lambda space, training, source: 0.03)
    archive = write_archive(tmp_path / "tiny.zip")
    arguments = ["--data", str(archive), "--packed", str(tmp_path), "--weights", str(octahedron_weights)]
    arguments += ["--steps", "1", "--samples", "2", "--guidance"]
    assert main([*arguments, "1"]) == 0
    first = capsys.readouterr().out
    kept = next((tmp_path / "sampling_ablation").iterdir())
    result = Measured.from_json(kept.read_text("utf-8"))
    assert result.setting == Setting(1.0, 1)
    assert (result.shapes, result.empty, result.whole) == (2 * len(prompts()), 0, 2 * len(prompts()))
    assert result.classes_asked == 2 * len(NOUNS) and len(result.nearest) == 2 * len(NOUNS)
    assert result.proportions_obeyed == 0 and result.diversity == pytest.approx(0, abs=1e-5)
    assert main([*arguments, "1", "2"]) == 0
    again = capsys.readouterr().out
    assert again.startswith(first) and len(again.splitlines()) == len(first.splitlines()) + 1
    assert len(kept.read_text("utf-8").splitlines()) == 2


def test_a_missing_data_set_is_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "none.zip")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "none.zip does not exist" in captured.err
