"""The assignment problem between two point clouds by auction with ε-scaling (D. P. Bertsekas, 1988), on the CPU.

Points of a bid for points of b. A bidder looks at all of b only now and then: it keeps the few best targets with the
value up to which that list is complete. Prices only rise, so the list stays right until its second best passes that
value. Looking at all of b is one vectorised pass; costs are computed, never stored as a matrix.
"""

import numpy as np

from .compiled import compiled
from .threads import parallel_for

ROWS = 8  # targets are laid out in 8 rows, so that a minimum by column needs no reduction across lanes
KEPT = 32  # the most targets that a bidder remembers
FEWEST = 10  # the width of the list's values is steered to lists between these sizes
PLENTY = 24
UNREACHABLE = np.float32(3e38)
LARGE = np.float32(np.inf)
FIRST_STEP = 0.05  # the first eps, in mean costs of the pairs as given
SHRINK = 8.0  # the largest step from one eps to the next
FLOAT32_STEP = 2.0**-21  # four rounding errors: no bid raises a price by less than this share of the largest value


@compiled
def _look_at_all(  # type: ignore[no-untyped-def]
    x, y, z, plain, target, price, value, column, width, kept_target, kept_cost, fewest
):
    """List targets whose cost plus price is within `width` of the best: returns (count, complete up to, new width)."""
    columns = price.shape[1]
    for c in range(columns):
        column[c] = LARGE
    for r in range(ROWS):
        if plain:
            for c in range(columns):
                dx, dy, dz = target[0, r, c] - x, target[1, r, c] - y, target[2, r, c] - z
                v = np.sqrt(dx * dx + dy * dy + dz * dz) + price[r, c]
                value[r, c] = v
                column[c] = min(column[c], v)
        else:
            for c in range(columns):
                dx, dy, dz = target[0, r, c] - x, target[1, r, c] - y, target[2, r, c] - z
                v = dx * dx + dy * dy + dz * dz + price[r, c]
                value[r, c] = v
                column[c] = min(column[c], v)
    best = LARGE
    for c in range(columns):
        best = min(best, column[c])
    tries = 0
    while True:
        limit = best + width
        count = 0
        for c in range(columns):
            if column[c] <= limit:
                for r in range(ROWS):
                    if value[r, c] <= limit:
                        if count < KEPT:
                            kept_target[count] = r * columns + c
                            kept_cost[count] = value[r, c] - price[r, c]
                        count += 1
        tries += 1
        if count > KEPT and tries < 40:
            width *= np.float32(0.6)
        elif count < fewest and tries < 200:
            width = max(width * np.float32(1.7), best * np.float32(1e-6))
        else:
            break
    if count > KEPT:  # more equally good targets than fit: the list is complete only just below them
        count = KEPT
        limit = best
    if count < FEWEST:
        width *= np.float32(1.2)
    elif count > PLENTY:
        width *= np.float32(0.8)
    return count, limit, width


