"""What compiled kernels say of sixteen numbers at a time, against NumPy."""

import numpy as np

from backend.kernels.compiled import compiled
from backend.kernels.lanes import (
    LANES,
    bits_below,
    bits_up_to,
    everywhere,
    greater,
    greatest_of,
    least_of,
    lesser,
    load,
    lowest_bit,
    root_of,
    store,
    where_less,
)

TWO = np.float32(2)


@compiled
def _every_operation(given, results):  # type: ignore[no-untyped-def]
    a, b = load(given, (0, 0)), load(given, (1, 0))
    store(results, (0, 0), a * b + a - TWO)
    store(results, (1, 0), TWO - everywhere(given[0, 0]))
    store(results, (2, 0), lesser(a, b))
    store(results, (3, 0), greater(a, TWO))
    store(results, (4, 0), where_less(a, b, TWO, a))
    store(results, (5, 0), root_of(a * a))
    return least_of(a), greatest_of(a), bits_below(a, b), bits_up_to(a, b), lowest_bit(bits_below(a, b))


def test_lanes_compute_what_numpy_does() -> None:
    given = np.random.default_rng(0).normal(size=(2, LANES)).astype(np.float32)
    given[1, 3] = given[0, 3]
    a, b = given
    results = np.empty((6, LANES), np.float32)
    least, greatest, below, up_to, lowest = _every_operation(given, results)
    expected = [
        a * b + a - 2,
        np.full(LANES, 2 - a[0]),
        np.minimum(a, b),
        np.maximum(a, 2),
        np.where(a < b, 2, a),
        np.abs(a),
    ]
    np.testing.assert_allclose(results, np.stack(expected), rtol=1e-5, atol=1e-6)
    assert (least, greatest) == (a.min(), a.max())
    assert below == sum(1 << int(lane) for lane in np.flatnonzero(a < b))
    assert up_to == below | 1 << 3
    assert lowest == np.flatnonzero(a < b)[0]
