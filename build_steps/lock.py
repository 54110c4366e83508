"""One process at a time in a folder, given back by the operating system when its holder dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RETRY_SECONDS = 0.2

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock of this file; prints `waiting` once on standard error if another process has it."""
    with open(path, "a") as file:
        told = False
        while True:
            try:
                _try_lock(file.fileno())
                break
            except (BlockingIOError, PermissionError):
                if not told:
                    print(f"{waiting} …", file=sys.stderr)
                    told = True
                time.sleep(RETRY_SECONDS)
        yield
