"""Image to 3D through the panel, headless, the command line and Python: one recipe, one mesh, bit for bit.

Python and the command line run in processes of their own, on the interpreter of the worker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = any((ROOT / "backend" / "weights").glob("latent_prior*.safetensors"))
SETTINGS = {"detail": 48, "face_count": 1500, "steps": 2, "candidates": 2, "elevation": 20.0}
SEED = 3
PATIENCE_SECONDS = 600.0

pytestmark = pytest.mark.skipif(not HAS_WEIGHTS, reason="this checkout has no weights of the bundled model")


@pytest.fixture(scope="module")
def from_panel(addon: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The recipe of the object that the panel made of a painted picture, and its mesh."""
    extension = addon("extension")
    shapes = tmp_path_factory.mktemp("shapes")
    kept = extension.shapes_folder
    extension.shapes_folder = lambda: shapes
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    addon("registration").register()
    try:
        session = addon("session").current()
        settings = bpy.context.scene.gen3d_image
        settings.picture, settings.seed = armchair_of_boxes(), SEED
        for name, value in SETTINGS.items():
            setattr(settings, name, value)
        assert bpy.ops.gen3d.generate_image() == {"FINISHED"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (made := [item for item in bpy.context.scene.objects if "gen3d_recipe" in item]):
            assert time.monotonic() < deadline and not session.error, session.error
            session.tick()
            time.sleep(0.05)
        assert addon("scene").viewpoint_of(made[0]) is not None
        return addon("scene").recipe_of(made[0]), addon("scene").mesh_of(made[0])
    finally:
        addon("registration").unregister()
        extension.shapes_folder = kept


def armchair_of_boxes() -> bpy.types.Image:
    """Painted in Blender, on a plain ground without transparency: seat, back and two arms."""
    rows = np.ones((128, 128, 4), np.float32)
    rows[..., :3] = 0.85, 0.88, 0.9
    rows[30:60, 30:98] = 0.55, 0.2, 0.1, 1
    rows[60:105, 36:92] = 0.45, 0.15, 0.08, 1
    rows[25:75, 22:34] = rows[25:75, 94:106] = 0.35, 0.1, 0.05, 1
    image = bpy.data.images.new("armchair", 128, 128)
    image.pixels.foreach_set(rows.ravel())
    return image


@pytest.fixture(scope="module")
def from_python(from_panel: tuple[Any, Any], generate_with_python: Any, tmp_path_factory: Any) -> Any:
    """The Result that backend.generate gives for the same recipe."""
    return generate_with_python(from_panel[0], tmp_path_factory.mktemp("python"))


def test_the_panel_makes_the_mesh_that_python_makes(
    from_panel: Any, from_python: Any, same: Callable[..., bool], in_scene: Callable[..., Any]
) -> None:
    recipe, mesh = from_panel
    assert from_python.recipe == recipe and len(mesh.faces) > 100
    assert same(mesh, in_scene(from_python))


def test_headless_and_the_command_line_make_that_mesh(
    addon: Any, from_panel: Any, from_python: Any, run_python: Callable[..., str], tmp_path: Path
) -> None:
    recipe = from_panel[0]
    addon("backend.data.mesh_files").write_mesh(tmp_path / "python.glb", from_python.mesh, from_python.transform)
    expected = (tmp_path / "python.glb").read_bytes()
    (tmp_path / "jobs.jsonl").write_text(recipe.to_json() + "\n", encoding="utf-8")
    assert addon("headless").main([str(tmp_path / "jobs.jsonl"), "--out", str(tmp_path / "out")]) == 0
    entry = json.loads((tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8"))
    assert (tmp_path / "out" / entry["outputs"]["glb"]).read_bytes() == expected

    options = [text for name, value in SETTINGS.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    out = tmp_path / "line.glb"
    run_python(
        "-m", "backend", "image", str(recipe.inputs["picture"]), *options, "--seed", str(SEED), "--out", str(out)
    )
    assert out.read_bytes() == expected
