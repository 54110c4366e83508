"""The add-on's package from this checkout, an empty file, and results that need no model.

These tests run twice: with the bpy module, and inside a real Blender (test_in_blender.py). So they import nothing but
Blender's own Python, NumPy and pytest.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 600.0
VASE_WORKER = Path(__file__).with_name("vase_worker.py")


@pytest.fixture(scope="session")
def addon() -> Callable[[str], Any]:
    """`addon("scene")` is the module gen3d.scene."""
    if "gen3d" not in sys.modules:
        spec = importlib.util.spec_from_file_location("gen3d_loader", ROOT / "gen3d_addon" / "headless.py")
        assert spec is not None and spec.loader is not None
        loader = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loader)
        loader.load_addon()
    return lambda name: importlib.import_module(f"gen3d.{name}")


@pytest.fixture
def scene() -> Iterator[Any]:
    """The scene of an empty file."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


@pytest.fixture(scope="session")
def vase(addon: Callable[[str], Any]) -> Callable[..., Any]:
    """`vase(seed=0, prompt=…)` is the Result of the vase worker: striped, textured, 0.8 m high."""
    spec = importlib.util.spec_from_file_location("vase_shape", Path(__file__).with_name("vase_shape.py"))
    assert spec is not None and spec.loader is not None
    shape = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shape)
    recipe, mesh = addon("backend.recipe"), addon("backend.mesh")

    def make(seed: int = 0, prompt: str = "a striped vase", **changes: Any) -> Any:
        made = mesh.Mesh(**{**shape.vase_arrays(seed), **changes})
        asked = recipe.Recipe.create(prompt=prompt, seed=seed)
        return recipe.Result(made, shape.TRANSFORM, asked, {"Sampling": 0.1}, [])

    return make


@pytest.fixture
def worker_python() -> Path:
    """The Python for worker processes; inside Blender it is not Blender's own."""
    return Path(os.environ.get("GEN3D_PYTHON") or sys.executable)


@pytest.fixture
def vase_queue(addon: Callable[[str], Any], worker_python: Path) -> Iterator[Any]:
    """A job queue with real worker processes that make vases."""
    client, runtime = addon("worker_client"), addon("runtime")
    queue = addon("jobs").JobQueue(
        lambda: client.WorkerClient(worker_python, VASE_WORKER, environment=runtime.child_environment(None))
    )
    yield queue
    queue.stop_worker()


GENERATE = """
import sys
import numpy as np
from backend import Recipe, generate
result = generate(Recipe.from_json(sys.argv[1]))
mesh = result.mesh
np.savez(sys.argv[2], vertices=mesh.vertices, faces=mesh.faces, colors=mesh.colors, normals=mesh.normals, uvs=mesh.uvs,
         texture=mesh.texture, transform=result.transform)
print(result.recipe.to_json())
"""


@pytest.fixture(scope="session")
def run_python(addon: Callable[[str], Any]) -> Callable[..., str]:
    """`run_python("-c", …)` runs the worker's interpreter in the checkout and returns what it printed."""

    def run(*arguments: str) -> str:
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
        return done.stdout

    return run


@pytest.fixture(scope="session")
def generate_with_python(addon: Callable[[str], Any], run_python: Callable[..., str]) -> Callable[[Any, Path], Any]:
    """The Result of backend.generate for a recipe, made by the worker's Python with the bundled model."""

    def make(asked: Any, folder: Path) -> Any:
        recipe, arrays = addon("backend.recipe"), folder / "mesh.npz"
        printed = run_python("-c", GENERATE, asked.to_json(), str(arrays))
        with np.load(arrays) as found:
            transform = found["transform"]
            named = {name: found[name] for name in found.files if name != "transform"}
        mesh = addon("backend.mesh").Mesh(**named)
        return recipe.Result(mesh, transform, recipe.Recipe.from_json(printed.splitlines()[-1]), {}, [])

    return make


@pytest.fixture
def in_scene(addon: Callable[[str], Any]) -> Callable[[Any], Any]:
    """What the scene must hold of a result: its mesh in metres."""
    import bpy

    def look(result: Any) -> Any:
        item = addon("scene").add_result(bpy.context.scene, result)
        found = addon("scene").mesh_of(item)
        bpy.data.objects.remove(item)
        return found

    return look


def same_arrays(first: Any, second: Any) -> bool:
    """Whether two meshes are the same, bit for bit."""
    for name in ("vertices", "faces", "colors", "uvs", "texture"):
        a, b = getattr(first, name), getattr(second, name)
        if (a is None) != (b is None) or (a is not None and not np.array_equal(a, b)):
            return False
    return True


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    return same_arrays
