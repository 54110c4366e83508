from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import cKDTree
from torch import Tensor, nn

from backend.data.distance_packing import pack_distance_grids
from backend.data.packing import PackedData, pack
from backend.data.variants import VIEWS, draw_variants
from backend.models.conditions import Conditions
from backend.models.partial_shape import CHANNELS, cell_centres
from backend.models.text_encoder import Sentences
from backend.training import latent_prior
from backend.training.described import SENTENCES, TOKENS, Captions
from backend.training.latent_prior import (
    ALONE,
    SENTENCE_BESIDE_IMAGE,
    SENTENCE_BESIDE_PART,
    Examples,
    FlowBatch,
    LatentSampler,
    encode_all,
    flow_losses,
    variants_of,
)

CPU = torch.device("cpu")


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


def test_every_object_is_encoded_in_all_its_views(data: PackedData, grids: np.ndarray) -> None:
    class Summary:
        """Stands for the auto-encoder: a latent of where the shape is, of what is inside, and of its mean colour."""

        @staticmethod
        def encoder(distances: Tensor, positions: Tensor, colors: Tensor) -> Tensor:
            assert distances.dtype == positions.dtype == colors.dtype == torch.float32
            means = torch.stack([positions.abs().mean((1, 2)), distances.mean((1, 2, 3)), colors.mean((1, 2))], dim=1)
            return means[:, :, None, None, None].expand(-1, -1, 8, 8, 8)

    variants = variants_of(data)
    latents = encode_all(Summary(), data, grids, variants, CPU)
    assert latents.shape == (3, VIEWS, 3, 8, 8, 8) and latents.dtype == torch.float16
    torch.testing.assert_close(latents[:, 0], latents[:, 1], atol=2e-3, rtol=0)  # mirrored: the same absolute values
    assert not torch.equal(latents[:, 0], latents[:, 2])
    torch.testing.assert_close(latents[:, 0, :2], latents[:, 4, :2])  # tinted: another colour, the same shape
    assert (latents[:, 0, 2] != latents[:, 4, 2]).all()
    assert torch.equal(encode_all(Summary(), data, grids, variants_of(data), CPU), latents)


@pytest.fixture
def sampler(data: PackedData) -> LatentSampler:
    """Coefficients that say which object and view they are, and pictures of one grey an object, bright on the left."""
    count = len(data)
    coefficients = torch.arange(count * VIEWS, dtype=torch.float32).view(count, VIEWS, 1)
    variants = [draw_variants(np.full(3, 0.9), np.random.default_rng(index)) for index in range(count)]
    sentences = Sentences(
        torch.eye(count, 384), torch.zeros(count, TOKENS, 384).half(), torch.ones(count, TOKENS, dtype=torch.bool)
    )
    captions = Captions(sentences, np.broadcast_to(np.arange(count)[:, None, None], (count, VIEWS, SENTENCES)))
    pictures = np.full((count, 2, 64, 64, 4), 255, np.uint8)
    pictures[..., :3] = 40 * np.arange(1, count + 1)[:, None, None, None, None]
    pictures[:, :, :, :32, :3] += 60
    classes = ("food", "other", "table")
    examples = Examples(data, variants, captions, pictures, torch.zeros(count, VIEWS, 1, 8, 8, 8), classes, "")
    return LatentSampler(examples, coefficients, CPU)


def drawn(batch: FlowBatch) -> tuple[Tensor, Tensor]:
    """Objects and views, as the coefficients tell them."""
    return batch.data[:, 0].long() // VIEWS, batch.data[:, 0].long() % VIEWS


def test_conditions_are_of_the_objects_that_were_drawn(sampler: LatentSampler) -> None:
    batch = sampler(np.random.default_rng(0), 3000)
    objects, views = drawn(batch)
    rows, sentences = batch.conditions.sentences
    assert (sentences.embedding.argmax(1) == objects[rows]).all()
    torch.testing.assert_close(sentences.embedding.norm(dim=1), torch.ones(len(rows)))
    assert sentences.embedding[0].max() < 1, "noise is added"
    rows, classes = batch.conditions.classes
    names = [record["class"] for record in sampler.data.records]
    assert [("food", "other", "table")[index] for index in classes] == [names[index] for index in objects[rows]]
    rows, images = batch.conditions.images
    assert images.shape[1:] == (4, 64, 64) and (views[rows] < 2).all(), "pictures are of what is not stretched"
    brightness = images[:, :3].mean((1, 2, 3))
    means = [brightness[objects[rows] == index].mean() for index in range(3)]
    assert means[0] < means[1] < means[2]
    brighter_left = images[:, 0, :, :32].mean((1, 2)) > images[:, 0, :, 32:].mean((1, 2))
    assert (brighter_left == (views[rows] == 0)).all(), "the picture of a mirrored object is mirrored"


