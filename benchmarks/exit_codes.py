"""How a benchmark ends: with 0, or with a sentence and the exit code of what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from backend.errors import InputError, MachineError


def exit_code_of(work: Callable[[], None]) -> int:
    """0 after `work`; where that raises InputError or MachineError the error's code, its sentence on standard error."""
    try:
        work()
    except (InputError, MachineError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def print_all(lines: Iterable[str]) -> int:
    """Prints lines as they come; the code as `exit_code_of` has it."""

    def work() -> None:
        for line in lines:
            print(line, flush=True)

    return exit_code_of(work)
