"""Text to 3D from recipe to result, with an analytic shape where the model would be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import backend
from backend import Cancelled, InputError, MachineError, Recipe
from backend.progress import FITTING
from backend.progress import STAGES as ALL_STAGES
from backend.recipe import VERSION
from backend.tasks import loaded_models, release_models, text_to_3d

WEIGHTS = {"prior.safetensors": "a" * 64, "autoencoder.safetensors": "b" * 64}

STAGES = tuple(stage for stage in ALL_STAGES if stage != FITTING)


class Ellipsoid:
    """A field whose level is only roughly a distance, as the network's is; red above, blue below."""

    def __init__(self, radii):
        self.radii = radii

    def signed_distance(self, points):
        return ((points / self.radii).norm(dim=1) - 1) * self.radii.min()

    def color(self, points):
        above = points[:, 2:] > 0
        return torch.where(above, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))


class FakeShapeSpace:
    """Samples an ellipsoid, lower than wide; how low depends on the seed and, a little, on every other argument."""

    weights = WEIGHTS

    def __init__(self):
        self.steps = 0

    def sample(self, prompt, *, seed, steps, guidance_scale, step=None):
        generator = torch.Generator().manual_seed(seed)
        height = 0.4 + 0.2 * torch.rand(1, generator=generator).item() + 1e-3 * (guidance_scale + steps + len(prompt))
        for index in range(steps):
            self.steps += 1
            if step is not None:
                step(index + 1, steps)
        return torch.tensor([0.9, 0.7, height])

    def field(self, latent):
        return Ellipsoid(latent)


def run(recipe=None, space=None, **options):
    recipe = recipe or Recipe.create(prompt="a wooden chair", detail=32, face_count=500, steps=4)
    return text_to_3d.run(recipe, load_shape_space=lambda: space or FakeShapeSpace(), **options)


def test_the_result_stands_on_the_ground_at_real_size():
    result = run()
    linear, offset = result.transform[:3, :3], result.transform[:3, 3]
    scene = result.mesh.vertices @ linear.T + offset
    low, high = scene.min(axis=0), scene.max(axis=0)
    assert low[2] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(low[:2], -high[:2], atol=1e-6)
    assert (high - low).max() == pytest.approx(0.85)  # a chair
    assert np.argmax(high - low) == 0, "x stays x: nothing was turned"
    assert len(result.mesh.faces) <= 500
    assert result.notes == []


def test_the_result_names_the_weights_and_the_time_of_every_stage():
    recipe = Recipe.create(prompt="a wooden chair", detail=32, face_count=500, steps=4)
    result = run(recipe)
    assert result.recipe.weights == WEIGHTS
    assert Recipe.from_dict({**result.recipe.to_dict(), "weights": {}}) == recipe
    assert list(result.timings) == list(STAGES)
    assert all(seconds >= 0 for seconds in result.timings.values())


def test_progress_goes_through_the_stages_in_order():
    heard = []
    run(progress=lambda stage, fraction: heard.append((stage, fraction)))
    order = [(STAGES.index(stage), fraction) for stage, fraction in heard]
    assert order == sorted(order)
    assert {stage for stage, _ in heard} == set(STAGES)
    assert all(0 <= fraction <= 1 for _, fraction in heard)
    assert [fraction for stage, fraction in heard if stage == "Sampling"] == [0, 0.25, 0.5, 0.75, 1]


def test_the_preview_is_coarse_coloured_and_in_scene_metres():
    previews = []
    result = run(preview=previews.append)
    (mesh,) = previews
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert low[2] == pytest.approx(0, abs=1e-6)
    assert (high - low).max() == pytest.approx(0.85, rel=1e-5)
    top = mesh.vertices[:, 2] > 0.75 * high[2]
    np.testing.assert_array_equal(mesh.colors[top], np.tile([1, 0, 0], (top.sum(), 1)))
    assert_same_mesh(run().mesh, result.mesh)


