"""One pool of threads for serial kernels that release the interpreter's lock.

Every call brings its own worker (the calling thread), so calls from several threads, calls from inside a running kernel
and calls after a fork all finish; OpenMP's threads would not survive the fork.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import torch

Work = Callable[[int, int], None]
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def thread_count() -> int:
    """How many threads a kernel may use: as many as torch does (`torch.set_num_threads`)."""
    return torch.get_num_threads()


def parallel_for(work: Work, count: int, grain: int = 1) -> None:
    """Call work(start, stop) over ranges that cover range(count), on several threads, and wait for all of them.

    grain: the smallest range worth a call. Ranges are handed out as threads become free, so uneven ones balance.
    An exception in any range is raised here after the running ranges have ended.
    """
    parallel_for_with(lambda: work, count, grain)


def parallel_for_with(prepare: Callable[[], Work], count: int, grain: int = 1) -> None:
    """`parallel_for` with work that `prepare` makes anew for each thread, so that each has its own room to work in."""
    threads = thread_count()
    step = max(grain, -(-count // (4 * threads))) if threads > 1 else max(count, 1)
    ranges = deque((start, min(start + step, count)) for start in range(0, count, step))
    helpers = min(threads, len(ranges)) - 1
    if helpers < 1:
        _drain(prepare, ranges)
        return
    futures = [_shared_pool().submit(_drain, prepare, ranges) for _ in range(helpers)]
    try:
        _drain(prepare, ranges)
    finally:
        ranges.clear()
        running = [future for future in futures if not future.cancel()]
        failures = [failure for future in running if (failure := future.exception())]
    if failures:
        raise failures[0]


def parallel_for_each(works: list[tuple[Work, int]], grain: int = 1) -> None:
    """`parallel_for` over several pieces of work with their counts, which share the threads."""
    ends = list(accumulate(count for _, count in works))

    def work_on(start: int, stop: int) -> None:
        for (work, count), end in zip(works, ends, strict=True):
            first, last = max(start, end - count), min(stop, end)
            if first < last:
                work(first - end + count, last - end + count)

    parallel_for(work_on, ends[-1], grain)


def _drain(prepare: Callable[[], Work], ranges: deque[tuple[int, int]]) -> None:
    """Take ranges until none is left; a deque's popleft is atomic, so each range is taken once."""
    work = prepare()
    while ranges:
        try:
            start, stop = ranges.popleft()
        except IndexError:  # another thread took the last one
            return
        work(start, stop)


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            workers = max(thread_count(), os.cpu_count() or 1)
            _pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="gen3d-kernel")
        return _pool


def _forget_pool() -> None:
    """A forked child has none of its parent's threads: it must make its own."""
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
