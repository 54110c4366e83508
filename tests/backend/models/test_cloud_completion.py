"""Completion by points: which are kept, which are the network's, and what is refused."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from backend.errors import InputError, MachineError
from backend.models.cloud_completion import PUBLISHED, CloudCompleter
from backend.models.observation import Observation, UnknownBox
from backend.models.pointr import PoinTr, PoinTrConfig
from backend.models.shape_space import ShapeSpace
from backend.weights.bundled import POINTS, save_weights

CONFIG = PoinTrConfig(
    width=16,
    heads=2,
    encoder_blocks=1,
    decoder_blocks=1,
    queries=16,
    fold=2,
    centers=(64, 16),
    global_width=16,
    fold_width=8,
)
RIGHT = UnknownBox(np.array([0.0, -0.9, -0.9]), np.array([0.9, 0.9, 0.9]))


def half_a_ball(unknown: UnknownBox | None) -> Observation:
    directions = np.random.default_rng(0).normal(size=(3000, 3))
    surface = 0.8 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    surface = surface[surface[:, 0] < 0].astype(np.float32)
    nothing = np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    return Observation(surface, None, 0.0, *nothing, unknown=unknown)


@pytest.fixture(scope="module")
def completer(tmp_path_factory, random_weights) -> CloudCompleter:
    folder = tmp_path_factory.mktemp("points")
    torch.manual_seed(0)
    model = PoinTr(CONFIG)
    torch.nn.init.normal_(model.coarse[-1].weight, std=0.4)
    save_weights(POINTS, model.state_dict(), asdict(CONFIG), folder)
    return CloudCompleter.load(ShapeSpace.load(folder=random_weights), folder=folder)


def test_the_known_points_stay_and_others_come_only_where_nothing_is_known(completer):
    observation = half_a_ball(RIGHT)
    cloud = completer.cloud(observation, seed=0)
    known, made = np.split(cloud, [len(observation.surface)])
    assert {row.tobytes() for row in known} == {row.tobytes() for row in observation.surface}
    assert len(made) and RIGHT.contains(made).all()
    scan = completer.cloud(half_a_ball(None), seed=0)
    assert len(scan) == len(known) + CONFIG.queries * CONFIG.fold**2


def test_a_seed_is_a_shape(completer):
    points = torch.rand(50, 3) * 2 - 1
    told: list[tuple[int, int]] = []
    first, again, other = (
        completer.complete(half_a_ball(RIGHT), seed=seed, step=lambda *at: told.append(at)).signed_distance(points)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert told == [(1, 2), (2, 2)] * 3


def test_the_published_frame_is_a_turn_to_y_up_and_size_1():
    axes = PUBLISHED.axes * 1.8
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    np.testing.assert_allclose(axes @ [0, 0, 1], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(axes @ [0, -1, 0], [0, 0, -1], atol=1e-12)


def test_without_weights_and_with_a_wrong_file_it_says_what_to_do(random_weights, tmp_path):
    space = ShapeSpace.load(folder=random_weights)
    with pytest.raises(MachineError, match="'points' has no weights"):
        CloudCompleter.load(space, folder=random_weights)
    (tmp_path / "other.pth").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="no checkpoint"):
        CloudCompleter.load(space, str(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="cannot be read"):
        CloudCompleter.load(space, str(tmp_path / "gone.pth"))
