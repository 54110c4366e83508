"""Running one of the project's own programs by its short name: `build.py train …` and `build.py bench …`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from . import environment
from .failure import BAD_ARGUMENTS, StepFailed
from .paths import REPOSITORY
from .processes import run

SHAPE_SPACE = "shape_space"
"""The training that makes all that the four tasks share."""


def programs_in(folder: Path) -> list[str]:
    """The modules of a folder that can be run as a program, by name."""
    return [path.stem for path in sorted(folder.glob("*.py")) if _is_program(path)]


def _is_program(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body)


def train(name: str, arguments: Sequence[str]) -> int:
    """`python -m backend.training.<name> …` in the environment; returns its exit code."""
    return _run_program("backend.training", name, arguments, environment.TRAIN)


def bench(name: str, arguments: Sequence[str]) -> int:
    """`python -m benchmarks.<name> …` in the environment; returns its exit code."""
    return _run_program("benchmarks", name, arguments, environment.BENCH)


def _run_program(package: str, name: str, arguments: Sequence[str], requirements: Sequence[str]) -> int:
    known = programs_in(REPOSITORY.joinpath(*package.split(".")))
    if name not in known:
        raise StepFailed(f"There is no {name} in {package}: choose one of {', '.join(known)}.", BAD_ARGUMENTS)
    python = environment.prepare(requirements)
    return run([python, "-m", f"{package}.{name}", *arguments])
