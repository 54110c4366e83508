"""Benchmarks end with what went wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.errors import InputError, MachineError
from benchmarks.exit_codes import exit_code_of, print_all


@pytest.mark.parametrize("kind", [InputError, MachineError])
def test_an_error_is_a_sentence_and_its_code_after_the_lines_that_came(kind, capsys) -> None:
    def lines() -> Iterator[str]:
        yield "one"
        raise kind("No such data.")

    assert print_all(lines()) == kind.exit_code != 0
    told = capsys.readouterr()
    assert told.out == "one\n" and told.err == "No such data.\n"


def test_what_goes_well_ends_with_0_and_what_is_unforeseen_is_raised() -> None:
    assert print_all(["one", "two"]) == 0

    def broken() -> None:
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        exit_code_of(broken)
