"""Shape completion from recipe to result, with balls where the model would be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from backend import Cancelled, InputError, MachineError, Recipe
from backend.data.mesh_encodings import ply_bytes
from backend.data.mesh_files import write_mesh
from backend.data.mesh_reading import read_mesh
from backend.errors import Cancelled as CancelledError
from backend.mesh import Mesh
from backend.meshing.validity import enclosed_volume, is_watertight
from backend.models.observation import UnknownBox, outside_of
from backend.progress import FITTING
from backend.progress import STAGES as ALL_STAGES
from backend.tasks import partial_shape, shape_completion

WEIGHTS = {"prior.safetensors": "a" * 64}
CENTRE, RADIUS = np.array([5.0, -2.0, 3.0]), 2.0
LOWER = (2.9, -4.1, 0.9, 7.1, 0.1, 3.0)

STAGES = tuple(stage for stage in ALL_STAGES if stage != FITTING)


class Ball:
    def signed_distance(self, points):
        return points.norm(dim=1) - 0.86

    def color(self, points):
        return torch.full_like(points, 0.5)


class FakeCompleter:
    weights = WEIGHTS

    def __init__(self):
        self.asked: dict = {}

    def complete(self, observation, *, seed, steps, guidance_scale, prompt=None, step=None):
        self.asked = {"observation": observation, "seed": seed, "prompt": prompt}
        for index in range(steps):
            step(index + 1, steps)
        return Ball()


@pytest.fixture
def part(tmp_path):
    """The upper half of a ball, somewhere in the world."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    below = UnknownBox(np.array([-3.0, -3, -3]), np.array([3.0, 3, 0]))
    vertices, faces = outside_of(below, ball.vertices, ball.faces)
    path = tmp_path / "part.ply"
    write_mesh(path, Mesh(vertices + CENTRE, faces))
    return path


def recipe_of(path, unknown=LOWER, **values) -> Recipe:
    values = {"detail": 32, "face_count": 500, "steps": 2, **values}
    return Recipe.create("shape_completion", shape=str(path), unknown=unknown, **values)


def run(recipe, space=None, **options):
    return shape_completion.run(recipe, load_completer=lambda: space or FakeCompleter(), **options)


def test_the_result_is_where_the_part_is(part):
    result = run(recipe_of(part))
    vertices = result.mesh.vertices @ result.transform[:3, :3].T + result.transform[:3, 3]
    np.testing.assert_allclose(vertices.min(0), CENTRE - RADIUS, atol=0.15)
    np.testing.assert_allclose(vertices.max(0), CENTRE + RADIUS, atol=0.15)
    # The field was bent to where the upper half was seen.
    upper = vertices[vertices[:, 2] > CENTRE[2] + 0.2]
    np.testing.assert_allclose(np.linalg.norm(upper - CENTRE, axis=1), RADIUS, atol=0.01 * 2 * RADIUS)
    assert result.recipe.weights == WEIGHTS and list(result.timings) == list(STAGES) and result.notes == []


def test_model_and_prompt_are_asked_as_the_recipe_says(part):
    space = FakeCompleter()
    run(recipe_of(part, seed=7, prompt="a ball"), space)
    assert (space.asked["seed"], space.asked["prompt"]) == (7, "a ball")
    surface = space.asked["observation"].surface
    assert np.abs(surface).max() <= 0.9 and surface[:, 2].min() > -0.01
    run(recipe_of(part), space)
    assert space.asked["prompt"] is None


def test_what_symmetry_tells_wholly_is_not_asked_of_a_model_and_is_said(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    octant = UnknownBox(np.zeros(3), np.full(3, 2.1))
    path = tmp_path / "part.ply"
    write_mesh(path, Mesh(*outside_of(octant, ball.vertices, ball.faces)))
    space = FakeCompleter()
    result = run(recipe_of(path, (0, 0, 0, 2.1, 2.1, 2.1)), space)
    (note,) = result.notes
    assert "turn Mirror off" in note and space.asked == {}
    vertices = result.mesh.vertices @ result.transform[:3, :3].T + result.transform[:3, 3]
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), RADIUS, atol=0.01 * 2 * RADIUS)
    assert run(recipe_of(path, (0, 0, 0, 2.1, 2.1, 2.1), mirror=False), space).notes == [] and space.asked


def test_the_original_surface_is_kept_to_the_last_bit_and_joined(part):
    result = run(recipe_of(part, keep_original=True))
    np.testing.assert_array_equal(result.transform, np.eye(4))
    mesh = result.mesh
    assert is_watertight(mesh.faces) and result.notes == []
    original = read_mesh(part).vertices
    above = original[original[:, 2] > LOWER[5]]
    assert len(above) > 1000
    assert {place.tobytes() for place in above} <= {place.tobytes() for place in mesh.vertices}
    assert enclosed_volume(mesh.vertices, mesh.faces) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.04)
    assert mesh.texture is not None and mesh.colors is not None
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)


