from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.data.distance_packing import pack_distance_grids
from backend.data.packing import PackedData, pack
from backend.data.volume import Volume
from backend.models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from backend.training.shape_autoencoder import (
    CHROMA_WEIGHT,
    ShapeSampler,
    after_symmetry,
    color_error,
    draw_symmetry,
    evaluate,
    losses_of,
)

CPU = torch.device("cpu")
TINY = ShapeAutoencoderConfig(
    latent_channels=4,
    patch_channels=8,
    mid_channels=8,
    latent_width=8,
    coarse_channels=8,
    fine_channels=8,
    hidden_channels=8,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed")


@pytest.fixture
def data(folder: Path, write_archive) -> PackedData:
    """Packed once for all tests of this file."""
    return pack(write_archive(folder / "tiny.zip"), folder / "packed", processes=1)


@pytest.fixture
def grids(folder: Path, data: PackedData) -> np.ndarray:
    return pack_distance_grids(folder / "tiny.zip", folder / "packed", processes=1)


@pytest.fixture
def sampler(data: PackedData, grids: np.ndarray) -> ShapeSampler:
    return ShapeSampler(data, grids, CPU, surface=200, near=50, far=40, color=30)


def test_batches_have_the_shapes_that_were_asked_for(sampler: ShapeSampler) -> None:
    batch = sampler(np.random.default_rng(0), 5)
    assert batch.grids.shape == (5, 64, 64, 64)
    assert batch.positions.shape == batch.colors.shape == (5, 200, 3)
    assert batch.queries.shape == (5, 90, 3) and batch.distances.shape == (5, 90)
    assert batch.color_positions.shape == batch.color_targets.shape == (5, 30, 3)
    assert batch.colored.shape == (5,)
    assert {value.dtype for value in vars(batch).values()} == {torch.float32}


def test_the_same_generator_gives_the_same_batch(sampler: ShapeSampler) -> None:
    first, again = (sampler(np.random.default_rng([0, 7]), 4) for _ in range(2))
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())
    other = sampler(np.random.default_rng([0, 8]), 4)
    assert not torch.equal(first.positions, other.positions)


def test_symmetries_of_a_grid_are_those_of_space() -> None:
    generator = np.random.default_rng(5)
    grid = generator.random((6, 6, 6))
    centres = np.stack(np.meshgrid(*[np.arange(6) - 2.5] * 3, indexing="ij"), axis=-1)
    matrices = {}
    for _ in range(200):
        matrix = draw_symmetry(generator)
        matrices[matrix.tobytes()] = matrix
    assert len(matrices) == 8, "all symmetries that keep Z up"
    for matrix in matrices.values():
        moved = after_symmetry(grid, matrix)
        places = (centres @ matrix.T + 2.5).astype(int)
        np.testing.assert_array_equal(moved[tuple(places.reshape(-1, 3).T)], grid.ravel())


def test_moved_shapes_are_still_shapes(sampler: ShapeSampler) -> None:
    """A box stays a box, of the same proportions; distances and the encoder's grid fit it."""
    batch = sampler(np.random.default_rng(1), 60)
    brown = torch.tensor([30.0, 70.0, 110.0]) / 255
    tables = [index for index in range(60) if torch.allclose(batch.colors[index, 0].sort().values, brown, atol=1e-5)]
    assert len(tables) > 5
    half = np.array([0.9, 0.5, 0.3])
    angles = set()
    for index in tables:
        positions = batch.positions[index].numpy()
        scale = np.abs(positions[:, 2]).max() / half[2]
        assert 0.8 <= scale <= 1.001

        def distance(points: np.ndarray, angle: float, scale: float = scale) -> np.ndarray:
            turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
            beyond = np.abs(points @ turn.T) - half * scale
            return np.linalg.norm(beyond.clip(min=0), axis=-1) + beyond.max(axis=-1).clip(max=0)

        tried = np.linspace(0, np.pi, 721)
        angle = tried[np.argmin([np.abs(distance(positions, angle)).mean() for angle in tried])]
        angles.add(round(float(angle), 1))
        assert np.abs(distance(positions, angle)).max() < 0.01
        assert np.abs(distance(batch.queries[index].numpy(), angle) - batch.distances[index].numpy()).max() < 0.01
        axis = (np.arange(64) + 0.5) / 32 - 1
        centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
        wanted = np.tanh(distance(centres, angle) / 0.08)
        assert np.abs(batch.grids[index].numpy() - wanted).mean() < 0.05
    assert len(angles) > 2, "some are turned by odd angles"


