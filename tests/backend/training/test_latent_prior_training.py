from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from backend.data.packing import PackedData, pack
from backend.models.text_encoder import TextEncoder
from backend.training.latent_prior import (
    SENTENCES,
    TEXT_DROPOUT,
    VIEWS,
    LatentSampler,
    _view,
    describe_all,
    embed_all,
    encode_all,
    flow_losses,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed")


@pytest.fixture
def data(folder: Path, write_archive) -> PackedData:
    """Packed once for all tests of this file."""
    return pack(write_archive(folder / "tiny.zip"), folder / "packed", processes=1)


def ellipsoid(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals of x²/a² + y²/b² + z²/c² = 1 with a, b, c = 0.9, 0.4, 0.6."""
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    axes = np.array([0.9, 0.4, 0.6])
    normals = directions / axes
    return (directions * axes).astype(np.float32), normals / np.linalg.norm(normals, axis=1, keepdims=True)


@pytest.mark.parametrize("view", range(VIEWS))
def test_views_are_of_the_same_surface_mirrored_or_stretched(view: int) -> None:
    positions, normals = ellipsoid()
    moved, turned = _view(positions, normals, view, np.random.default_rng(3))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=1e-5)
    low, high = moved.min(0), moved.max(0)
    np.testing.assert_allclose((high - low).max(), 1.8, atol=1e-5)
    np.testing.assert_allclose(low + high, 0, atol=1e-5)
    # The stretched ellipsoid's own axes, from a linear fit, say what its normals must be.
    factors = np.array([np.polyfit(positions[:, axis], moved[:, axis], 1)[0] for axis in range(3)])
    assert (factors[0] < 0) == (view % 2 == 1) and (factors[1:] > 0).all()
    uneven = np.ptp(np.abs(factors)) > 0.01
    assert uneven == (view >= 2)
    wanted = normals / factors
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(turned, wanted, atol=1e-4)


def test_every_object_is_encoded_in_all_its_views(data: PackedData) -> None:
    class Summary:
        """Stands for the auto-encoder: a latent of the mean absolute position, normal and colour."""

        @staticmethod
        def encoder(positions: Tensor, normals: Tensor, colors: Tensor) -> Tensor:
            assert positions.dtype == normals.dtype == colors.dtype == torch.float32
            means = torch.stack([positions.abs().mean((1, 2)), normals.abs().mean((1, 2)), colors.mean((1, 2))], dim=1)
            return means[:, :, None, None, None].expand(-1, -1, 8, 8, 8)

    latents = encode_all(Summary(), data, CPU)
    assert latents.shape == (3, VIEWS, 3, 8, 8, 8) and latents.dtype == torch.float16
    torch.testing.assert_close(latents[:, 0], latents[:, 1], atol=2e-3, rtol=0)  # mirrored: the same absolute values
    assert not torch.equal(latents[:, 0], latents[:, 2])
    assert torch.equal(encode_all(Summary(), data, CPU), latents)


def test_captions_tell_what_the_mesh_shows(data: PackedData) -> None:
    captions = describe_all(data)
    assert [variants[0] for variants in captions] == ["a wide table", "an apple", "a sheet"]
    assert all(len(variants) == SENTENCES for variants in captions)
    assert any("brown" in text or "wooden" in text for text in captions[0])
    assert any("red" in text for text in captions[1])
    assert set(captions[2]) == {"a sheet"}, "its colour is unknown, and it is the only one of its class"
    assert describe_all(data) == captions


def test_every_sentence_is_embedded_once_and_put_in_its_place() -> None:
    captions = [["a chair", "a red chair"], ["a boat", "a chair"]]
    asked: list[str] = []

    class Recorder(TextEncoder):
        def __call__(self, sentences):
            asked.extend(sentences)
            return super().__call__(sentences)

    encoder = Recorder()
    embeddings = embed_all(captions, encoder)
    assert embeddings.shape == (2, 2, 384)
    assert sorted(asked) == ["a boat", "a chair", "a red chair"]
    assert torch.equal(embeddings[0, 0], embeddings[1, 1])
    for row, variants in enumerate(captions):
        for column, sentence in enumerate(variants):
            torch.testing.assert_close(embeddings[row, column], encoder([sentence])[0], atol=1e-5, rtol=0)


def make_sampler(classes: list[str]) -> LatentSampler:
    """Coefficients that say which object and view they are; embeddings along the object's own axis."""
    count = len(classes)
    coefficients = torch.arange(count * VIEWS, dtype=torch.float32).view(count, VIEWS, 1)
    embeddings = torch.eye(count, 384)[:, None].expand(-1, SENTENCES, -1)
    return LatentSampler(coefficients, embeddings, classes, CPU)


def test_sentences_go_with_their_objects_and_views_are_even() -> None:
    batch = make_sampler(["chair", "boat", "lamp"])(np.random.default_rng(0), 6000)
    objects, views = batch.data[:, 0].long() // VIEWS, batch.data[:, 0].long() % VIEWS
    assert (batch.text.argmax(1) == objects).all()
    torch.testing.assert_close(batch.text.norm(dim=1), torch.ones(6000))
    assert batch.text[0].max() < 1, "noise is added"
    assert stats.chisquare(np.bincount(objects * VIEWS + views, minlength=12)).pvalue > 0.001


def test_some_sentences_are_left_out_for_guidance() -> None:
    count = 20_000
    with_text = make_sampler(["chair"])(np.random.default_rng(1), count).with_text
    assert with_text.dtype == torch.bool
    left_out = count - int(with_text.sum())
    assert stats.binomtest(left_out, count, TEXT_DROPOUT).pvalue > 0.001


def test_rare_classes_are_drawn_more_often_than_their_share() -> None:
    batch = make_sampler(["chair"] * 4 + ["boat"])(np.random.default_rng(2), 10_000)
    boats = int((batch.data[:, 0] >= 4 * VIEWS).sum())
    assert stats.binomtest(boats, 10_000, 1 / (1 + 4 * 0.5)).pvalue > 0.001


def test_the_same_generator_gives_the_same_batch() -> None:
    sampler = make_sampler(["chair", "boat"])
    first, again = (sampler(np.random.default_rng([0, 3]), 9) for _ in range(2))
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())


class Velocity(nn.Module):
    """Stands for the prior, and remembers what it was asked."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, state: Tensor, time: Tensor, text: Tensor, with_text: Tensor) -> Tensor:
        self.state, self.time = state, time
        return self.answer(state, time)


def test_the_velocity_of_a_straight_path_has_no_loss() -> None:
    """With all data at one point c the velocity is (c − x) / (1 − t), whatever the noise was."""
    point = torch.tensor([1.0, -2.0, 0.5])
    batch = make_sampler(["chair"])(np.random.default_rng(4), 2000)
    batch.data = point.expand(2000, 3)
    torch.manual_seed(0)
    prior = Velocity(lambda state, time: (point - state) / (1 - time)[:, None])
    assert flow_losses(torch.ones(3))(prior, batch)["flow"].item() < 1e-4
    # Times are logit-normal: the logit is standard normal.
    assert stats.kstest(torch.logit(prior.time).numpy(), "norm").pvalue > 0.001
    # At time t the state is t c + (1 − t) noise.
    noise = (prior.state - prior.time[:, None] * point) / (1 - prior.time)[:, None]
    assert stats.kstest(noise[:, 0].numpy(), "norm").pvalue > 0.001


def test_coefficients_count_by_their_deviation() -> None:
    batch = make_sampler(["chair"])(np.random.default_rng(5), 20_000)
    batch.data = torch.zeros(20_000, 2)
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
