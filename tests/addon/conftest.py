"""The add-on as a package, from this checkout, and a worker that needs no model."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
PATIENCE_SECONDS = 300.0  # a limit for hangs; a busy machine needs a fraction of it


def load_addon() -> ModuleType:
    """The package `gen3d`, made by the add-on's own loader."""
    if "gen3d" not in sys.modules:
        path = ROOT / "gen3d_addon" / "headless.py"
        spec = importlib.util.spec_from_file_location("gen3d_loader_for_tests", path)
        assert spec is not None and spec.loader is not None
        loader = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loader)
        loader.load_addon()
    return sys.modules["gen3d"]


@pytest.fixture(scope="session")
def addon() -> Callable[[str], Any]:
    """`addon("jobs")` is the module gen3d.jobs."""
    load_addon()
    return lambda name: importlib.import_module(f"gen3d.{name}")


@pytest.fixture
def start_fake_worker(addon: Callable[[str], Any]) -> Iterator[Callable[..., Any]]:
    """Starts real worker processes whose task is the test's; see fake_worker.py. All are ended afterwards."""
    started: list[Any] = []

    def start(script: Path = FAKE_WORKER, **options: Any) -> Any:
        client = addon("worker_client").WorkerClient(
            options.pop("python", Path(sys.executable)), script, environment=dict(os.environ), **options
        )
        started.append(client)
        return client

    yield start
    for client in started:
        client.close()


@pytest.fixture
def session(addon: Callable[[str], Any], start_fake_worker: Callable[..., Any]) -> Iterator[Any]:
    """The registered add-on in an empty file, its queue served by fake workers. Timers do not run: call tick()."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    registration = addon("registration")
    module = addon("session")
    registration.register()
    try:
        module.current().queue.start_worker = start_fake_worker
        yield module.current()
    finally:
        registration.unregister()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Waits, patiently, for something to become true."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    return wait