def test_parts_lie_where_their_latent_s_shape_lies(sampler: LatentSampler) -> None:
    """Every surface cell of a part is near to the moved object's own points, and something of most is unknown."""
    batch = sampler(np.random.default_rng(1), 400)
    objects, views = drawn(batch)
    rows, parts = batch.conditions.parts
    assert parts.shape[1:] == (CHANNELS, 16, 16, 16)
    centres = cell_centres()
    for row, part in zip(rows.tolist(), parts, strict=True):
        index, view = int(objects[row]), int(views[row])
        matrix = sampler.matrices[index, view]
        surface = sampler.data.surface_positions[index].astype(np.float32) @ matrix.T
        filled = part[1] > 0
        places = (centres[filled] + part[2:5, filled].T / 16).numpy()
        distance, _ = cKDTree(surface).query(places)
        assert len(places) == 0 or distance.max() < 0.09
        assert not (part[0, filled] > 0).any(), "what is seen is known"
    assert (parts[:, 0].mean((1, 2, 3)) > 0.02).float().mean() > 0.9


def test_conditions_come_in_the_shares_that_were_chosen(sampler: LatentSampler) -> None:
    count = 6000
    generator = np.random.default_rng(2)
    batches = [sampler(generator, 1000).conditions for _ in range(count // 1000)]
    with_part = sum(len(batch.parts[0]) for batch in batches)
    with_image = sum(len(batch.images[0]) for batch in batches)
    with_sentence = sum(len(batch.sentences[0]) for batch in batches)
    beside = ALONE["image"] * SENTENCE_BESIDE_IMAGE + ALONE["part"] * SENTENCE_BESIDE_PART
    for found, share in (
        (with_part, ALONE["part"]),
        (with_image, ALONE["image"]),
        (with_sentence, ALONE["sentence"] + beside),
    ):
        assert stats.binomtest(found, count, share).pvalue > 0.001
    assert sum(ALONE.values()) == pytest.approx(1)


def test_objects_that_are_held_out_are_never_drawn(sampler: LatentSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_prior, "held_out", lambda records: np.array([False, True, False]))
    variants = variants_of(sampler.data)
    told = sampler.captions, sampler.pictures, torch.zeros(3, VIEWS, 1, 8, 8, 8)
    examples = Examples(sampler.data, variants, *told, ("food", "other", "table"), "")
    other = LatentSampler(examples, sampler.coefficients, CPU)
    objects, views = drawn(other(np.random.default_rng(3), 2000))
    assert set(objects.tolist()) == {0, 2} and set(views.tolist()) == set(range(VIEWS))
    asked = {"chosen": np.array([False, True, False]), "first": {"part": 1.0}, "plain_share": 1.0}
    batch = LatentSampler(examples, sampler.coefficients, CPU, **asked)(np.random.default_rng(4), 50)
    objects, views = drawn(batch)
    assert set(objects.tolist()) == {1} and set(views.tolist()) == {0, 1} and len(batch.conditions.parts[0]) == 50


def test_the_same_generator_gives_the_same_batch(sampler: LatentSampler) -> None:
    first, again = (sampler(np.random.default_rng([0, 3]), 60) for _ in range(2))
    assert torch.equal(first.data, again.data)
    assert torch.equal(first.conditions.parts[1], again.conditions.parts[1])
    assert torch.equal(first.conditions.images[1], again.conditions.images[1])
    assert torch.equal(first.conditions.sentences[1].embedding, again.conditions.sentences[1].embedding)


class Velocity(nn.Module):
    """Stands for the prior, and remembers what it was asked."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def encode(self, conditions: Conditions) -> Tensor:
        return torch.zeros(conditions.count, 1)

    def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        assert len(condition) == len(state)
        self.state, self.time = state, time
        return self.answer(state, time)


def test_the_velocity_of_a_straight_path_has_no_loss() -> None:
    """With all data at one point c the velocity is (c − x) / (1 − t), whatever the noise was."""
    point = torch.tensor([1.0, -2.0, 0.5])
    batch = FlowBatch(point.expand(2000, 3), Conditions(2000))
    torch.manual_seed(0)
    prior = Velocity(lambda state, time: (point - state) / (1 - time)[:, None])
    assert flow_losses(torch.ones(3))(prior, batch)["flow"].item() < 1e-4
    # Times are logit-normal: the logit is standard normal.
    assert stats.kstest(torch.logit(prior.time).numpy(), "norm").pvalue > 0.001
    # At time t the state is t c + (1 − t) noise.
    noise = (prior.state - prior.time[:, None] * point) / (1 - prior.time)[:, None]
    assert stats.kstest(noise[:, 0].numpy(), "norm").pvalue > 0.001


def test_coefficients_count_by_their_deviation() -> None:
    batch = FlowBatch(torch.zeros(20_000, 2), Conditions(20_000))
    deviations = torch.tensor([3.0, 1.0])
    torch.manual_seed(0)
    # An answer of 0 leaves an error of variance 1 in each coefficient, so the loss is the weights' mean, 1.
    assert flow_losses(deviations)(Velocity(lambda state, time: 0 * state), batch)["flow"].item() == pytest.approx(
        1, abs=0.03
    )
    # An answer that is right in the first coefficient alone leaves the second's weight: 1/2, over two coefficients.
    exact_first = Velocity(lambda state, time: -state / (1 - time)[:, None] * torch.tensor([1.0, 0.0]))
    torch.manual_seed(0)
    assert flow_losses(deviations)(exact_first, batch)["flow"].item() == pytest.approx(0.25, abs=0.02)
