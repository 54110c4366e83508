"""DeepSDF from a folder in the published layout, against weight normalisation and layers written out in float64."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.models.deep_sdf import DeepSDF, DeepSDFConfig, DeepSDFNetwork
from backend.models.latent_fitting import FittingConfig, fit_latent, fit_shape
from backend.models.shape_space import ShapeSpace

SPECS = {
    "NetworkArch": "deep_sdf_decoder",
    "CodeLength": 5,
    "NetworkSpecs": {
        "dims": [16] * 8,
        "dropout": list(range(8)),
        "dropout_prob": 0.2,
        "norm_layers": list(range(8)),
        "latent_in": [4],
        "xyz_in_all": False,
        "use_tanh": False,
        "latent_dropout": False,
        "weight_norm": True,
    },
}


def widths(specs):
    """(in, out) of each layer: the one before a layer that is given code and point again is narrower by these."""
    given = specs["CodeLength"] + 3
    sizes = [given, *specs["NetworkSpecs"]["dims"], 1]
    network = specs["NetworkSpecs"]
    return [
        (
            sizes[index],
            sizes[index + 1]
            - given * (index + 1 in network["latent_in"])
            - 3 * (network["xyz_in_all"] and index + 1 not in network["latent_in"] and index < len(sizes) - 2),
        )
        for index in range(len(sizes) - 1)
    ]


def published_state(specs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for index, (into, out) in enumerate(widths(specs)):
        name, normed = f"module.lin{index}", index in specs["NetworkSpecs"]["norm_layers"]
        weight = torch.randn(out, into, generator=generator) * (2 / into) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)
        if normed and specs["NetworkSpecs"]["weight_norm"]:
            state[f"{name}.weight_g"] = weight.norm(dim=1, keepdim=True)
            state[f"{name}.weight_v"] = weight * (0.5 + torch.rand(out, 1, generator=generator))
        else:
            state[f"{name}.weight"] = weight
            if normed:
                state[f"module.bn{index}.weight"] = 1 + 0.1 * torch.randn(out, generator=generator)
                state[f"module.bn{index}.bias"] = 0.1 * torch.randn(out, generator=generator)
    return state


def write_experiment(folder, specs=SPECS, state=None, codes=None):
    for name in ("ModelParameters", "LatentCodes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "specs.json").write_text(json.dumps(specs), encoding="utf-8")
    state = published_state(specs) if state is None else state
    torch.save({"epoch": 2000, "model_state_dict": state}, folder / "ModelParameters" / "latest.pth")
    if codes is None:
        codes = {"weight": torch.randn(3, specs["CodeLength"], generator=torch.Generator().manual_seed(1))}
    torch.save({"epoch": 2000, "latent_codes": codes}, folder / "LatentCodes" / "latest.pth")
    return folder


def written_out(specs, state, code, points):
    """The published network's arithmetic in NumPy, float64: (N,) for a code (L,) and points (N, 3)."""
    network = specs["NetworkSpecs"]
    array = {key.removeprefix("module."): value.double().numpy() for key, value in state.items()}
    given = np.concatenate([np.tile(code, (len(points), 1)), points], axis=1)
    hidden = given
    layers = len(network["dims"]) + 1
    for index in range(layers):
        if index in network["latent_in"]:
            hidden = np.concatenate([hidden, given], axis=1)
        elif index and network["xyz_in_all"]:
            hidden = np.concatenate([hidden, points], axis=1)
        if f"lin{index}.weight_g" in array:
            direction = array[f"lin{index}.weight_v"]
            weight = array[f"lin{index}.weight_g"] * direction / np.sqrt((direction**2).sum(1, keepdims=True))
        else:
            weight = array[f"lin{index}.weight"]
        hidden = hidden @ weight.T + array[f"lin{index}.bias"]
        if index < layers - 1:
            if f"bn{index}.weight" in array:
                hidden = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(hidden.var(1, keepdims=True) + 1e-5)
                hidden = hidden * array[f"bn{index}.weight"] + array[f"bn{index}.bias"]
            hidden = np.maximum(hidden, 0)
    if network["use_tanh"]:
        hidden = np.tanh(hidden)
    return np.tanh(hidden)[:, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight_norm": False},
        {"xyz_in_all": True, "latent_in": []},
        {"use_tanh": True, "norm_layers": [0, 2]},
        {"latent_in": [2, 5]},
    ],
    ids=["published", "layer norm", "point everywhere", "two tanh", "code twice"],
)
def test_the_network_answers_as_the_published_arithmetic(tmp_path, changes):
    specs = {**SPECS, "NetworkSpecs": {**SPECS["NetworkSpecs"], **changes}}
    model = DeepSDF.load(write_experiment(tmp_path, specs))
    generator = np.random.default_rng(0)
    points = generator.uniform(-1, 1, (200, 3))
    code = model.codes[1]
    found = model.network(code, torch.from_numpy(points).float()).numpy()
    expected = written_out(specs, published_state(specs), code.double().numpy(), points)
    assert np.ptp(expected) > 0.02
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_field_turns_the_networks_frame_upright(tmp_path):
    """ShapeNet has Y up and the front at −Z; model space has Z up and the front at −Y."""
    model = DeepSDF.load(write_experiment(tmp_path))
    up_front_side = torch.tensor([[0, 0, 0.5], [0, -0.5, 0], [0.5, 0, 0]])
    same_there = torch.tensor([[0, 0.5, 0], [0, 0, -0.5], [-0.5, 0, 0]])
    field = model.field(model.codes[0])
    torch.testing.assert_close(field.signed_distance(up_front_side), model.network(model.codes[0], same_there))
    assert field.color(up_front_side).shape == (3, 3)


