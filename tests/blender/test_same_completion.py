"""Shape completion through the panel, headless, the command line and Python: one recipe, one mesh, bit for bit.

Python and the command line run in processes of their own, on the interpreter of the worker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
from mathutils import Vector

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = any((ROOT / "backend" / "weights").glob("latent_prior*.safetensors"))
SETTINGS = {"detail": 48, "face_count": 1500, "steps": 2, "keep_original": True}
SEED = 3
PATIENCE_SECONDS = 600.0

pytestmark = pytest.mark.skipif(not HAS_WEIGHTS, reason="this checkout has no weights of the bundled model")


@pytest.fixture(scope="module")
def from_panel(addon: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The recipe of the object that the panel made of a ball whose lower half is unknown, and its mesh."""
    extension = addon("extension")
    shapes = tmp_path_factory.mktemp("shapes")
    kept = extension.shapes_folder
    extension.shapes_folder = lambda: shapes
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    addon("registration").register()
    try:
        session = addon("session").current()
        ball_above_its_box()
        settings = bpy.context.scene.gen3d_completion
        settings.seed, settings.variations = SEED, 1
        for name, value in SETTINGS.items():
            setattr(settings, name, value)
        assert bpy.ops.gen3d.complete() == {"FINISHED"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (made := [item for item in bpy.context.scene.objects if "gen3d_recipe" in item]):
            assert time.monotonic() < deadline and not session.error, session.error
            session.tick()
            time.sleep(0.05)
        return addon("scene").recipe_of(made[0]), addon("scene").mesh_of(made[0])
    finally:
        addon("registration").unregister()
        extension.shapes_folder = kept


def ball_above_its_box() -> None:
    """A parented, turned and unevenly scaled ball, selected, and a box around its lower half, chosen in the panel."""
    parent = bpy.data.objects.new("Parent", None)
    parent.rotation_euler.z = 0.4
    bpy.context.scene.collection.objects.link(parent)
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=16, radius=0.5)
    ball = bpy.context.active_object
    ball.parent, ball.location, ball.scale = parent, (2.0, 1.0, 0.5), (-1.2, 1.0, 0.9)
    box = bpy.data.objects.new("Unknown", None)
    bpy.context.scene.collection.objects.link(box)
    bpy.context.view_layer.update()
    box.location = ball.matrix_world.translation - Vector((0, 0, 0.8))
    box.empty_display_size = 0.81
    bpy.context.view_layer.update()
    bpy.context.scene.gen3d_completion.box = box


@pytest.fixture(scope="module")
def from_python(from_panel: tuple[Any, Any], generate_with_python: Any, tmp_path_factory: Any) -> Any:
    """The Result that backend.generate gives for the same recipe."""
    return generate_with_python(from_panel[0], tmp_path_factory.mktemp("python"))


def test_the_panel_makes_the_mesh_that_python_makes(
    scene: Any, from_panel: Any, from_python: Any, same: Callable[..., bool], in_scene: Callable[..., Any]
) -> None:
    recipe, mesh = from_panel
    assert from_python.recipe == recipe and len(mesh.faces) > 500
    assert same(mesh, in_scene(from_python))


def test_headless_and_the_command_line_make_that_mesh(
    addon: Any, scene: Any, from_panel: Any, from_python: Any, run_python: Callable[..., str], tmp_path: Path
) -> None:
    recipe = from_panel[0]
    addon("backend.data.mesh_files").write_mesh(tmp_path / "python.glb", from_python.mesh, from_python.transform)
    expected = (tmp_path / "python.glb").read_bytes()
    (tmp_path / "jobs.jsonl").write_text(recipe.to_json() + "\n", encoding="utf-8")
    assert addon("headless").main([str(tmp_path / "jobs.jsonl"), "--out", str(tmp_path / "out")]) == 0
    entry = json.loads((tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8"))
    assert (tmp_path / "out" / entry["outputs"]["glb"]).read_bytes() == expected

    numbers = [repr(value) for value in recipe.inputs["unknown"]]
    options = ["--detail", "48", "--face-count", "1500", "--steps", "2", "--keep-original", "--seed", str(SEED)]
    source = ["complete", str(recipe.inputs["shape"]), "--unknown", *numbers]
    run_python("-m", "backend", *source, *options, "--out", str(tmp_path / "line"))
    (made,) = (tmp_path / "line").iterdir()
    assert made.read_bytes() == expected
