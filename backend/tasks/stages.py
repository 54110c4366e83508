"""Where a task stands: reports progress, keeps each stage's time, and is where a cancel takes effect."""

from __future__ import annotations

import time

from ..progress import IsCancelled, Progress, check_cancelled


class Stages:
    """A `Progress` that tasks, models and meshing report to.

    Every report first asks for a cancel (and raises Cancelled), then goes on to the listener. A report of another
    stage than the last one ends that one's time.
    """

    def __init__(self, progress: Progress | None, cancelled: IsCancelled | None) -> None:
        self._progress = progress
        self._cancelled = cancelled
        self._timings: dict[str, float] = {}
        self._stage: str | None = None
        self._since = 0.0

    def __call__(self, stage: str, fraction: float, /) -> None:
        check_cancelled(self._cancelled)
        self._enter(stage)
        if self._progress is not None:
            self._progress(stage, min(max(fraction, 0.0), 1.0))

    def timings(self) -> dict[str, float]:
        """Stage → seconds so far, in the order in which the stages were entered."""
        self._enter(self._stage)
        return dict(self._timings)

    def _enter(self, stage: str | None) -> None:
        now = time.perf_counter()
        if self._stage is not None:
            self._timings[self._stage] = self._timings.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
