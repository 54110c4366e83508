"""Latent interpolation with the bundled model through all doors: one recipe, the same meshes, bit for bit.

The command line runs in a process of its own, on the interpreter of the worker: this test also runs inside Blender.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = any((ROOT / "backend" / "weights").glob("latent_prior*.safetensors"))
PATIENCE_SECONDS = 600.0
PYTHON = """
import sys
from backend import Recipe, generate
from backend.data.mesh_files import write_mesh
result = generate(Recipe.from_json(sys.argv[1]))
for number, mesh in enumerate(result.meshes):
    write_mesh(f"{sys.argv[2]}/{number}.glb", mesh, result.transform)
"""

pytestmark = pytest.mark.skipif(not HAS_WEIGHTS, reason="this checkout has no weights of the bundled model")


@pytest.fixture
def from_panel(addon: Any, scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]]:
    """The recipe that the panel's button made for two selected meshes, and the result that came of it."""
    monkeypatch.setattr(addon("extension"), "shapes_folder", lambda: tmp_path / "shapes")
    results: list[Any] = []
    addon("registration").register()
    try:
        bpy.ops.mesh.primitive_cube_add(size=1)
        cube = bpy.context.object
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.5)
        cube.select_set(True)
        settings = scene.gen3d_interpolation
        settings.steps, settings.detail, settings.face_count = 2, 32, 800
        session = addon("session").current()
        session.place = lambda job, target=None: results.append(job.result)
        assert bpy.ops.gen3d.interpolate() == {"FINISHED"}
        asked = session.queue.jobs[-1].recipe
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not results:
            assert time.monotonic() < deadline and not session.error, session.error
            session.tick()
            time.sleep(0.05)
    finally:
        addon("registration").unregister()
    return asked, results


def run(addon: Any, *arguments: str) -> None:
    runtime = addon("runtime")
    done = subprocess.run(
        [str(runtime.find_interpreter()), *arguments],
        cwd=ROOT,
        env=runtime.child_environment(None),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_all_doors_make_the_same_meshes(addon: Any, from_panel: tuple[Any, list[Any]], tmp_path: Path) -> None:
    asked, (result,) = from_panel
    panel = []
    for mesh in result.meshes:
        addon("backend.data.mesh_files").write_mesh(tmp_path / "panel.glb", mesh, result.transform)
        panel.append((tmp_path / "panel.glb").read_bytes())
    assert len(panel) == 2

    (tmp_path / "python").mkdir()
    run(addon, "-c", PYTHON, asked.to_json(), str(tmp_path / "python"))
    assert [(tmp_path / "python" / f"{number}.glb").read_bytes() for number in range(2)] == panel

    options = ["--steps", "2", "--detail", "32", "--face-count", "800", "--out", str(tmp_path / "line")]
    run(addon, "-m", "backend", "interpolate", *asked.inputs["meshes"], *options)
    assert [(tmp_path / "line" / f"step-{number:02}.glb").read_bytes() for number in (1, 2)] == panel

    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(asked.to_json() + "\n", encoding="utf-8")
    out = tmp_path / "headless"
    assert addon("headless").main([str(jobs), "--out", str(out), "--format", "glb"]) == 0
    entry = json.loads((out / "manifest.jsonl").read_text(encoding="utf-8"))
    written = sorted(path for path in out.iterdir() if path.suffix == ".glb")
    assert entry["status"] == "done"
    assert sorted(path.read_bytes() for path in written) == sorted(panel), [path.name for path in written]