@pytest.mark.parametrize("layout", ["embedding", "list of rows"])
def test_codes_come_in_both_published_layouts(tmp_path, layout):
    codes = torch.randn(4, 5)
    stored = {"weight": codes} if layout == "embedding" else codes[:, None]
    model = DeepSDF.load(write_experiment(tmp_path, codes=stored))
    torch.testing.assert_close(model.codes, codes)


def without(key):
    return {name: value for name, value in published_state(SPECS).items() if name != key}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"state": without("module.lin3.weight_v")}, "lacks 'lin3.weight_v'"),
        ({"state": {**published_state(SPECS), "module.lin9.bias": torch.zeros(1)}}, "lin9.bias"),
        ({"state": {**published_state(SPECS), "module.lin3.bias": torch.zeros(3)}}, "does not fit its specs.json"),
        ({"state": {"module.lin0.bias": "text"}}, "not tensors"),
        ({"codes": {"weight": torch.zeros(2, 7)}}, "codes of length 5"),
        ({"codes": torch.zeros(0, 5)}, "codes of length 5"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, broken, words):
    with pytest.raises(InputError, match=words):
        DeepSDF.load(write_experiment(tmp_path, **broken))


def test_files_that_are_missing_or_damaged_are_named(tmp_path):
    folder = write_experiment(tmp_path)
    with pytest.raises(InputError, match=r"lacks its file .*2000\.pth"):
        DeepSDF.load(folder, "2000")
    (folder / "LatentCodes" / "latest.pth").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="cannot be read as a PyTorch checkpoint"):
        DeepSDF.load(folder)
    torch.save({"epoch": 1}, folder / "LatentCodes" / "latest.pth")
    with pytest.raises(InputError, match="has no 'latent_codes'"):
        DeepSDF.load(folder)
    (folder / "specs.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON"):
        DeepSDF.load(folder)
    (folder / "specs.json").unlink()
    with pytest.raises(InputError, match=r"lacks its .*specs\.json"):
        DeepSDF.load(folder)


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({"CodeLength": 5}, "NetworkSpecs"),
        ({**SPECS, "NetworkArch": "other"}, "'other'"),
        ({**SPECS, "NetworkSpecs": {**SPECS["NetworkSpecs"], "dims": []}}, "without layers"),
        ({**SPECS, "NetworkSpecs": {**SPECS["NetworkSpecs"], "dims": [4] * 8}}, "too narrow"),
    ],
)
def test_specs_of_another_network_are_refused(specs, words):
    with pytest.raises(InputError, match=words):
        DeepSDFNetwork(DeepSDFConfig.from_specs(specs))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    folder = write_experiment(tmp_path)
    torch.save({"model_state_dict": types.SimpleNamespace(evil=True)}, folder / "ModelParameters" / "latest.pth")
    with pytest.raises(InputError, match="cannot be read as a PyTorch checkpoint"):
        DeepSDF.load(folder)


