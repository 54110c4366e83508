from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backend.data.volume import Volume
from backend.training.shape_autoencoder import ShapeSampler
from benchmarks import autoencoder_trials, latent_kinds, loss_terms
from benchmarks.autoencoder_trials import CPU, Examples, all_terms, capacity, reconstructed
from benchmarks.latent_networks.grid import GridNetwork, QuantizedGridNetwork
from benchmarks.loss_terms import SharpSampler, gradient_norms, sharpness, with_eikonal, without

WriteArchive = Callable[[Path], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trials")


@pytest.fixture
def examples(folder: Path, write_archive: WriteArchive) -> Examples:
    """A table, an apple and a sheet, packed once for all tests of this file."""
    return Examples.of(write_archive(folder / "tiny.zip"), folder)


class Truth:
    """An object's own signed distance, moved outwards by `offset`, and its own colour."""

    def __init__(self, examples: Examples, index: int, offset: float) -> None:
        source = examples.source[index]
        self.volume, self.offset = Volume.of(source.vertices, source.faces), offset
        self.srgb_of_all = torch.tensor(source.face_colors[0] / 255, dtype=torch.float32)

    def signed_distance(self, points: Tensor) -> Tensor:
        return self.volume.at_points(points) - self.offset

    def srgb(self, points: Tensor) -> Tensor:
        return self.srgb_of_all.expand(len(points), 3)


def test_the_truth_has_the_best_figures_and_a_moved_surface_its_distance(examples: Examples) -> None:
    exact, moved = (reconstructed(Truth(examples, 0, offset), examples, 0) for offset in (0.0, 0.02))  # type: ignore[arg-type]
    assert exact.iou > 0.99 and exact.chamfer_l1 < 2e-3 and exact.normal_consistency > 0.97
    assert exact.color_error == pytest.approx(0, abs=1e-6)
    assert moved.chamfer_l1 == pytest.approx(0.02, abs=2e-3) and moved.iou < exact.iou


def test_an_empty_shape_has_no_surface_to_measure(examples: Examples) -> None:
    empty = reconstructed(Truth(examples, 0, -9.0), examples, 0)  # type: ignore[arg-type]
    assert empty.iou == 0 and math.isnan(empty.chamfer_l1) and math.isnan(empty.normal_consistency)


def test_the_capacity_of_a_latent() -> None:
    latents = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)) * 0.3
    assert capacity(GridNetwork(), latents) == pytest.approx(5 * 0.5 * math.log2(1 + 0.09 / 0.01), rel=0.02)
    assert capacity(QuantizedGridNetwork(), latents) == 15


def test_terms_are_left_out_by_name_and_quantised_latents_are_not_pulled(examples: Examples) -> None:
    torch.manual_seed(0)
    network = GridNetwork()
    batch = ShapeSampler(examples.data, examples.grids, CPU)(np.random.default_rng(0), 2)
    every = {"distance", "sign", "color", "latent"}
    assert set(all_terms(network, batch)) == every
    assert set(without("sign", "color")(network, batch)) == every - {"sign", "color"}
    assert set(all_terms(QuantizedGridNetwork(), batch)) == every - {"latent"}
    eikonal = with_eikonal(network, batch)
    assert set(eikonal) == every | {"eikonal"} and eikonal["eikonal"].item() > 0


class Linear(GridNetwork):
    """f(x, y, z) = 2 x − y + 2 z, whose gradient has the length 3 everywhere."""

    def signed_distance(self, expanded: object, points: Tensor) -> Tensor:
        return points @ torch.tensor([2.0, -1.0, 2.0])


def test_gradients_by_differences() -> None:
    points = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gradient_norms(Linear(), None, points), torch.full((2, 7), 3.0), atol=1e-3, rtol=0)  # type: ignore[arg-type]


def test_sharpness_of_what_is_flat_an_edge_and_a_sheet() -> None:
    flat, edge, sheet, nothing = np.array([[-0.5] * 3, [0.01] * 3, [0.5] * 3, [0.9] * 3])
    up, side = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
    positions = np.array([flat, flat, edge, edge, sheet, sheet])
    normals = np.array([up, up, up, side, up, -up])
    found = sharpness(positions, normals, np.array([flat, edge, sheet, nothing]))
    assert found == pytest.approx([0.01, 1 - math.sqrt(0.5), 1, 0.01])


def test_half_of_the_near_queries_go_to_edges(examples: Examples) -> None:
    """On a box, the places farthest from being flat are within a cell of two of its sides."""
    plain, sharp = (kind(examples.data, examples.grids, CPU) for kind in (ShapeSampler, SharpSampler))
    half = np.array([0.9, 0.5, 0.3])

    def share_at_edges(sampler: ShapeSampler) -> float:
        chosen = sampler.near_queries(np.random.default_rng(0), np.zeros(4, np.int64))
        places = np.abs(examples.data.query_positions[0].astype(np.float32)[chosen])
        return float(((np.abs(places - half) < 1 / 16).sum(axis=-1) >= 2).mean())

    assert share_at_edges(sharp) > 1.5 * share_at_edges(plain)


@pytest.mark.parametrize("benchmark", [latent_kinds, loss_terms])
def test_a_run_trains_measures_and_prints_and_a_second_run_only_reads(
    benchmark,
    folder: Path,
    examples: Examples,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(autoencoder_trials, "DETAIL", 16)
    archive, picture = str(folder / "tiny.zip"), folder / "picture.jpg"
    names = [trial.name for trial in benchmark.TRIALS[-1:]]
    arguments = ["--data", archive, "--dev", archive, "--out", str(folder), "--minutes", "0.01", "--only", *names]
    assert benchmark.main([*arguments, "--picture", str(picture)]) == 0
    first = capsys.readouterr().out
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| ")][1:]
    assert [cells[0].removeprefix("| ") for cells in rows] == names
    assert all(int(cells[4]) >= 1 and cells[2] == "6,144" for cells in rows)
    with Image.open(picture) as shown:
        assert shown.size == (3 * 130, 2 * 130)
    assert benchmark.main(arguments) == 0
    again = capsys.readouterr().out
    without_seconds = [[line.rsplit("|", 2)[0] for line in text.splitlines()] for text in (first, again)]
    assert without_seconds[0] == without_seconds[1]


def test_a_missing_data_set_is_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = latent_kinds.main(["--data", str(tmp_path / "none.zip"), "--dev", "dev.zip", "--out", str(tmp_path)])
    captured = capsys.readouterr()
    assert code == 2 and captured.out == "" and "none.zip does not exist" in captured.err