def assert_same_mesh(one, other):
    for name in ("vertices", "faces", "colors", "normals", "uvs", "texture"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_same_recipe_gives_the_same_mesh_bit_for_bit_and_another_seed_does_not():
    first = run()
    assert_same_mesh(run().mesh, first.mesh)
    assert_same_mesh(run(first.recipe).mesh, first.mesh)
    other = run(Recipe.create(prompt="a wooden chair", detail=32, face_count=500, steps=4, seed=1))
    assert other.mesh.vertices.shape != first.mesh.vertices.shape or (other.mesh.vertices != first.mesh.vertices).any()


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_takes_effect_in_every_stage(stage):
    heard = []
    with pytest.raises(Cancelled):
        run(
            progress=lambda name, fraction: heard.append(name),
            cancelled=lambda: bool(heard) and heard[-1] == stage,
        )
    assert heard[-1] == stage
    assert heard.count(stage) == 1


def test_cancel_is_obeyed_within_one_denoising_step():
    space = FakeShapeSpace()
    with pytest.raises(Cancelled):
        run(space=space, cancelled=lambda: space.steps == 2)
    assert space.steps == 2


def test_a_recipe_that_names_other_weights_is_refused_before_the_work():
    space = FakeShapeSpace()
    for weights in ({"prior.safetensors": "c" * 64}, {"another.safetensors": "a" * 64}):
        with pytest.raises(MachineError, match=r"other weights \('.*', .*remove the weights"):
            run(Recipe.create(prompt="a chair", weights=weights), space)
    assert space.steps == 0


def test_a_recipe_of_another_version_comes_with_a_note():
    old = Recipe.from_dict({**Recipe.create(prompt="a chair", detail=32).to_dict(), "version": "0.0.1"})
    result = run(old)
    assert "0.0.1" in result.notes[0]
    assert result.recipe.version == VERSION


def test_a_thing_of_unknown_size_is_one_metre_with_a_note():
    result = run(Recipe.create(prompt="a frobnicator", detail=32, face_count=500, steps=1))
    scene = result.mesh.vertices @ result.transform[:3, :3].T
    assert np.ptp(scene, axis=0).max() == pytest.approx(1)
    assert "not known" in result.notes[0]


def test_an_empty_shape_is_said_with_advice():
    space = FakeShapeSpace()
    space.field = lambda latent: type(
        "Nothing", (Ellipsoid,), {"signed_distance": lambda self, points: points[:, 0] + 9}
    )(latent)
    with pytest.raises(InputError, match="came out empty"):
        run(space=space)


@pytest.fixture
def loads(monkeypatch):
    """How often, and for which device, the model was loaded."""
    loaded = []

    def load(device):
        loaded.append(device)
        return FakeShapeSpace()

    monkeypatch.setattr(loaded_models.ShapeSpace, "load", load)
    release_models()
    yield loaded
    release_models()


RECIPE = Recipe.create(prompt="a chair", detail=32, face_count=500, steps=1)


def test_the_model_is_loaded_once_and_again_after_it_was_let_go(loads):
    backend.generate(RECIPE, device="cpu")
    backend.generate(RECIPE, device="cpu")
    assert loads == ["cpu"]
    release_models()
    backend.generate(RECIPE, device="cpu")
    assert loads == ["cpu", "cpu"]


def test_a_recipe_is_checked_before_anything_is_loaded(loads):
    with pytest.raises(InputError):
        backend.generate(Recipe(RECIPE.task, RECIPE.method, {"prompt": ""}, RECIPE.parameters, 0))
    assert loads == []


@pytest.mark.parametrize("device", ["cuda:99", "abacus", "meta:1:2"])
def test_a_device_that_is_not_there_is_named(loads, device):
    with pytest.raises(MachineError, match=f"no device '{device}'"):
        backend.generate(RECIPE, device=device)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["Python", "GPU", "CPU"],
)
def test_too_little_memory_comes_with_advice_and_gives_the_models_back(loads, monkeypatch, error):
    def no_memory(*_, **__):
        raise error

    monkeypatch.setattr(FakeShapeSpace, "sample", no_memory)
    with pytest.raises(MachineError, match="lower the detail"):
        backend.generate(RECIPE, device="cpu")
    monkeypatch.undo()
    assert loaded_models.shape_space.cache_info().currsize == 0


def test_other_faults_are_not_dressed_up_as_memory(loads, monkeypatch):
    def fault(*_, **__):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(FakeShapeSpace, "sample", fault)
    with pytest.raises(RuntimeError, match="multiplied"):
        backend.generate(RECIPE, device="cpu")
