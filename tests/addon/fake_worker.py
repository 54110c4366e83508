"""A worker whose task is told by the prompt: real process, real channel, no model.

ok           a red tetrahedron after all stages, with a preview
print        the same, with a megabyte on stdout and stderr
wait         goes on until it is cancelled
deaf         goes on and never looks whether it is cancelled
fail input / fail machine / fail odd        raises InputError, MachineError, ZeroDivisionError
die          ends the process with code 7, a last word in the log
killed       is killed, as the system does when memory runs out

A latent interpolation gives tetrahedra, as a series or with shape keys; a blend one that is higher by the last weight's
share.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BACKEND = Path(__file__).resolve().parents[2] / "backend"

spec = importlib.util.spec_from_file_location("start_worker", BACKEND / "start_worker.py")
assert spec is not None and spec.loader is not None
start_worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(start_worker)
start_worker.load_backend()
errors = importlib.import_module("backend.errors")
mesh_module = importlib.import_module("backend.mesh")
recipe_module = importlib.import_module("backend.recipe")
worker = importlib.import_module("backend.worker")


def tetrahedron() -> Any:
    vertices = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float32) * 0.9
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], dtype=np.int32)
    return mesh_module.Mesh(vertices, faces, colors=np.tile(np.float32([1, 0, 0]), (4, 1)))


def series(recipe: Any) -> Any:
    """As many tetrahedra as the recipe has steps, or one that grows by half of its height a step."""
    first, steps = tetrahedron(), recipe.parameters["steps"]
    if recipe.parameters["blend"]:
        share = recipe.parameters["blend"][-1] / sum(recipe.parameters["blend"])
        stretched = mesh_module.Mesh(first.vertices * np.array([1, 1, 1 + share]), first.faces, first.colors)
        return recipe_module.Result(stretched, np.eye(4), recipe, {"Extracting": 0.5}, [])
    notes = ["Given back to within 1.0 % of its size on average."]
    keys = following = None
    if recipe.parameters["output"] != "meshes":
        keys = np.stack([first.vertices * np.array([1, 1, 1 + 0.5 * step]) for step in range(steps)])
    else:
        following = (tetrahedron(),) * (steps - 1)
    return recipe_module.Result(first, np.eye(4), recipe, {"Extracting": 0.5}, notes, following or (), keys)


def generate(
    recipe: Any,
    *,
    progress: Callable[[str, float], None],
    cancelled: Callable[[], bool],
    preview: Callable[[Any], None],
    glimpse: Callable[[np.ndarray, str, float], None],
    enough: Callable[[], bool],
) -> Any:
    if recipe.task == "latent_interpolation":
        return series(recipe)
    prompt = recipe.inputs.get("prompt", "ok")
    progress("Sampling", 0.0)
    match prompt:
        case "fail input":
            raise errors.InputError("The prompt asks for a failure: ask for something else.")
        case "fail machine":
            raise errors.MachineError("The weights are missing: fetch them.")
        case "fail odd":
            raise ZeroDivisionError("odd")
        case "die":
            print("RuntimeError: the last word.", file=sys.stderr, flush=True)
            os._exit(7)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "print":
            print("x" * 1_000_000)
            print("y" * 1_000_000, file=sys.stderr)
    while prompt == "wait":
        if cancelled():
            raise errors.Cancelled("Cancelled.")
        time.sleep(0.01)
    while prompt == "optimise" and not enough():
        glimpse(np.zeros((4, 4, 3), np.uint8), "What comes of it", 0.5)
        time.sleep(0.01)
    while prompt == "deaf":
        time.sleep(0.01)
    progress("Sampling", 1.0)
    preview(tetrahedron())
    for stage in ("Extracting", "Simplifying", "Texturing"):
        progress(stage, 1.0)
    transform = np.diag([0.5, 0.5, 0.5, 1.0])
    notes = ["The size is a guess."] if "guess" in prompt else []
    return recipe_module.Result(tetrahedron(), transform, recipe, {"Sampling": 0.25, "Extracting": 0.5}, notes)


def look(recipe: Any) -> np.ndarray:
    if "missing" in recipe.inputs["picture"]:
        raise errors.InputError("There is no picture: open one.")
    return np.full((4, 6, 3), 9, np.uint8)


if __name__ == "__main__":
    arguments = start_worker.parse_arguments()
    start_worker.redirect_output(arguments.log)
    health = {"version": "0", "python": platform.python_version(), "devices": ["cpu"], "missing": [], "reason": ""}
    sys.exit(worker.serve(arguments.address, run=generate, look=look, health=health))
