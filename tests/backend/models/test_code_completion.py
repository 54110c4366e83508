"""Completion by codes: what counts as known, and a shape from tiny networks."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
import trimesh

from backend.data.distance_grids import SATURATION
from backend.data.unknown_parts import UnknownBoxes
from backend.errors import MachineError
from backend.mesh import Mesh
from backend.models.code_completion import CodeCompleter, disagreement, known_grid, known_patches
from backend.models.code_prior import CodePrior, CodePriorConfig
from backend.models.observation import Observation, UnknownBox, observe, outside_of
from backend.models.placements import Placement
from backend.models.shape_codes import TOKENS, ShapeCodes, ShapeCodesConfig
from backend.models.shape_space import ShapeSpace
from backend.weights.bundled import CODE_PRIOR, CODES, save_weights

RADIUS = 0.7
AS_IT_IS = Placement(1.0, np.zeros(3))
LOWER = UnknownBox(np.array([-0.9, -0.9, -0.9]), np.array([0.9, 0.9, 0.03]))


def upper_half() -> Observation:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    return observe(Mesh(*outside_of(LOWER, ball.vertices, ball.faces)), LOWER)


def sphere_grid() -> torch.Tensor:
    axis = (torch.arange(64) + 0.5) / 32 - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.tanh(((x**2 + y**2 + z**2).sqrt() - RADIUS) / SATURATION)


def test_patches_beyond_the_box_but_for_a_margin_are_known():
    boxes = UnknownBoxes(
        np.float32([[-2, -2, -2], [-0.08, -2, -2], [-0.01, -0.01, -0.01]]), np.float32([[2, 2, 0.03]] + [[2, 2, 2]] * 2)
    )
    x, _, z = np.indices((4, 4, 4)).reshape(3, -1)
    known = known_patches(boxes)
    np.testing.assert_array_equal(known[0], z >= 2)
    np.testing.assert_array_equal(known[1], x < 1)  # more than the margin of the second row is hidden
    assert known[2].sum() == TOKENS * 7 / 8


def test_what_is_known_is_the_shape_itself_and_goes_on_as_it_ends():
    found = known_grid(upper_half().known, AS_IT_IS)
    np.testing.assert_allclose(found[:, :, 34:], sphere_grid()[:, :, 34:], atol=0.05)
    x, y = torch.meshgrid(*[(torch.arange(4, 60) + 0.5) / 32 - 1] * 2, indexing="ij")
    at_side = torch.tanh(((x**2 + y**2 + 0.03**2).sqrt() - RADIUS) / SATURATION)
    np.testing.assert_allclose(found[4:60, 4:60, 32], at_side, atol=0.05)


def test_disagreement_is_none_of_the_shape_and_much_of_another():
    observation = upper_half()
    assert disagreement(sphere_grid(), observation, AS_IT_IS) < 0.03
    assert disagreement(-sphere_grid(), observation, AS_IT_IS) > 0.5
    larger = disagreement(sphere_grid(), observation, Placement(0.8, np.zeros(3)))
    assert larger > 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("codes")
    torch.manual_seed(0)
    codes = ShapeCodesConfig(groups=2, patch_channels=8, widths=(8, 8, 8))
    prior = CodePriorConfig(groups=2, width=16, heads=2, blocks=1)
    save_weights(CODES, ShapeCodes(codes).state_dict(), asdict(codes), path)
    save_weights(CODE_PRIOR, CodePrior(prior).state_dict(), asdict(prior), path)
    return path


def test_a_seed_gives_a_field_and_steps_are_told(folder, random_weights):
    completer = CodeCompleter.load(ShapeSpace.load(folder=random_weights), folder)
    assert set(completer.weights) == {
        CODES, CODE_PRIOR, "shape_autoencoder.safetensors", "latent_prior.safetensors"
    }  # fmt: skip
    points = torch.rand(50, 3) * 2 - 1
    told: list[tuple[int, int]] = []
    settings = {"steps": 3, "temperature": 1.0}
    first, again, other = (
        completer.complete(upper_half(), seed=seed, step=lambda *at: told.append(at), **settings) for seed in (0, 0, 1)
    )
    assert torch.equal(first.signed_distance(points), again.signed_distance(points))
    assert not torch.equal(first.signed_distance(points), other.signed_distance(points))
    assert told == [(1, 3), (2, 3), (3, 3)] * 3


def test_without_weights_it_says_what_to_do(random_weights):
    with pytest.raises(MachineError, match="'autoregressive' has no weights"):
        CodeCompleter.load(ShapeSpace.load(folder=random_weights), random_weights)