def test_what_is_kept_has_its_own_colours(part, tmp_path):
    shape = read_mesh(part)
    write_mesh(tmp_path / "red.ply", dataclasses.replace(shape, colors=np.tile([1.0, 0, 0], (len(shape.vertices), 1))))
    mesh = run(recipe_of(tmp_path / "red.ply", keep_original=True)).mesh
    above = mesh.vertices[:, 2] > LOWER[5] + 0.01
    np.testing.assert_allclose(mesh.colors[above], np.tile([1, 0, 0], (above.sum(), 1)), atol=1e-3)
    below = mesh.vertices[:, 2] < LOWER[2] + 0.5
    np.testing.assert_allclose(mesh.colors[below], 0.5, atol=1e-3)


def test_where_the_original_cannot_be_kept_a_note_says_so(part, tmp_path):
    (note,) = run(recipe_of(part, "scan", keep_original=True)).notes
    assert "scan" in note
    points = read_mesh(part).vertices
    (tmp_path / "points.ply").write_bytes(ply_bytes(Mesh(points, np.zeros((0, 3), np.int32))))
    (note,) = run(recipe_of(tmp_path / "points.ply", keep_original=True)).notes
    assert "Points" in note


def test_very_many_kept_faces_have_no_texture_and_a_note_says_so(part, monkeypatch):
    monkeypatch.setattr(shape_completion, "MOST_UNWRAPPED", 100)
    result = run(recipe_of(part, keep_original=True))
    assert result.mesh.texture is None and result.mesh.colors is not None
    assert "without a texture" in result.notes[0]


def test_a_scan_and_a_cloud(part, tmp_path):
    assert len(run(recipe_of(part, "scan")).mesh.faces)
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 500\nHEIGHT 1\nPOINTS 500\nDATA binary\n"
    directions = np.random.default_rng(0).normal(size=(500, 3))
    directions[:, 2] = np.abs(directions[:, 2])
    points = CENTRE + RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    (tmp_path / "cloud.pcd").write_bytes(head.encode() + points.astype("<f4").tobytes())
    for unknown in ("scan", LOWER):
        assert len(run(recipe_of(tmp_path / "cloud.pcd", unknown)).mesh.faces)


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ((0, -10, 0, 10, 10, 10), "contains the whole shape"),
        ((50, 50, 50, 51, 51, 51), "does not touch"),
        ((2, -5, -30, 8, 1, 3), "times as large"),
    ],
)
def test_a_box_that_cannot_be_meant_is_refused(part, unknown, words):
    with pytest.raises(InputError, match=words):
        run(recipe_of(part, unknown))


def test_points_at_one_place_are_refused(tmp_path):
    (tmp_path / "one.obj").write_text("v 1 1 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"one place|neither triangles"):
        run(recipe_of(tmp_path / "one.obj", "scan"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        run(recipe_of(tmp_path / "gone.ply"))


def test_a_mesh_of_very_many_faces_is_looked_at_with_fewer_and_says_so(part, monkeypatch):
    monkeypatch.setattr(partial_shape, "MOST_FACES", 300)
    (note,) = run(recipe_of(part)).notes
    assert "faces" in note and "fewer" in note


def test_a_cancel_stops_the_sampling(part):
    asked = iter([False] * 3 + [True] * 100)
    with pytest.raises(Cancelled):
        run(recipe_of(part), cancelled=lambda: next(asked))
    assert Cancelled is CancelledError


def test_other_weights_are_refused(part):
    with pytest.raises(MachineError, match="other weights"):
        run(recipe_of(part, weights={"prior.safetensors": "b" * 64}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"unknown": "nothing"}, "six numbers"),
        ({"unknown": (0, 0, 0, 1, 1)}, "six numbers"),
        ({"unknown": (0, 0, 0, 1, 1, "1")}, "six numbers"),
        ({"unknown": (0, 0, 0, 1, 1, float("nan"))}, "finite"),
        ({"unknown": (0, 0, 0, 1, 1, 0)}, "empty"),
        ({"shape": ""}, "name of a mesh"),
        ({"prompt": ""}, "prompt is empty"),
        ({"colour": 1}, "unknown parameter"),
    ],
)
def test_bad_recipes_are_refused(values, words):
    values = {"shape": "part.ply", "unknown": "scan", **values}
    with pytest.raises(InputError, match=words):
        Recipe.create("shape_completion", **values)


def test_the_recipe_makes_the_round_trip_through_json():
    recipe = Recipe.create("shape_completion", shape="a/part.ply", unknown=[0, 0, 0, 1, 2, 3], seed=3)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.title == "part" and "prompt" not in recipe.inputs
    assert Recipe.create("shape_completion", shape="part.ply", unknown="scan", prompt="a vase").title == "a vase"
