"""Fair comparisons: rivals take turns in one process, and the median of each counts."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SETTLING = 0.02
"""Seconds: OpenMP's threads spin for milliseconds after their work, on a core that the next rival needs."""


@dataclass(frozen=True)
class Bar:
    """A ratio that was promised: what it is of, what was measured, what was promised, and on which side it must lie."""

    what: str
    ratio: float
    promised: float
    at_least: bool = True

    def __str__(self) -> str:
        met = self.ratio >= self.promised if self.at_least else self.ratio <= self.promised
        sign = "≥" if self.at_least else "≤"
        return f"{'met   ' if met else 'MISSED'}  {self.ratio:7.2f} ({sign} {self.promised:g})  {self.what}"


def medians(rivals: Mapping[str, Callable[[], object]], *, rounds: int = 7, seconds: float = 20.0) -> dict[str, float]:
    """Median wall-clock seconds of each rival after a call to warm up; a rival stops once it took `seconds` in all.

    A rival whose calls are short is called again and again in its turn, until nothing of the one before it runs on.
    """
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for round_number in range(rounds + 1):
        for name, run in rivals.items():
            if sum(taken[name]) > seconds:
                continue
            spent = _last_call(run)
            if round_number > 0 or spent > seconds / 2:
                taken[name].append(spent)
    return {name: statistics.median(times) for name, times in taken.items()}


def _last_call(run: Callable[[], object]) -> float:
    """Seconds of the last of as many calls as fit into the time to settle, or of the only one."""
    start = time.perf_counter()
    while True:
        begin = time.perf_counter()
        run()
        end = time.perf_counter()
        if end - start > SETTLING:
            return end - begin
