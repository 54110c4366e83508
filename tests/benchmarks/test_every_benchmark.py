"""Every benchmark can be started: what it takes from other modules is there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import benchmarks

NAMES = sorted(path.stem for path in Path(benchmarks.__path__[0]).glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_its_module_loads(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")
