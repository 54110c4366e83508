"""How far a job is and how long it will still take, from the stages that it has gone through so far.

Stages differ in length by an order of magnitude, so a plain mean of their fractions would crawl and then jump. Each
stage has an expected duration: at first a guess for two CPU cores, then what the last finished job really took.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .backend.progress import STAGES

FIRST_GUESS_SECONDS = {"Loading": 8.0, "Sampling": 4.0, "Extracting": 1.0, "Simplifying": 0.6, "Texturing": 2.0}
OPTIMIZING = {"Sampling": 25.0, "Fitting": 120.0}
"""What a method that optimises takes longer for, or besides."""


@dataclass
class TimeLeft:
    """Follows one job at a time; keeps what it learned for the next one."""

    expected: dict[str, float] = field(default_factory=lambda: dict(FIRST_GUESS_SECONDS))
    _task: str = ""
    _of_task: dict[str, dict[str, float]] = field(default_factory=dict)
    stage: str = ""
    fraction: float = 0.0
    _elapsed: float = 0.0
    _stage_began: float = 0.0
    _skipped: set[str] = field(default_factory=set)

    def begin(self, *, warm: bool, task: str = "", optimized: bool = False) -> None:
        """A job starts; what is learned of it counts for others of its task (and method, where that name has both).

        A warm worker holds the model already, so "Loading" counts for nothing.
        """
        self.stage, self.fraction, self._elapsed, self._stage_began = "", 0.0, 0.0, 0.0
        if task != self._task:
            self._of_task[self._task] = self.expected
            self.expected = self._of_task.get(task, FIRST_GUESS_SECONDS | (OPTIMIZING if optimized else {}))
            self._task = task
        self._skipped = {"Loading"} if warm else set()

    def update(self, stage: str, fraction: float, elapsed: float) -> None:
        """`stage` is `fraction` (0–1) done, `elapsed` seconds after the job's start."""
        if stage != self.stage:  # one whose start was not announced began when the one before it was heard of last
            self.stage, self._stage_began = stage, elapsed if fraction == 0.0 else self._elapsed
        self.fraction = min(max(fraction, 0.0), 1.0)
        self._elapsed = elapsed

    def learn(self, timings: Mapping[str, float]) -> None:
        """Takes the real duration of each stage (seconds) from a finished job."""
        for stage in STAGES:
            seconds = timings.get(stage, 0.0)
            if seconds > 0.0:
                self.expected[stage] = seconds

    def seconds_left(self, elapsed: float) -> float:
        """Estimated seconds from `elapsed` seconds after the job's start to its end; never negative."""
        in_stage = max(elapsed - self._stage_began, 0.0)
        expected = self._expected(self.stage)
        if self.fraction > 0.1:  # from here on, the stage's own pace says more than the last job's
            expected = max(self._elapsed - self._stage_began, 0.0) / self.fraction
        return max(expected - in_stage, 0.0) + sum(self._expected(stage) for stage in self._later())

    def overall(self) -> float:
        """The whole job's share that is done, 0–1, for a progress bar."""
        total = sum(self._expected(stage) for stage in STAGES)
        if self.stage not in STAGES or total <= 0.0:
            return 0.0
        later = sum(self._expected(stage) for stage in self._later())
        here = self._expected(self.stage)
        return min(max((total - later - here * (1.0 - self.fraction)) / total, 0.0), 1.0)

    def _expected(self, stage: str) -> float:
        return 0.0 if stage in self._skipped else self.expected.get(stage, 0.0)

    def _later(self) -> tuple[str, ...]:
        return STAGES[STAGES.index(self.stage) + 1 :] if self.stage in STAGES else STAGES


def in_words(seconds: float) -> str:
    """A duration as a person says it: "4 s", "1 min 20 s"."""
    whole = max(round(seconds), 1)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
