from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.models.conditions import ConditionEncoder, Conditions, Sentences
from backend.models.partial_shape import CHANNELS, cell_centres, partial_grid

WIDTH = 16


@pytest.fixture
def encoder() -> ConditionEncoder:
    torch.manual_seed(0)
    encoder = ConditionEncoder(WIDTH, 3).eval().requires_grad_(False)
    torch.nn.init.normal_(encoder.absent)
    return encoder


def sentences(seed: int, lengths: tuple[int, ...]) -> Sentences:
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(len(lengths), 384, generator=generator)
    tokens = torch.randn(len(lengths), max(lengths), 384, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Sentences(embedding / embedding.norm(dim=1, keepdim=True), tokens, mask)


def everything(seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return {
        "sentences": (torch.tensor([0, 2]), sentences(seed, (5, 3))),
        "classes": (torch.tensor([2, 3]), torch.tensor([0, 2])),
        "images": (torch.tensor([1]), torch.rand(1, 4, 64, 64, generator=generator)),
        "parts": (torch.tensor([3, 0]), torch.randn(2, CHANNELS, 16, 16, 16, generator=generator)),
    }


def test_shapes_without_conditions_are_all_alike(encoder: ConditionEncoder) -> None:
    vectors = encoder(Conditions(4))
    assert vectors.shape == (4, WIDTH)
    torch.testing.assert_close(vectors, encoder.absent.sum(0).expand(4, -1))


@pytest.mark.parametrize("kind", ["sentences", "classes", "images", "parts"])
def test_a_condition_reaches_its_rows_alone(encoder: ConditionEncoder, kind: str) -> None:
    given = everything()
    rows = given[kind][0].tolist()
    change = encoder(Conditions(4, **{kind: given[kind]})) - encoder(Conditions(4))
    for row in range(4):
        assert (change[row].abs().max() > 1e-3) == (row in rows)


def test_conditions_add_up(encoder: ConditionEncoder) -> None:
    given, free = everything(), encoder(Conditions(4))
    together = encoder(Conditions(4, **given))
    alone = sum(encoder(Conditions(4, **{kind: value})) - free for kind, value in given.items())
    torch.testing.assert_close(together, free + alone, atol=1e-5, rtol=0)


def test_padding_after_a_sentence_changes_nothing(encoder: ConditionEncoder) -> None:
    short = sentences(1, (4,))
    longer = Sentences(
        short.embedding,
        torch.cat([short.tokens, torch.full((1, 3, 384), 7.0)], dim=1),
        torch.tensor([[True] * 4 + [False] * 3]),
    )
    ours, padded = (encoder(Conditions(1, sentences=(torch.tensor([0]), given))) for given in (short, longer))
    torch.testing.assert_close(ours, padded, atol=1e-5, rtol=0)
    shuffled = Sentences(short.embedding, short.tokens.flip(1) * 2, short.mask)
    other = encoder(Conditions(1, sentences=(torch.tensor([0]), shuffled)))
    assert (other - ours).abs().max() > 1e-3, "tokens count"


def test_colours_behind_a_transparent_pixel_do_not_count(encoder: ConditionEncoder) -> None:
    image = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(2))
    image[:, 3, :32] = 0
    other = image.clone()
    other[:, :3, :32] = 0.3
    first, second = (encoder(Conditions(1, images=(torch.tensor([0]), given))) for given in (image, other))
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


def reference_grid(points, normals, colors, seen, unknown) -> np.ndarray:
    """Cell by cell, in float64."""
    cells = np.floor((points + 1) * 8).astype(int).clip(0, 15)
    wanted = np.zeros((CHANNELS, 16, 16, 16))
    for x, y, z in np.ndindex(16, 16, 16):
        inside = seen & (cells == [x, y, z]).all(axis=1)
        if inside.any():
            centre = (np.array([x, y, z]) + 0.5) / 8 - 1
            wanted[1, x, y, z] = 1
            wanted[2:5, x, y, z] = ((points[inside] - centre) * 16).mean(axis=0)
            wanted[5:8, x, y, z] = normals[inside].mean(axis=0)
            wanted[8:, x, y, z] = colors[inside].mean(axis=0)
        elif unknown is None or unknown[x, y, z]:
            wanted[0, x, y, z] = 1
    return wanted


@pytest.mark.parametrize("scan", [True, False])
def test_a_partial_grid_says_what_is_in_each_cell(scan: bool) -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(-1, 1, (2, 400, 3))
    points[:, :50] = points[:, :1] + generator.uniform(-0.02, 0.02, (2, 50, 3))
    normals, colors = generator.normal(size=(2, 400, 3)), generator.uniform(-1, 1, (2, 400, 3))
    seen = generator.random((2, 400)) < 0.6
    unknown = None if scan else np.broadcast_to(cell_centres().numpy()[..., 0] > 0.2, (2, 16, 16, 16))
    arrays = [torch.from_numpy(np.ascontiguousarray(array)) for array in (points, normals, colors, seen)]
    mask = None if unknown is None else torch.from_numpy(unknown.copy())
    ours = partial_grid(*arrays, mask).numpy()
    for index in range(2):
        one = None if unknown is None else unknown[index]
        wanted = reference_grid(points[index], normals[index], colors[index], seen[index], one)
        np.testing.assert_allclose(ours[index], wanted, atol=1e-6)


def test_cells_of_a_partial_grid_lie_as_points_do() -> None:
    centres = cell_centres()
    assert centres.shape == (16, 16, 16, 3)
    torch.testing.assert_close(centres[3, 0, 15], torch.tensor([-0.5625, -0.9375, 0.9375]))
