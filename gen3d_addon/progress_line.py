"""Progress on stderr, for runs without a window: one line that changes on a terminal, one line a stage in a log."""

from __future__ import annotations

import sys
from typing import TextIO

BAR_WIDTH = 24


class ProgressLine:
    """Called with (stage, fraction in [0, 1]); `end()` when the job is over."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._on_terminal = self._stream.isatty()
        self._stage = ""
        self._length = 0

    def __call__(self, stage: str, fraction: float) -> None:
        if self._on_terminal:
            filled = round(min(max(fraction, 0.0), 1.0) * BAR_WIDTH)
            text = f"{self._title}: {stage:<12} {'█' * filled}{'·' * (BAR_WIDTH - filled)}"
            self._write("\r" + text.ljust(self._length))
            self._length = len(text)
        elif stage != self._stage:
            self._write(f"{self._title}: {stage}\n")
        self._stage = stage

    def end(self) -> None:
        """Leave the terminal on a fresh line."""
        if self._on_terminal and self._length:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