def test_near_queries_come_first(sampler: ShapeSampler) -> None:
    batch = sampler(np.random.default_rng(2), 30)
    assert batch.distances[:, :50].abs().mean() < batch.distances[:, 50:].abs().mean() / 3


def test_rare_classes_are_drawn_more_often_than_their_share(data: PackedData, grids: np.ndarray) -> None:
    four = PackedData(
        **{name: np.concatenate([value, value[:1]]) for name, value in vars(data).items() if name != "records"},
        records=[*data.records, data.records[0]],
    )
    weight = ShapeSampler(four, grids, CPU).weight
    assert weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(weight[[0, 3]] / weight[1], 2**-0.5)


def test_shapes_without_colour_do_not_teach_any(sampler: ShapeSampler) -> None:
    torch.manual_seed(0)
    model = ShapeAutoencoder(TINY)
    batch = sampler(np.random.default_rng(3), 6)
    batch.colored = torch.zeros(6)
    losses = losses_of(model, batch)
    assert set(losses) == {"distance", "sign", "color", "latent"}
    assert losses["color"].item() == 0
    assert all(torch.isfinite(value) and value.ndim == 0 for value in losses.values())


def test_colour_error_takes_brightness_and_hue_apart() -> None:
    target = torch.full((1, 5, 3), 0.5)
    assert color_error(target + 0.2, target).item() == pytest.approx(0.2, abs=1e-5)
    shift = torch.tensor([0.2, -0.1, -0.1])  # grey stays the same
    assert color_error(target + shift, target).item() == pytest.approx(CHROMA_WEIGHT * 0.06 / 3, rel=1e-4)


def test_losses_vanish_for_the_truth(sampler: ShapeSampler) -> None:
    """A model that answers the stored distances and colours has no distance or colour loss, and the least sign loss."""
    batch = sampler(np.random.default_rng(4), 3)

    class Oracle:
        encoder = staticmethod(lambda grids, positions, colors: torch.zeros(3, 4, 8, 8, 8))
        decoder: Oracle

        def grids(self, latent):
            return None

        def signed_distance(self, grids, queries):
            return batch.distances + self.offset

        def srgb(self, grids, positions):
            return batch.color_targets

        def __init__(self, offset: float) -> None:
            self.offset, self.decoder = offset, self

    exact, off = (losses_of(Oracle(offset), batch) for offset in (0.0, 0.05))
    assert exact["distance"].item() == exact["color"].item() == exact["latent"].item() == 0
    assert 0 < off["distance"].item() <= 0.5 + 1e-6 and off["sign"] > exact["sign"]
    near = losses_of(Oracle(-0.001), batch)["sign"], losses_of(Oracle(0.001), batch)["sign"]
    assert exact["sign"] < min(near), "the distance itself has the least sign loss"


def test_evaluation_measures_overlap_and_colour(data: PackedData, grids: np.ndarray) -> None:
    """With a decoder that knows the answer the overlap is 1; with everything inside it is the shapes' share."""

    class Known:
        def __init__(self, everything: bool) -> None:
            self.everything, self.index, self.decoder = everything, -1, self

        def encoder(self, distances, positions, colors):
            self.index += 1
            assert torch.equal(distances[0], torch.from_numpy(grids[self.index].astype(np.float32) / 127))
            return positions

        def grids(self, latent):
            return None

        def signed_distance(self, grids, queries):
            known = torch.from_numpy(data.query_distances[self.index, -queries.shape[1] :].astype(np.float32))
            return torch.full_like(known, -1)[None] if self.everything else known[None]

        def srgb(self, grids, positions):
            return torch.from_numpy(data.surface_colors[self.index].astype(np.float32) / 255)[None] + 0.1

    exact = evaluate(Known(False), data, grids, range(3), CPU)
    assert exact["iou"] == 1 and exact["color_error"] == pytest.approx(0.1, abs=1e-6)
    share = (data.query_distances[:, -4096:] < 0).mean(1)
    assert evaluate(Known(True), data, grids, range(3), CPU)["iou"] == pytest.approx(share[share > 0].mean(), abs=1e-6)


def test_the_test_s_box_is_what_it_claims(box) -> None:
    """The references above lean on the box being closed and wound outwards."""
    vertices, faces = box((-1, -1, -1), (1, 1, 1))
    assert Volume.of(vertices, faces).at_points(torch.zeros(1, 3)).item() == pytest.approx(-1)
    corners = vertices[faces]
    assert (np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0).all()