def sphere(latent, points):
    """A sphere around latent[:3] of radius 0.5 + latent[3]."""
    return (points - latent[:3]).norm(dim=1) - 0.5 - latent[3]


def test_fitting_finds_the_latent_that_made_the_observations():
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    hidden = torch.tensor([0.1, -0.2, 0.05, 0.1])
    config = FittingConfig(clamp=0.3, deviation=1.0, steps=300, rate=0.02)
    found = fit_latent(sphere, torch.zeros(4), points, sphere(hidden, points), config=config)
    torch.testing.assert_close(found, hidden, atol=5e-3, rtol=0)


def test_what_was_not_observed_is_left_to_the_prior():
    """One point above the sphere tells nothing of its place to the side, and little of radius against height."""
    points = torch.tensor([[0.0, 0.0, 0.9]])
    config = FittingConfig(clamp=1.0, deviation=10.0, steps=400, rate=0.02)
    found = fit_latent(sphere, torch.zeros(4), points, torch.tensor([0.0]), config=config)
    assert sphere(found, points).abs() < 0.02
    torch.testing.assert_close(found[:2], torch.zeros(2), atol=1e-3, rtol=0)
    assert abs(found[2] - found[3]) < 0.02, "the least norm shares the 0.4 between both"


def test_far_observations_count_as_the_clamped_distance():
    points = torch.tensor([[0.9, 0.9, 0.9], [-0.9, 0.9, 0.9]])
    far = fit_latent(
        sphere, torch.zeros(4), points, torch.tensor([5.0, 0.5]), config=FittingConfig(clamp=0.1, steps=50)
    )
    torch.testing.assert_close(far, torch.zeros(4))


def test_deep_sdf_is_fitted_with_the_same_function(tmp_path):
    state = published_state(SPECS)
    state["module.lin8.weight"] *= 0.2  # away from where tanh is flat
    model = DeepSDF.load(write_experiment(tmp_path, state=state))
    points = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = model.field(model.codes[2]).signed_distance(points)
    config = FittingConfig(deviation=10.0, steps=150, rate=0.05, clamp=2.0)
    found = fit_latent(model.signed_distance, torch.zeros(5), points, wanted, config=config)
    before = (model.signed_distance(torch.zeros(5), points) - wanted).abs().mean()
    after = (model.signed_distance(found, points) - wanted).abs().mean()
    assert after < 0.2 * before
    again = fit_latent(model.signed_distance, torch.zeros(5), points, wanted, config=config)
    assert torch.equal(found, again)


def test_the_bundled_decoder_is_fitted_with_the_same_function(random_weights):
    space = ShapeSpace.load(folder=random_weights)
    hidden = space.components.restore(torch.tensor([[1.0, -0.5, 0.3, 0.8, -1.0, 0.2]]))[0]
    points = torch.rand(1500, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = space.field(hidden).signed_distance(points)
    config = FittingConfig(deviation=10.0, steps=80, rate=0.1, batch=500)
    found = fit_shape(space, points, wanted, config=config)
    assert found.shape == hidden.shape
    mean = space.components.restore(torch.zeros(1, 6))[0]
    before = (space.field(mean).signed_distance(points) - wanted).abs().mean()
    after = (space.field(found).signed_distance(points) - wanted).abs().mean()
    assert after < 0.3 * before


@pytest.mark.parametrize(
    ("points", "distances", "words"),
    [
        (torch.zeros(0, 3), torch.zeros(0), "one signed distance"),
        (torch.zeros(4, 3), torch.zeros(3), "one signed distance"),
        (torch.full((2, 3), float("nan")), torch.zeros(2), "not finite"),
    ],
)
def test_observations_that_cannot_be_used_are_refused(points, distances, words):
    with pytest.raises(InputError, match=words):
        fit_latent(sphere, torch.zeros(4), points, distances)
