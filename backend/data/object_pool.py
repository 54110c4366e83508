"""Processes that work through the objects of a data set."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

import torch


def object_pool(processes: int | None = None) -> ProcessPoolExecutor:
    """A pool of so many processes, one for each core unless said otherwise, each of which uses one thread.

    More threads would not only get in each other's way: a forked process has none of its parent's, and an operation of
    torch's that hands work to them waits for ever.
    """
    return ProcessPoolExecutor(processes or os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,))
