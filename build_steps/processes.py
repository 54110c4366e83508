"""Other programs: started without surprises from the caller's environment, ended when build.py is."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from .failure import CANCELLED
from .paths import REPOSITORY
from .waiting_bar import WaitingBar

# These would point our interpreter at somebody else's packages, or pip at a place outside the environment.
FOREIGN_SETTINGS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_ROOT",
    "__PYVENV_LAUNCHER__",
)
SECONDS_TO_OBEY = 5.0


def clean_environment(additions: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment variables without those that would mix other packages into ours."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_SETTINGS}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"} | dict(additions or {})


@contextmanager
def _ended_with_us(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # Ctrl-C in a terminal has reached the process as well, so it is first given time to end by itself.
        for ask in (lambda: None, process.terminate):
            ask()
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_OBEY)
        process.kill()
        process.wait()
        raise


def _exit_code(process: subprocess.Popen[str]) -> int:
    """A process that Ctrl-C ended cancels build.py too."""
    if process.returncode in (CANCELLED, -signal.SIGINT):
        raise KeyboardInterrupt
    return process.returncode


def run(command: Sequence[str | Path], *, settings: Mapping[str, str] | None = None, silent: bool = False) -> int:
    """Run a command on this terminal; returns its exit code. silent: without its standard output, errors still show."""
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=REPOSITORY,
        env=clean_environment(settings),
        stdout=subprocess.DEVNULL if silent else None,
        text=True,
    )
    with _ended_with_us(process):
        process.wait()
    return _exit_code(process)


def run_quietly(
    command: Sequence[str | Path],
    label: str,
    *,
    describe: Callable[[str], str | None] = lambda line: None,
    settings: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command behind a waiting bar; returns its exit code and all that it printed.

    describe: makes of a printed line what the bar shows of it, or None to leave the bar as it is.
    """
    with WaitingBar(label) as bar:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=REPOSITORY,
            env=clean_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        lines = []
        with _ended_with_us(process):
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if shown := describe(line):
                    bar.say(shown)
            process.wait()
    return _exit_code(process), "".join(lines)


def end_on_terminate() -> None:
    """Treat a polite request to end (SIGTERM) as Ctrl-C, so that no half-done child goes on without us."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
