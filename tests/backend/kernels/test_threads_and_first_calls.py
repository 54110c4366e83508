"""Kernels called from several threads, from forked children, on other devices and for the first time."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch

import backend.kernels
from backend.kernels import devices, earth_movers_distance, nearest_neighbors, soft_chamfer_distance
from backend.kernels.threads import parallel_for, parallel_for_with
from tests.backend.kernels.cloud_reference import clouds

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def three_threads():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_every_range_is_worked_on_once(three_threads: None) -> None:
    seen = [0] * 1000

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            seen[i] += 1

    for count in (0, 1, 2, 7, 1000):
        seen[:] = [0] * 1000
        parallel_for(work, count)
        assert seen == [1] * count + [0] * (1000 - count)


def test_no_two_threads_share_the_room_that_is_prepared(three_threads: None) -> None:
    rooms: list[list[int]] = []
    users: list[set[int]] = []

    def prepare():  # type: ignore[no-untyped-def]
        room, threads = [], set()
        rooms.append(room)
        users.append(threads)

        def work(start: int, stop: int) -> None:
            threads.add(threading.get_ident())
            room.extend(range(start, stop))

        return work

    parallel_for_with(prepare, 1000)
    assert sorted(place for room in rooms for place in room) == list(range(1000))
    assert all(len(threads) <= 1 for threads in users)


def test_an_error_in_a_range_reaches_the_caller(three_threads: None) -> None:
    def work(start: int, stop: int) -> None:
        if start <= 500 < stop:
            raise ArithmeticError("range 500")

    with pytest.raises(ArithmeticError, match="range 500"):
        parallel_for(work, 1000)


def test_loops_inside_loops_finish(three_threads: None) -> None:
    counts: list[int] = []

    def outer(start: int, stop: int) -> None:
        for _ in range(start, stop):
            parallel_for(lambda first, last: counts.extend(range(first, last)), 10)

    parallel_for(outer, 50)
    assert len(counts) == 500


def matched(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return earth_movers_distance(source[:, :300], target[:, :300]).assignment


def nearest(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nearest_neighbors(source, target)[1]


def softly(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return soft_chamfer_distance(source, target, 0.01, reduction="none")


@pytest.mark.parametrize("operation", [nearest, matched, softly])
def test_calls_from_several_threads_agree(three_threads: None, operation) -> None:  # type: ignore[no-untyped-def]
    source, target = clouds("surface", 2000), clouds("surface", 2000, seed=1)
    expected = operation(source, target)
    results: list[torch.Tensor] = []
    callers = [threading.Thread(target=lambda: results.append(operation(source, target))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 6
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system does not fork")
@pytest.mark.parametrize("operation", [nearest, matched, softly])
def test_a_forked_child_computes_the_same(three_threads: None, operation) -> None:  # type: ignore[no-untyped-def]
    source, target = clouds("surface", 2000), clouds("surface", 2000, seed=1)
    expected = operation(source, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking with threads
        child = os.fork()
    if child == 0:
        same = False
        try:
            same = torch.equal(operation(source, target), expected)
        finally:
            os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_other_devices_fall_back_with_one_warning() -> None:
    devices._warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            assert devices.computing_device(torch.device("mps")) == torch.device("cpu")
    assert len(caught) == 1
    assert "compute on the CPU for tensors on 'mps'" in str(caught[0].message)


def test_importing_the_package_loads_no_compiler() -> None:
    code = "import sys, backend.kernels; sys.exit(bool({'llvmlite', 'torch', 'warp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_operation_is_found_by_name() -> None:
    for name in backend.kernels.__all__:
        assert callable(getattr(backend.kernels, name))
    with pytest.raises(AttributeError, match="no operation 'sinkhorn'"):
        backend.kernels.sinkhorn  # noqa: B018


def test_the_first_call_says_what_takes_the_time_and_the_second_process_does_not(tmp_path: Path) -> None:
    code = (
        "import torch; from backend.kernels.nearest_cpu import add_gradient; import numpy as np;"
        "z = np.zeros((1, 1, 3), np.float32);"
        "add_gradient(z, z, np.zeros((1, 1, 1), np.int64), np.ones((1, 1, 1), np.float32), np.ones(1, np.int64), z, z)"
    )
    environment = {**os.environ, "GEN3D_KERNEL_CACHE": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stderr
        for _ in range(2)
    ]
    assert said[0].count("Compiling the point-cloud kernels") == 1
    assert said[1] == ""
