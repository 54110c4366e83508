"""A worker that makes a triangle instead of asking a model: the prompt tells how it goes about it.

triangle        every stage, a preview, a triangle
chatter         the same, with megabytes on stdout and stderr from Python and from C
wait STAGE      the same, but waits in that stage until it is cancelled
sleep           sits in a C call for a minute, in which no cancel can be seen
hold            holds the interpreter's lock in C for two seconds
optimise        shows a picture again and again, until it is enough
fault           an error that nobody expected
input, machine  an InputError, a MachineError
environment     a note with the worker's environment and path
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

# A copy of the backend elsewhere is named in the environment by the test about paths.
BACKEND = Path(os.environ.get("BACKEND_UNDER_TEST", Path(__file__).resolve().parents[2] / "backend"))

spec = importlib.util.spec_from_file_location("start_worker", BACKEND / "start_worker.py")
start_worker = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(start_worker)
start_worker.load_backend()
errors = importlib.import_module("backend.errors")
mesh_module = importlib.import_module("backend.mesh")
progress_module = importlib.import_module("backend.progress")
recipe_module = importlib.import_module("backend.recipe")
worker = importlib.import_module("backend.worker")


def triangle(recipe, *, progress, cancelled, preview, glimpse, enough):
    prompt = recipe.inputs["prompt"]
    notes = []
    if prompt == "sleep":
        ctypes.CDLL(None).sleep(60)
    if prompt == "hold":
        progress("Loading", 0.0)
        ctypes.PyDLL(None).sleep(2)
    while prompt == "optimise" and not enough():
        glimpse(np.full((2, 3, 3), 7, np.uint8), "a render", 0.5)
        time.sleep(0.01)
    if prompt == "fault":
        raise ZeroDivisionError("nobody expected this")
    if prompt == "input":
        raise errors.InputError("This cannot be made: ask for another thing.")
    if prompt == "machine":
        raise errors.MachineError("This machine cannot: buy another.")
    if prompt == "environment":
        notes.append(json.dumps({"environment": dict(os.environ), "path": sys.path, "file": worker.__file__}))
    if prompt == "chatter":
        for _ in range(4):
            print("p" * 1_000_000)
            print("e" * 1_000_000, file=sys.stderr)
            os.write(1, b"c" * 1_000_000)
        ctypes.CDLL(None).puts(b"from C")
    mesh = mesh_module.Mesh(np.eye(3), np.array([[0, 1, 2]]), colors=np.eye(3))
    for stage in progress_module.STAGES:
        progress(stage, 0.0)
        if stage == "Extracting":
            preview(mesh)
        while prompt == f"wait {stage}":
            progress_module.check_cancelled(cancelled)
            time.sleep(0.005)
        progress(stage, 1.0)
    return recipe_module.Result(mesh, np.eye(4), recipe, {"Sampling": 0.5}, notes)


def release():
    print("released", flush=True)


if __name__ == "__main__":
    arguments = start_worker.parse_arguments()
    start_worker.redirect_output(arguments.log)
    health = {
        "python": platform.python_version(),
        "devices": ["cpu"],
        "missing": [],
        "reason": os.environ.get("REASON_UNDER_TEST", ""),
    }
    idle = float(os.environ.get("IDLE_UNDER_TEST", "600"))
    sys.exit(worker.serve(arguments.address, run=triangle, health=health, release=release, idle_seconds=idle))
