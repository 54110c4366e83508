from __future__ import annotations

from backend.models.shape_space import ShapeSpace
from benchmarks import shape_space_speed


def test_every_prompt_is_timed_in_both_ways() -> None:
    rows = shape_space_speed.measure(ShapeSpace.load(), ["a mug"])
    assert [len(times) for times in rows.values()] == [1, 1] and all(times[0] > 0 for times in rows.values())


def test_the_table_has_medians_and_longest() -> None:
    table = shape_space_speed.table({"made": [3.0, 1.0, 2.5]})
    assert table.splitlines()[-1] == "| made | 2.50 | 3.00 |"
