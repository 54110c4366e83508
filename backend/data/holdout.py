"""Which objects of a data set training leaves out, so that samples can be compared with real shapes it never saw."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

EVERY = 20
"""One object in so many of each class is held out; classes with fewer than half as many lose none."""


def held_out(records: Sequence[dict]) -> np.ndarray:
    """(n,) bool: True for the objects that training must not see. records: each with an `id` and a `class`.

    The order of a class is that of its ids' SHA-256, so neither the order of the records nor their number of faces,
    names or files changes the choice: two versions of a data set with the same ids hold out the same objects.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        members[record["class"]].append(index)
    chosen = np.zeros(len(records), bool)
    for indices in members.values():
        ordered = sorted(indices, key=lambda index: hashlib.sha256(records[index]["id"].encode()).digest())
        chosen[ordered[: round(len(ordered) / EVERY)]] = True
    return chosen
