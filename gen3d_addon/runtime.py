"""Which Python runs the backend, and whether it has what the backend needs.

The answer of a check takes seconds (it imports torch), so it is worked out in a thread and asked for by the panel.
Plain Python without bpy.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from . import backend
from .backend.recipe import MachineError

ENVIRONMENT_VARIABLE = "GEN3D_PYTHON"
CHECK_SECONDS = 90.0
BACKEND_FOLDER = Path(backend.__path__[0]).resolve()
START_WORKER = BACKEND_FOLDER / "start_worker.py"
ADVICE = f"set one in the add-on's preferences or in {ENVIRONMENT_VARIABLE}"


@dataclass(frozen=True)
class Health:
    """What a check of an interpreter found. `sentence` is for the panel, good or bad."""

    ok: bool
    sentence: str


def find_interpreter(preferred: str = "") -> Path:
    """The Python for the worker: the environment variable (scripts), else the preference, else a checkout's own .venv.

    A folder stands for the virtual environment in it. Raises `MachineError` with a sentence when there is none.
    """
    for source, given in (
        (f"The variable {ENVIRONMENT_VARIABLE} names", os.environ.get(ENVIRONMENT_VARIABLE, "")),
        ("The preferences name", preferred),
    ):
        if given.strip():
            return _interpreter_at(Path(given.strip()).expanduser(), source)
    own = python_in(BACKEND_FOLDER.parent / ".venv")
    if own is None:
        raise MachineError(f"No Python for the worker is known yet: {ADVICE}.")
    return own


def python_in(environment: Path) -> Path | None:
    """The interpreter of a virtual environment's folder, if it has one."""
    candidates = (environment / "bin" / "python", environment / "Scripts" / "python.exe")
    return next((path for path in candidates if path.is_file()), None)


def _interpreter_at(path: Path, source: str) -> Path:
    found = python_in(path) if path.is_dir() else path
    if found is None:
        raise MachineError(f"{source} the folder {path}, in which there is no Python environment: {ADVICE}.")
    if not found.is_file():
        raise MachineError(f"{source} {path}, which does not exist: {ADVICE}.")
    if os.name != "nt" and not os.access(found, os.X_OK):
        raise MachineError(f"{source} {path}, which is not a program that can be run: {ADVICE}.")
    return found.absolute()  # not resolve(): a virtual environment is known by its link


def child_environment(cache: Path | None) -> dict[str, str]:
    """Environment variables for the worker: Blender's own Python settings do not reach it, and with a `cache` folder
    compiled kernels are not kept beside the code (an extension may not write into its own folder)."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")}
    if cache is not None:
        kept["GEN3D_KERNEL_CACHE"] = str(cache / "kernels")
    return kept


def no_console() -> int:
    """Creation flags that keep Windows from opening a console window for a child process."""
    return getattr(subprocess, "CREATE_NO_WINDOW", 0)


def check(python: Path, cache: Path | None = None, seconds: float = CHECK_SECONDS) -> Health:
    """Asks `python` whether it can run the backend. Takes seconds; raises nothing."""
    try:
        answer = subprocess.run(
            [str(python), str(START_WORKER), "--check"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            env=child_environment(cache),
            creationflags=no_console(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Health(False, f"{python} did not answer within {seconds:.0f} s: choose another Python.")
    except OSError as error:
        return Health(False, f"{python} cannot be started ({error.strerror or error}): choose another Python.")
    return _health(python, answer.stdout)


def _health(python: Path, output: str) -> Health:
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("ok"), bool):
        return Health(False, f"{python} does not answer like a Python interpreter: choose another one.")
    if not found["ok"]:
        return Health(False, str(found.get("reason") or f"{python} cannot run the backend: choose another Python."))
    return Health(True, f"Ready: Python {found.get('python', '?')} on {found.get('device', '?')}.")


class HealthCheck:
    """Checks an interpreter in the background; the window asks `health` and never waits."""

    def __init__(self) -> None:
        self._python: Path | None = None
        self._health: Health | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def health(self) -> Health | None:
        """The last answer, or None while there is none."""
        return self._health

    def start(self, preferred: str, cache: Path | None) -> None:
        """Checks the interpreter that `find_interpreter` gives; what cannot even be found is answered at once."""
        self._health = None
        try:
            python = find_interpreter(preferred)
        except MachineError as error:
            self._python, self._health = None, Health(False, str(error))
            return
        self._python = python
        self._thread = threading.Thread(target=self._check, args=(python, cache), name="gen3d-check", daemon=True)
        self._thread.start()

    def _check(self, python: Path, cache: Path | None) -> None:
        health = check(python, cache)
        if python == self._python:  # else the user has chosen another meanwhile
            self._health = health