@compiled
def _auction(a, b, plain, epsilon, assignment):  # type: ignore[no-untyped-def]
    """Fill assignment (N,) with the target of each point of a; returns total cost and a lower bound of the optimum."""
    n = a.shape[0]
    columns = (n + ROWS * 16 - 1) // (ROWS * 16) * 16
    target = np.empty((3, ROWS, columns), np.float32)
    price = np.empty((ROWS, columns), np.float32)
    flat_price = price.reshape(ROWS * columns)
    value = np.empty((ROWS, columns), np.float32)
    column = np.empty(columns, np.float32)
    owner = np.empty(ROWS * columns, np.int64)
    for j in range(ROWS * columns):
        r, c = j // columns, j % columns
        source = min(j, n - 1)
        for axis in range(3):
            target[axis, r, c] = b[source, axis]
        price[r, c] = np.float32(0) if j < n else UNREACHABLE
        owner[j] = -1
    kept_target = np.empty((n, KEPT), np.int32)
    kept_cost = np.empty((n, KEPT), np.float32)
    kept_count = np.zeros(n, np.int64)
    complete_to = np.empty(n, np.float32)
    own = np.empty(n, np.int64)  # the target that each point of a holds, and what it costs
    own_cost = np.zeros(n, np.float32)
    slack = np.empty(n, np.float32)
    waiting = np.empty(n, np.int64)
    fewest = min(2, n)
    # The first eps: the mean cost of the pairs as given tells the scale of the clouds.
    total = np.float64(0)
    most = np.float64(0)
    for i in range(n):
        dx, dy, dz = np.float64(a[i, 0] - b[i, 0]), np.float64(a[i, 1] - b[i, 1]), np.float64(a[i, 2] - b[i, 2])
        cost = dx * dx + dy * dy + dz * dz
        if plain:
            cost = np.sqrt(cost)
        total += cost
        most = max(most, cost)
        own[i] = -1
    width = np.float32(total / n * 0.1)
    eps = total / n * FIRST_STEP
    lower = -np.inf
    while True:
        left = 0
        for i in range(n):
            if own[i] < 0:
                waiting[left] = i
                left += 1
        raise_by = np.float32(eps)
        while left > 0:
            left -= 1
            i = waiting[left]
            fresh = False
            while True:
                best, second = LARGE, LARGE
                best_k = 0
                for k in range(kept_count[i]):
                    v = kept_cost[i, k] + flat_price[kept_target[i, k]]
                    if v < best:
                        second = best
                        best, best_k = v, k
                    elif v < second:
                        second = v
                if fresh or (kept_count[i] > 0 and second <= complete_to[i]):
                    break
                kept_count[i], complete_to[i], width = _look_at_all(
                    a[i, 0], a[i, 1], a[i, 2], plain, target, price, value, column, width, kept_target[i],
                    kept_cost[i], fewest,
                )  # fmt: skip
                fresh = True
            if second == LARGE:  # the only target there is
                second = best
            j = kept_target[i, best_k]
            flat_price[j] += second - best + raise_by
            loser = owner[j]
            owner[j] = i
            own[i], own_cost[i] = j, kept_cost[i, best_k]
            if loser >= 0:
                own[loser] = -1
                waiting[left] = loser
                left += 1
        # Everyone has a target: measure the gap to the dual, and free those whose target is no longer good enough.
        primal, dual, largest = np.float64(0), np.float64(0), np.float64(0)
        for j in range(n):
            dual -= np.float64(flat_price[j])
            largest = max(largest, np.float64(flat_price[j]))
        for i in range(n):
            best = LARGE
            for k in range(kept_count[i]):
                best = min(best, kept_cost[i, k] + flat_price[kept_target[i, k]])
            if best > complete_to[i]:
                kept_count[i], complete_to[i], width = _look_at_all(
                    a[i, 0], a[i, 1], a[i, 2], plain, target, price, value, column, width, kept_target[i],
                    kept_cost[i], fewest,
                )  # fmt: skip
                best = LARGE
                for k in range(kept_count[i]):
                    best = min(best, kept_cost[i, k] + flat_price[kept_target[i, k]])
            slack[i] = own_cost[i] + flat_price[own[i]] - best
            primal += np.float64(own_cost[i])
            dual += np.float64(best)
        dual -= n * (largest + most) * FLOAT32_STEP / 2  # what rounding can have added
        lower = max(lower, dual)
        smallest = (largest + most) * FLOAT32_STEP
        if primal <= (1.0 + epsilon) * lower or eps <= smallest:
            break
        # With half of eps lost a point on average, the gap shrinks as eps does: aim for the gap that is wanted.
        ratio = (primal - lower) / max(epsilon * lower, 1e-30)
        eps = max(eps / min(max(ratio * 1.1, 1.5), SHRINK), smallest)
        for i in range(n):
            if slack[i] > np.float32(eps):
                owner[own[i]] = -1
                own[i] = -1
    for i in range(n):
        assignment[i] = own[i]
    return primal, max(lower, 0.0)


def auction(
    a: np.ndarray, b: np.ndarray, plain: bool, epsilon: float, assignment: np.ndarray, lower_bound: np.ndarray
) -> None:
    """Assign the points of a (B, N, 3) to those of b (B, N, 3), float32, one to one; a thread for each pair of clouds.

    plain: the cost is the distance, else its square. epsilon: stop once the total is proven to be within 1 + epsilon of
    the optimum. Fills assignment (B, N) int64 and lower_bound (B,) float64, of the optimum's mean cost.
    """

    def assign_range(start: int, stop: int) -> None:
        for pair in range(start, stop):
            _, lower = _auction(a[pair], b[pair], plain, epsilon, assignment[pair])
            lower_bound[pair] = lower / a.shape[1]

    parallel_for(assign_range, len(a))
