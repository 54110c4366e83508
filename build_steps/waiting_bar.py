"""A bar for work of unknown length: it moves, tells the time that has passed, and what is being done."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

WIDTH = 20
BLOCK = 5
REDRAW_SECONDS = 0.1
LINE_SECONDS = 15.0  # where there is no terminal, one line in a while keeps a log readable


def clock(seconds: float) -> str:
    """Minutes and seconds, as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def moving_bar(tick: int) -> str:
    """A block that runs to and fro between two brackets; `tick` counts redraws."""
    room = WIDTH - BLOCK
    place = room - abs(room - tick % (2 * room))
    return "[" + " " * place + "#" * BLOCK + " " * (room - place) + "]"


class WaitingBar:
    """Shown on standard error for as long as the `with` block runs. `say` sets what is being done."""

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self.label = label
        self._stream = stream or sys.stderr
        self._detail = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def say(self, detail: str) -> None:
        self._detail = detail

    def __enter__(self) -> WaitingBar:
        self._started = time.monotonic()
        if not self._stream.isatty():
            self._write(f"{self.label} …\n")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        line = f"{self.label}: {clock(time.monotonic() - self._started)}"
        self._write(f"\r{line.ljust(self._columns())}\n" if self._stream.isatty() else f"{line}\n")

    def _draw(self) -> None:
        terminal = self._stream.isatty()
        tick = 0
        while not self._ended.wait(REDRAW_SECONDS if terminal else LINE_SECONDS):
            passed = clock(time.monotonic() - self._started)
            if terminal:
                columns = self._columns()
                line = f"{self.label} {moving_bar(tick)} {passed}  {self._detail}"
                self._write("\r" + line[:columns].ljust(columns))
                tick += 1
            else:
                self._write(f"{self.label} … {passed}  {self._detail}\n")

    def _columns(self) -> int:
        return shutil.get_terminal_size().columns - 1

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"  # a stream in memory has none
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
