"""What training leaves out."""

from __future__ import annotations

import numpy as np

from backend.data.holdout import held_out


def records_of(counts: dict[str, int]) -> list[dict]:
    return [{"id": f"{name}{number}", "class": name} for name, count in counts.items() for number in range(count)]


def test_each_class_gives_one_in_twenty_and_rare_classes_none() -> None:
    records = records_of({"chair": 200, "table": 41, "plane": 9})
    chosen = held_out(records)
    classes = np.array([record["class"] for record in records])
    assert chosen.dtype == bool
    assert [int(chosen[classes == name].sum()) for name in ("chair", "table", "plane")] == [10, 2, 0]


def test_the_choice_is_the_objects_own_and_not_the_orders() -> None:
    records = records_of({"chair": 100, "table": 60})
    order = np.random.default_rng(0).permutation(len(records))
    chosen = {record["id"] for record, out in zip(records, held_out(records), strict=True) if out}
    shuffled = [records[index] | {"name": "renamed"} for index in order]
    assert chosen == {record["id"] for record, out in zip(shuffled, held_out(shuffled), strict=True) if out}
    assert chosen != {record["id"] for record in records_of({"chair": 5, "table": 3})}  # not simply the first ones


def test_a_choice_once_made_stays() -> None:
    """Figures against the held-out shapes hold only while they are the ones that the published weights never saw."""
    records = records_of({"lamp": 60})
    chosen = [record["id"] for record, out in zip(records, held_out(records), strict=True) if out]
    assert chosen == ["lamp3", "lamp31", "lamp58"]
