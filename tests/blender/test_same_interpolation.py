"""Latent interpolation through the panel, headless, the command line and Python: one recipe, the same meshes.

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
HAS_WEIGHTS = any((ROOT / "backend" / "weights").glob("shape_autoencoder*.safetensors"))
SETTINGS = {"steps": 3, "detail": 32, "face_count": 800}
OPTIONS = ["--steps", "3", "--detail", "32", "--face-count", "800"]
PATIENCE_SECONDS = 600.0
GENERATE = """
import sys
from pathlib import Path
import numpy as np
from backend import Recipe, generate
from backend.data.mesh_files import write_mesh
result, folder = generate(Recipe.from_json(sys.argv[1])), Path(sys.argv[2])
for number, mesh in enumerate(result.meshes, start=1):
    write_mesh(folder / f"{number}.glb", mesh, result.transform)
    np.savez(folder / f"{number}.npz", vertices=mesh.vertices, faces=mesh.faces, colors=mesh.colors,
             transform=result.transform)
print(result.recipe.to_json())
"""

pytestmark = pytest.mark.skipif(not HAS_WEIGHTS, reason="this checkout has no weights of the bundled model")


@pytest.fixture(scope="module")
def from_panel(addon: Any, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, Any]]:
    """The recipes and the meshes of the objects that the panel made of a ball and a block, from left to right."""
    extension = addon("extension")
    shapes = tmp_path_factory.mktemp("shapes")
    kept = extension.shapes_folder
    extension.shapes_folder = lambda: shapes
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    addon("registration").register()
    try:
        session = addon("session").current()
        ball_and_block()
        for name, value in SETTINGS.items():
            setattr(bpy.context.scene.gen3d_interpolation, name, value)
        assert bpy.ops.gen3d.interpolate() == {"FINISHED"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(made := [item for item in bpy.context.scene.objects if "gen3d_recipe" in item]) < SETTINGS["steps"]:
            assert time.monotonic() < deadline and not session.error, session.error
            session.tick()
            time.sleep(0.05)
        made.sort(key=lambda item: item.matrix_world.translation.x)
        return [(addon("scene").recipe_of(item), addon("scene").mesh_of(item)) for item in made]
    finally:
        addon("registration").unregister()
        extension.shapes_folder = kept


def ball_and_block() -> None:
    """A ball, mirrored, parented and turned, and a block with a modifier that is not applied; both selected."""
    parent = bpy.data.objects.new("Parent", None)
    parent.rotation_euler.z = 0.4
    bpy.context.scene.collection.objects.link(parent)
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=16, radius=0.5)
    ball = bpy.context.active_object
    ball.parent, ball.location, ball.scale = parent, (2.0, 1.0, 0.5), (-1.2, 1.0, 0.9)
    bpy.ops.mesh.primitive_cube_add(size=0.8, location=(-1.0, 0.0, 0.4))
    bpy.context.active_object.modifiers.new("Round", "BEVEL").width = 0.1
    ball.select_set(True)
    bpy.context.view_layer.update()


@pytest.fixture(scope="module")
def from_python(from_panel: Any, run_python: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The recipe of what backend.generate gives for the same recipe, as JSON, and the folder of its steps."""
    folder = tmp_path_factory.mktemp("python")
    printed = run_python("-c", GENERATE, from_panel[0][0].to_json(), str(folder))
    return printed.splitlines()[-1], folder


def test_the_panel_makes_the_meshes_that_python_makes(
    addon: Any, scene: Any, from_panel: Any, from_python: Any, same: Callable[..., bool], in_scene: Callable[..., Any]
) -> None:
    recipe, folder = from_python
    assert all(made.to_json() == recipe for made, _ in from_panel)
    for number, (made, mesh) in enumerate(from_panel, start=1):
        with np.load(folder / f"{number}.npz") as arrays:
            wanted = addon("backend.mesh").Mesh(arrays["vertices"], arrays["faces"], arrays["colors"])
            transform = arrays["transform"]
        assert len(mesh.faces) > 300
        assert same(mesh, in_scene(addon("backend.recipe").Result(wanted, transform, made, {}, [])))


def test_headless_and_the_command_line_make_those_meshes(
    addon: Any, scene: Any, from_panel: Any, from_python: Any, run_python: Callable[..., str], tmp_path: Path
) -> None:
    recipe = from_panel[0][0]
    expected = [(from_python[1] / f"{number}.glb").read_bytes() for number in range(1, 1 + SETTINGS["steps"])]
    (tmp_path / "jobs.jsonl").write_text(recipe.to_json() + "\n", encoding="utf-8")
    assert addon("headless").main([str(tmp_path / "jobs.jsonl"), "--out", str(tmp_path / "out")]) == 0
    entry = json.loads((tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8"))
    assert [(tmp_path / "out" / name).read_bytes() for name in entry["outputs"]["glb"]] == expected

    source = ["interpolate", *recipe.inputs["meshes"], *OPTIONS, "--out", str(tmp_path / "line")]
    run_python("-m", "backend", *source)
    assert [path.read_bytes() for path in sorted((tmp_path / "line").iterdir())] == expected
