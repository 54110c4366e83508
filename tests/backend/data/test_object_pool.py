"""Processes that work through the objects of a data set."""

from __future__ import annotations

import torch

from backend.data.object_pool import object_pool

SIZE = 1 << 20  # enough for torch to share the work among its threads


def _sum_of_every_other(start: int) -> int:
    return int(torch.arange(SIZE)[torch.arange(start, SIZE, 2)].sum())


def test_processes_finish_after_torch_has_used_its_threads_here():
    expected = [_sum_of_every_other(start) for start in (0, 1)]
    assert sum(expected) == SIZE * (SIZE - 1) // 2
    with object_pool(2) as pool:
        assert [
            future.result(timeout=60) for future in [pool.submit(_sum_of_every_other, s) for s in (0, 1)]
        ] == expected
