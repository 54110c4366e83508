"""python -m backend: what it prints where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backend import tasks
from backend.__main__ import main
from backend.data.mesh_files import write_mesh
from backend.data.mesh_reading import read_mesh
from backend.mesh import Mesh
from backend.meshing.mesh_from_field import mesh_from_field
from backend.recipe import Recipe
from backend.tasks import loaded_models, release_models

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--detail", "32", "--face-count", "300", "--steps", "2", "--device", "cpu"]


class Ball:
    def signed_distance(self, points):
        return points.norm(dim=1) - 0.9

    def color(self, points):
        return torch.full_like(points, 0.5)


class FakeShapeSpace:
    """Every latent is a ball; a mesh's latent holds the mesh's largest coordinates."""

    weights = {"prior.safetensors": "a" * 64}  # noqa: RUF012

    def sample(self, prompt, *, seed, steps, guidance_scale, step=None):
        for index in range(steps):
            step(index + 1, steps)
        return torch.zeros(1)

    def field(self, latent):
        return Ball()

    def encode(self, mesh):
        return torch.full((2, 8, 8, 8), float(np.abs(mesh.vertices).max()))

    def decode(self, latent, resolution=128, *, face_count=20_000):
        assert latent.shape == (2, 8, 8, 8)
        return mesh_from_field(Ball(), detail=resolution, face_count=face_count)


@pytest.fixture(autouse=True)
def fake_model(monkeypatch):
    monkeypatch.setattr(loaded_models.ShapeSpace, "load", lambda device: FakeShapeSpace())
    release_models()
    yield
    release_models()


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_text_writes_a_mesh_and_prints_where(tmp_path, capsys, suffix):
    out = tmp_path / f"ein Stühlchen.{suffix}"
    assert main(["text", "a chair", *QUICK, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n"
    assert "Sampling" in printed.err
    vertices = read_mesh(out).vertices
    assert vertices[:, 2].min() == pytest.approx(0, abs=1e-5), "Z is up in the scene, whatever the file's own up is"
    assert np.ptp(vertices, axis=0).max() == pytest.approx(0.85, rel=1e-4)


def test_json_carries_recipe_timings_and_notes(tmp_path, capsys):
    out = tmp_path / "thing.glb"
    assert main(["text", "a frobnicator", *QUICK, "--seed", "9", "--json", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    recipe = Recipe.from_dict(document["recipe"])
    assert (recipe.seed, recipe.inputs, recipe.weights) == (9, {"prompt": "a frobnicator"}, FakeShapeSpace.weights)
    assert recipe.parameters["detail"] == 32
    assert document["out"] == str(out)
    assert "Sampling" in document["timings"]
    assert 0 < document["faces"] <= 300
    assert np.array(document["transform"]).shape == (4, 4)
    (note,) = document["notes"]
    assert note in printed.err


def test_a_mesh_from_anywhere_becomes_a_latent_and_the_latent_a_mesh(tmp_path, capsys):
    corners = np.array([[0, 0, 0], [50, 0, 0], [0, 20, 0], [0, 0, 10]], dtype=np.float32)
    mesh = Mesh(corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    source, latent, out = tmp_path / "a.ply", tmp_path / "a.safetensors", tmp_path / "a2.glb"
    write_mesh(source, mesh, np.eye(4))
    assert main(["encode", str(source), "--out", str(latent)]) == 0
    from safetensors.torch import load_file

    assert load_file(latent)["latent"].max().item() == pytest.approx(0.9), "encode takes the mesh into model space"
    assert main(["decode", str(latent), "--detail", "32", "--face-count", "300", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{latent}\n{out}\n"
    assert np.abs(read_mesh(out).vertices).max() == pytest.approx(0.9, abs=0.01), "decode stays in model space"


class FakeCompleter:
    weights = FakeShapeSpace.weights

    def complete(self, observation, *, seed, temperature, steps, step=None):
        step(1, 1)
        return Ball()


def test_complete_takes_a_method_with_its_own_settings(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(tasks, "completer", lambda *how: asked.append(how) or FakeCompleter())
    (tmp_path / "part.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n", encoding="utf-8")
    options = [
        "--scan",
        "--method",
        "autoregressive",
        "--temperature",
        "0.5",
        "--no-mirror",
        "--samples",
        "2",
        "--json",
    ]
    options += ["--samples", "2", "--json", "--out", str(tmp_path / "out")]
    assert main(["complete", str(tmp_path / "part.obj"), *options, *QUICK]) == 0
    recipes = [json.loads(line)["recipe"] for line in capsys.readouterr().out.splitlines()]
    assert asked == [("autoregressive", "cpu", None)] * 2
    assert [recipe["seed"] for recipe in recipes] == [0, 1]
    assert recipes[0]["parameters"] | {"temperature": 0.5, "mirror": False, "steps": 2} == recipes[0]["parameters"]
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["text", "", "--out", "a.glb"], 2, "The prompt is empty"),
        (["text", "a chair", "--out", "a.fbx"], 2, "must end in .glb or .obj or .ply"),
        (["text", "a chair", "--out", "missing/a.glb"], 2, "There is no folder"),
        (["text", "a chair", "--seed", "-1", "--out", "a.glb"], 2, "The seed must lie between"),
        (["text", "a chair", "--seed", "x", "--out", "a.glb"], 2, "invalid int value"),
        (["text", "a chair", "--detail", "1000", "--out", "a.glb"], 2, "Detail must lie between 32 and 256"),
        (["text", "a chair", "--guidance-scale", "nan", "--out", "a.glb"], 2, "finite"),
        (["text", "a chair", "--device", "abacus", "--out", "a.glb"], 3, "no device 'abacus'"),
        (["text", "a chair"], 2, "--out"),
        (["txt"], 2, "invalid choice"),
        ([], 2, "command"),
        (["encode", "missing.glb", "--out", "a.safetensors"], 2, "missing.glb"),
        (["encode", "missing.glb", "--out", "a.npz"], 2, "must end in .safetensors"),
        (["decode", "missing.safetensors", "--out", "a.glb"], 2, "does not exist"),
        (["decode", "missing.safetensors", "--detail", "3", "--out", "a.glb"], 2, "Detail must lie"),
        (["complete", "a.ply", "--scan", "--method", "guess", "--out", "a"], 2, "invalid choice"),
        (["complete", "a.ply", "--scan", "--method", "points", "--steps", "3", "--out", "a"], 2, "unknown parameter"),
        (["complete", "a.ply", "--scan", "--checkpoint", "a.pth", "--out", "a"], 2, "unknown parameter 'checkpoint'"),
        (["complete", "a.ply", "--out", "a"], 2, "--unknown --scan"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_no_file(tmp_path, monkeypatch, capsys, arguments, code, part):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert part in printed.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_folder_is_refused(tmp_path, capsys):
    (tmp_path / "a.glb").mkdir()
    assert main(["text", "a chair", "--out", str(tmp_path / "a.glb")]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_an_interrupt_is_a_cancel_and_leaves_no_file(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeShapeSpace, "sample", interrupted)
    assert main(["text", "a chair", *QUICK, "--out", str(tmp_path / "a.glb")]) == 130
    assert capsys.readouterr().err.endswith("Cancelled.\n")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_backend_needs_no_torch():
    code = "import sys, backend, backend.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=300).returncode == 0


def test_as_a_process_it_ends_with_the_exit_code(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "backend", "text", "椅子", "--out", str(tmp_path / "a.glb")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=300,
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.strip().endswith("describe the object in English.")
