"""A worker that makes vases: real process, real channel, no model.

A latent interpolation gives as many vases as it has steps, with shape keys vases that grow, and with a blend one vase.

The prompt may ask for more: "fail input …", "fail machine …" raise those errors, "slow …" takes two seconds and shows a
preview all the while, "wait …" goes on until it is cancelled.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


start_worker = load(HERE.parents[1] / "backend" / "start_worker.py")
start_worker.load_backend()
errors = importlib.import_module("backend.errors")
mesh_module = importlib.import_module("backend.mesh")
recipe_module = importlib.import_module("backend.recipe")
worker = importlib.import_module("backend.worker")
shape = load(HERE / "vase_shape.py")


def series(recipe: Any, mesh: Any) -> Any:
    """A vase for each step, or one that grows by a tenth a step."""
    steps = recipe.parameters["steps"]
    keys = None
    if recipe.parameters["output"] != "meshes":
        keys = [mesh.vertices * (1 + 0.1 * step) for step in range(steps)]
    following = () if keys else (mesh,) * (steps - 1)
    arrays = None if keys is None else np.stack(keys)
    return recipe_module.Result(mesh, shape.TRANSFORM, recipe, {"Sampling": 0.1}, [], following, arrays)


def pictured(recipe: Any, mesh: Any, progress: Any, cancelled: Any, glimpse: Any, enough: Any) -> Any:
    """A vase, optimised until it is enough where the prompt says "optimise", with a viewpoint and two views."""
    if not Path(recipe.inputs["picture"]).is_file():
        raise errors.InputError("There is no picture of that name.")
    glimpse(np.full((48, 64, 3), 120, np.uint8), "What is taken of the picture", float("nan"))
    progress("Fitting", 0.5)
    while recipe.inputs.get("prompt", "").startswith("optimise") and not enough():
        if cancelled():
            raise errors.Cancelled("Cancelled.")
        glimpse(np.full((64, 64, 3), (200, 60, 20), np.uint8), "What comes of it", 0.25)
        time.sleep(0.05)
    matrix = np.eye(4)
    matrix[:3] = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0]]
    viewpoint = recipe_module.Viewpoint(matrix, 0.7, (0.1, -0.05))
    views = np.full((2, 8, 8, 4), 255, np.uint8) if recipe.parameters.get("keep_views") else None
    return recipe_module.Result(mesh, shape.TRANSFORM, recipe, {"Sampling": 0.1}, [], viewpoint=viewpoint, views=views)


def generate(
    recipe: Any,
    *,
    progress: Callable[[str, float], None],
    cancelled: Callable[[], bool],
    preview: Callable[[Any], None],
    glimpse: Callable[[np.ndarray, str, float], None],
    enough: Callable[[], bool],
) -> Any:
    prompt = recipe.inputs.get("prompt", "")
    if prompt.startswith("fail input"):
        raise errors.InputError("The prompt asks for a failure: ask for something else.")
    if prompt.startswith("fail machine"):
        raise errors.MachineError("The weights are missing: fetch them.")
    mesh = mesh_module.Mesh(**shape.vase_arrays(recipe.seed))
    progress("Sampling", 0.5)
    preview(mesh_module.Mesh(mesh.vertices @ shape.TRANSFORM[:3, :3].T + shape.TRANSFORM[:3, 3], mesh.faces))
    begun = time.monotonic()
    while prompt.startswith("wait") or (prompt.startswith("slow") and time.monotonic() - begun < 2.0):
        if cancelled():
            raise errors.Cancelled("Cancelled.")
        time.sleep(0.01)
    if recipe.task == "image_to_3d":
        return pictured(recipe, mesh, progress, cancelled, glimpse, enough)
    progress("Texturing", 1.0)
    if recipe.task == "latent_interpolation" and not recipe.parameters["blend"]:
        return series(recipe, mesh)
    return recipe_module.Result(mesh, shape.TRANSFORM, recipe, {"Sampling": 0.1}, [])


def look(recipe: Any) -> np.ndarray:
    """What the backend itself would take of the picture."""
    cut_outs, pictures = (importlib.import_module(f"backend.data.{name}") for name in ("cut_out", "pictures"))
    picture = pictures.read_picture(recipe.inputs["picture"])
    return cut_outs.mask_preview(picture, cut_outs.cut_out(picture), 192)


if __name__ == "__main__":
    arguments = start_worker.parse_arguments()
    start_worker.redirect_output(arguments.log)
    health = {"version": "0", "python": platform.python_version(), "devices": ["cpu"], "missing": [], "reason": ""}
    sys.exit(worker.serve(arguments.address, run=generate, look=look, health=health))
