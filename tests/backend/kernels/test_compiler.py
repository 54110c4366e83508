"""Compiled functions against the same functions run by Python, and what they refuse."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.kernels import compiled as compiled_module
from backend.kernels.compiled import Compiled, compiled, compiled_exactly
from backend.kernels.compiler import native
from backend.kernels.compiler.values import CompileError

ONE = np.float32(1)
TABLE = np.arange(6, dtype=np.int32).reshape(2, 3) ** 2


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(native.CACHE_VARIABLE, str(tmp_path))
    return tmp_path


@compiled
def _whole_numbers(a, b):  # type: ignore[no-untyped-def]
    return a // b, a % b, a // 8, a % 8, a >> 2, a << 3, a ^ b, a & b, a | b, -a, abs(a), min(a, b, 3), max(a, b)


@compiled_exactly
def _real_numbers(a, b):  # type: ignore[no-untyped-def]
    inside = 0.0 < a <= b or a == -1.5
    return (
        a / b, a * 2, a**2 + 1, int(a), np.floor(a), np.ceil(a), np.rint(a), abs(a), np.sqrt(abs(a)), np.arctan2(a, b),
        a if a < b else b, float(int(b)), inside and not a > b, -a, 7 / 2,
    )  # fmt: skip


@compiled
def _collatz(n):  # type: ignore[no-untyped-def]
    steps = 0
    while True:
        if n == 1:
            break
        steps += 1
        if n % 2 == 1:
            n = 3 * n + 1
            continue
        n //= 2
    return steps


@compiled
def _squared(x):  # type: ignore[no-untyped-def]
    return x * x, x


@compiled
def _loops(numbers, flags, results):  # type: ignore[no-untyped-def]
    room = np.empty((2, 3), np.int64)
    total, count = 0.0, 0
    for value in numbers[1:4]:
        square, _ = _squared(value)
        total += square
    for i in range(5, -1, -2):
        count = 10 * count + i
    for i in range(2):
        for j in range(room.shape[1]):
            room[i, j] = TABLE[i, j] + i
    row = room[1]
    row[2] += 1
    results[:] = 7.5
    results[1, :2] = total
    flags[0] = flags[0] != (count > 0)
    count += flags[0]
    return total, count, room[1, 2], len(numbers), flags[0]


@pytest.mark.parametrize("a", [-17, -8, 0, 5, 1 << 40])
@pytest.mark.parametrize("b", [-3, 1, 4])
def test_whole_numbers_are_calculated_as_python_does(a: int, b: int) -> None:
    assert _whole_numbers(a, b) == _whole_numbers.function(a, b)


@pytest.mark.parametrize("a", [-1.5, -0.25, 0.5, 2.5, 1e9])
def test_real_numbers_are_calculated_as_python_does(a: float) -> None:
    expected = _real_numbers.function(a, 1.25)
    found = _real_numbers(a, 1.25)
    assert found == pytest.approx(expected, rel=1e-15)
    assert [type(value) for value in found] == [float] * 3 + [int] + [float] * 8 + [bool] + [float] * 2


def test_loops_and_branches_run_as_in_python() -> None:
    assert [_collatz(n) for n in range(1, 30)] == [_collatz.function(n) for n in range(1, 30)]


def test_arrays_slices_tables_and_calls() -> None:
    numbers, results = np.arange(5, dtype=np.float32), np.zeros((2, 3))
    flags, expected = np.array([False]), np.zeros((2, 3))
    found = _loops(numbers, flags, results)
    assert found == _loops.function(numbers, np.array([False]), expected) == (14.0, 532, 27, 5, True)
    np.testing.assert_array_equal(results, expected)
    assert flags[0]


def test_numbers_of_32_bits_stay_so_beside_literals() -> None:
    @compiled_exactly
    def third(x):  # type: ignore[no-untyped-def]
        return x / 3, ONE / 3

    assert third(np.float32(1)) == (float(np.float32(1) / np.float32(3)),) * 2


def test_work_on_a_range_is_prepared_once() -> None:
    @compiled
    def fill(array, value, first, last):  # type: ignore[no-untyped-def]
        for i in range(first, last):
            array[i] = value

    array = np.zeros(6, np.int32)
    work = fill.on(array, 3)
    work(1, 2)
    work(4, 6)
    assert array.tolist() == [0, 3, 0, 0, 3, 3]


def _uses_a_list(x):  # type: ignore[no-untyped-def]
    return [x]


def _changes_its_type(x):  # type: ignore[no-untyped-def]
    a = 1
    a = x
    return a


def _counts_from_the_end(x):  # type: ignore[no-untyped-def]
    return TABLE[0, -1] + x


def _takes_a_size(x):  # type: ignore[no-untyped-def]
    a = np.empty(int(x))
    return len(a)


def _prints(x):  # type: ignore[no-untyped-def]
    print(x)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (_uses_a_list, "List is not part of the language"),
        (_changes_its_type, "the variable was int64 before and cannot become float64"),
        (_counts_from_the_end, "indices do not count from the end"),
        (_takes_a_size, "take larger arrays as arguments"),
        (_prints, "print cannot be called here"),
    ],
)
def test_what_is_no_part_of_the_language_is_named_with_its_place(function: Any, complaint: str) -> None:
    with pytest.raises(CompileError, match=re.escape(complaint)) as caught:
        compiled(function)(1.5)
    line = function.__code__.co_firstlineno
    place = re.match(re.escape(__file__) + r":(\d+): ", str(caught.value))
    assert place and line < int(place[1]) <= line + 3


def test_arguments_that_it_cannot_take_are_refused() -> None:
    with pytest.raises(TypeError, match="not str"):
        _collatz("7")
    with pytest.raises(TypeError, match="not complex128"):
        _collatz(np.zeros(2, complex))
    with pytest.raises(TypeError, match="contiguous"):
        _loops(np.arange(10, dtype=np.float32)[::2], np.array([False]), np.zeros((2, 3)))
    with pytest.raises(CompileError, match="takes 1 arguments, not 2"):
        _collatz(1, 2)


def _again(kernel: Compiled) -> Compiled:
    """As another process would find it."""
    return Compiled(kernel.function, kernel.fast_math)


def test_kept_code_is_used_until_a_source_changes_or_it_is_damaged(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[str] = []
    original = native.Processor.object_code

    def object_code(self: native.Processor, assembly: str) -> bytes:
        made.append(assembly)
        return original(self, assembly)

    monkeypatch.setattr(native.Processor, "object_code", object_code)
    monkeypatch.setattr(compiled_module, "_said", False)
    with caplog.at_level(logging.WARNING):
        assert _again(_collatz)(6) == _again(_collatz)(6) == 8
    assert len(made) == 1
    assert caplog.text.count("Compiling the point-cloud kernels") == 1

    (kept,) = own_cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert _again(_collatz)(6) == 8
    assert len(made) == 2

    monkeypatch.setattr(compiled_module, "sources_digest", lambda: b"another source")
    assert _again(_collatz)(6) == 8
    assert len(made) == 3
    assert len(list(own_cache.iterdir())) == 1, "outdated code is removed"


def test_code_that_cannot_be_kept_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(native.CACHE_VARIABLE, str(tmp_path / "file" / "folder"))
    with caplog.at_level(logging.WARNING):
        assert _again(_collatz)(6) == 8
    assert "the next start compiles again" in caplog.text


def test_the_digest_covers_every_source_of_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "KERNELS", tmp_path)
    (tmp_path / "compiler").mkdir()
    digests = set()
    for text in ("a", "b"):
        (tmp_path / "compiler" / "values.py").write_text(text)
        digests.add(native.sources_digest.__wrapped__())
    assert len(digests) == 2
