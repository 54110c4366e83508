"""The bundled model through the panel, headless and Python: one recipe, one mesh, bit for bit.

Python runs in a process of its own, on the interpreter of the worker: this test also runs inside Blender, whose Python
must not import what was compiled for another one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = any((ROOT / "backend" / "weights").glob("latent_prior*.safetensors"))
PROMPT = "a wooden chair"
SETTINGS = {"detail": 48, "face_count": 1500, "steps": 4}
SEED = 3
PATIENCE_SECONDS = 600.0
pytestmark = pytest.mark.skipif(not HAS_WEIGHTS, reason="this checkout has no weights of the bundled model")


@pytest.fixture(scope="module")
def from_python(
    addon: Any, generate_with_python: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    """The Result of backend.generate, and the recipe that was asked for."""
    asked = addon("backend.recipe").Recipe.create(prompt=PROMPT, seed=SEED, **SETTINGS)
    return generate_with_python(asked, tmp_path_factory.mktemp("python")), asked


def test_headless_makes_the_mesh_that_python_makes(
    addon: Any, from_python: tuple[Any, Any], same: Callable[..., bool], in_scene: Callable[..., Any], tmp_path: Path
) -> None:
    result, asked = from_python
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(asked.to_json() + "\n", encoding="utf-8")
    out = tmp_path / "out"
    assert addon("headless").main([str(jobs), "--out", str(out), "--format", "glb", "blend"]) == 0
    entry = json.loads((out / "manifest.jsonl").read_text(encoding="utf-8"))
    assert entry["recipe"] == result.recipe.to_dict()
    addon("backend.data.mesh_files").write_mesh(tmp_path / "python.glb", result.mesh, result.transform)
    assert (out / entry["outputs"]["glb"]).read_bytes() == (tmp_path / "python.glb").read_bytes()
    bpy.ops.wm.open_mainfile(filepath=str(out / entry["outputs"]["blend"]))
    item = next(found for found in bpy.data.objects if "gen3d_recipe" in found)
    assert same(addon("scene").mesh_of(item), in_scene(result))


def test_panel_makes_the_mesh_that_python_makes(
    addon: Any, scene: Any, from_python: tuple[Any, Any], same: Callable[..., bool], in_scene: Callable[..., Any]
) -> None:
    result, _ = from_python
    addon("registration").register()
    try:
        session = addon("session").current()
        settings = scene.gen3d_text
        settings.prompt, settings.seed = PROMPT, SEED
        for name, value in SETTINGS.items():
            setattr(settings, name, value)
        assert bpy.ops.gen3d.generate_text() == {"FINISHED"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (made := [item for item in scene.objects if "gen3d_recipe" in item]):
            assert time.monotonic() < deadline and not session.error, session.error
            session.tick()
            time.sleep(0.05)
    finally:
        addon("registration").unregister()
    assert addon("scene").recipe_of(made[0]) == result.recipe
    assert same(addon("scene").mesh_of(made[0]), in_scene(result))
