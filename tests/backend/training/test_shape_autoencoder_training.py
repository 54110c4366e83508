from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.data.packing import PackedData, pack
from backend.data.sampling import signed_distance
from backend.models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from backend.training.shape_autoencoder import CHROMA_WEIGHT, ShapeSampler, color_error, evaluate, losses_of

CPU = torch.device("cpu")
TINY = ShapeAutoencoderConfig(
    latent_channels=4,
    point_channels=8,
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


def sampler(data: PackedData) -> ShapeSampler:
    return ShapeSampler(data, CPU, surface=200, near=50, far=40, color=30)


def test_batches_have_the_shapes_that_were_asked_for(data: PackedData) -> None:
    batch = sampler(data)(np.random.default_rng(0), 5)
    assert batch.positions.shape == batch.normals.shape == batch.colors.shape == (5, 200, 3)
    assert batch.queries.shape == (5, 90, 3) and batch.distances.shape == (5, 90)
    assert batch.color_positions.shape == batch.color_targets.shape == (5, 30, 3)
    assert batch.colored.shape == (5,)
    assert {value.dtype for value in vars(batch).values()} == {torch.float32}


def test_the_same_generator_gives_the_same_batch(data: PackedData) -> None:
    draw = sampler(data)
    first, again = (draw(np.random.default_rng([0, 7]), 4) for _ in range(2))
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())
    other = draw(np.random.default_rng([0, 8]), 4)
    assert not torch.equal(first.positions, other.positions)


def test_moved_shapes_are_still_shapes(data: PackedData) -> None:
    """Normals stay unit and outward, points stay on the moved surface, distances fit the moved queries."""
    batch = sampler(data)(np.random.default_rng(1), 40)
    brown = torch.tensor([30.0, 70.0, 110.0]) / 255
    tables = [index for index in range(40) if torch.allclose(batch.colors[index, 0].sort().values, brown, atol=1e-5)]
    assert len(tables) > 5
    half = np.array([0.9, 0.5, 0.3])
    for index in tables:
        positions, normals = batch.positions[index].numpy(), batch.normals[index].numpy()
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
        # For a box, position · normal is the half extent along that normal: three values, scaled by one factor.
        reach = np.einsum("nd,nd->n", positions, normals)
        scale = reach.max() / half.max()
        assert 0.85 <= scale <= 1.051
        nearest = np.abs(reach[:, None] - half * scale).min(1)
        assert nearest.max() < 2e-3
        # The turned box's inside is where all three reaches are kept; its axes are among the normals.
        axes = np.unique(np.round(normals, 3), axis=0)
        along = batch.queries[index].numpy() @ axes.T
        limit = np.array([reach[np.abs(normals - axis).max(1) < 2e-3].mean() for axis in axes])
        beyond = along - limit
        exact_inside = (beyond < -5e-3).all(1)
        exact_outside = (beyond > 5e-3).any(1)
        distances = batch.distances[index].numpy()
        assert (distances[exact_inside] < 0).all() and (distances[exact_outside] > 0).all()
        inside = beyond.max(1) < 0
        np.testing.assert_allclose(distances[inside], beyond.max(1)[inside], atol=4e-3)


def test_near_queries_come_first(data: PackedData) -> None:
    batch = sampler(data)(np.random.default_rng(2), 30)
    assert batch.distances[:, :50].abs().mean() < batch.distances[:, 50:].abs().mean() / 3


def test_rare_classes_are_drawn_more_often_than_their_share(data: PackedData) -> None:
    four = PackedData(
        **{name: np.concatenate([value, value[:1]]) for name, value in vars(data).items() if name != "records"},
        records=[*data.records, data.records[0]],
    )
    weight = ShapeSampler(four, CPU).weight
    assert weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(weight[[0, 3]] / weight[1], 2**-0.5)


def test_shapes_without_colour_do_not_teach_any(data: PackedData) -> None:
    torch.manual_seed(0)
    model = ShapeAutoencoder(TINY)
    batch = sampler(data)(np.random.default_rng(3), 6)
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


def test_losses_vanish_for_the_truth(data: PackedData) -> None:
    """A model that answers the stored distances and colours has no distance or colour loss, and the least sign loss."""
    batch = sampler(data)(np.random.default_rng(4), 3)

    class Oracle:
        encoder = staticmethod(lambda positions, normals, colors: torch.zeros(3, 4, 8, 8, 8))
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


def test_evaluation_measures_overlap_and_colour(data: PackedData) -> None:
    """With a decoder that knows the answer the overlap is 1; with everything inside it is the shapes' share."""

    class Known:
        def __init__(self, everything: bool) -> None:
            self.everything, self.index, self.decoder = everything, -1, self

        def encoder(self, positions, normals, colors):
            self.index += 1
            return positions

        def grids(self, latent):
            return None

        def signed_distance(self, grids, queries):
            known = torch.from_numpy(data.query_distances[self.index, -queries.shape[1] :].astype(np.float32))
            return torch.full_like(known, -1)[None] if self.everything else known[None]

        def srgb(self, grids, positions):
            return torch.from_numpy(data.surface_colors[self.index].astype(np.float32) / 255)[None] + 0.1

    exact = evaluate(Known(False), data, CPU)
    assert exact["iou"] == 1 and exact["color_error"] == pytest.approx(0.1, abs=1e-6)
    share = (data.query_distances[:, -4096:] < 0).mean(1)
    assert evaluate(Known(True), data, CPU)["iou"] == pytest.approx(share[share > 0].mean(), abs=1e-6)


def test_the_test_s_box_is_what_it_claims(box) -> None:
    """The references above lean on the box being closed and wound outwards."""
    vertices, faces = box((-1, -1, -1), (1, 1, 1))
    assert signed_distance(vertices, faces, np.zeros((1, 3)))[0] == pytest.approx(-1)
    corners = vertices[faces]
    assert (np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0).all()
