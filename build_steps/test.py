"""`build.py test`: lint, formatting, types and every test that this machine can run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import environment
from .blender import find_blender
from .extension import stage
from .paths import OUTPUT, REPOSITORY
from .processes import run, run_quietly

TYPED_COPY = OUTPUT / "typecheck" / "gen3d"


@dataclass(frozen=True)
class Check:
    """One part of the tests; `run` returns an exit code."""

    name: str
    run: Callable[[], int]


def test(pytest_arguments: Sequence[str]) -> int:
    """Run every check, also after one has failed; returns 0 when all passed, else 1.

    With arguments for pytest (a file, -k …) only pytest runs.
    """
    python = environment.prepare(environment.TEST)
    settings = test_settings(find_blender(), python)
    tests = Check("tests", lambda: run([python, "-m", "pytest", *pytest_arguments], settings=settings))
    checks = [
        Check("lint", lambda: run([python, "-m", "ruff", "check", "--quiet"])),
        Check("formatting", lambda: run([python, "-m", "ruff", "format", "--check", "--quiet"])),
        Check("types", lambda: check_types(python)),
        tests,
    ]
    failed = [check.name for check in ([tests] if pytest_arguments else checks) if check.run() != 0]
    print(f"Failed: {', '.join(failed)}." if failed else "Everything passed.")
    return 1 if failed else 0


def test_settings(blender: Path | None, python: Path) -> dict[str, str]:
    """Environment variables for the tests: which Blender to start, and which Python its worker runs on."""
    found = {"GEN3D_BLENDER": str(blender)} if blender else {}
    return found | {"GEN3D_PYTHON": str(python)}


def check_types(python: Path) -> int:
    """mypy over the extension as Blender sees it (its modules and `backend` in one package) and over build_steps.

    bpy's types come from fake-bpy-module.
    """
    stage(TYPED_COPY, weights=False)
    command = [str(python), "-m", "mypy", "--no-error-summary", "-p", "gen3d", "-p", "build_steps"]
    code, output = run_quietly(command, "Checking types", settings={"MYPYPATH": str(TYPED_COPY.parent)})
    print(as_in_checkout(output), end="")
    return code


def as_in_checkout(output: str) -> str:
    """mypy's output with the paths of the files that the staged ones are copies of."""
    copy = re.escape(TYPED_COPY.relative_to(REPOSITORY).as_posix())
    return re.sub(rf"(?m)^{copy}/(?!backend/)", "gen3d_addon/", re.sub(rf"(?m)^{copy}/backend/", "backend/", output))
