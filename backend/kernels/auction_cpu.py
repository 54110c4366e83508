"""The assignment problem between two point clouds by auction with ε-scaling (D. P. Bertsekas, 1988), on the CPU.

Points of a bid for points of b. A bidder looks at all of b only now and then: it keeps the few best targets with the
value up to which that list is complete. Prices only rise, so the list stays right until its second best passes that
value. Looking at all of b is one vectorised pass; costs are computed, never stored as a matrix.
"""

import numpy as np

from .compiled import compiled
from .lanes import (
    LANES,
    bits_up_to,
    everywhere,
    least_of,
    lesser,
    load,
    lowest_bit,
    root_of,
    store,
)
from .threads import Work, parallel_for_with

ROWS = 8  # targets are laid out in 8 rows, so that a minimum by column needs no reduction across lanes
PRICE, VALUE = 3, 4  # layers of the board, see `auction`
KEPT = 32  # the most targets that a bidder remembers
FEWEST = 10  # the width of the list's values is steered to lists between these sizes
PLENTY = 24
UNREACHABLE = np.float32(3e38)
LARGE = np.float32(np.inf)
NOTHING = np.float32(0)
FIRST_STEP = 0.05  # the first eps, in mean costs of the pairs as given
SHRINK = 8.0  # the largest step from one eps to the next
FLOAT32_STEP = 2.0**-21  # four rounding errors: no bid raises a price by less than this share of the largest value


@compiled
def _look_at_all(x, y, z, plain, board, column, width, kept_target, kept_cost, fewest):  # type: ignore[no-untyped-def]
    """List targets whose cost plus price is within `width` of the best: returns (count, complete up to, new width)."""
    columns = board.shape[2]
    lowest = everywhere(LARGE)
    for c in range(0, columns, LANES):
        least = everywhere(LARGE)
        for r in range(ROWS):
            dx, dy, dz = load(board, (0, r, c)) - x, load(board, (1, r, c)) - y, load(board, (2, r, c)) - z
            cost = dx * dx + dy * dy + dz * dz
            if plain:
                cost = root_of(cost)
            value = cost + load(board, (PRICE, r, c))
            store(board, (VALUE, r, c), value)
            least = lesser(least, value)
        store(column, (c,), least)
        lowest = lesser(lowest, least)
    best = least_of(lowest)
    tries = 0
    while True:
        limit = best + width
        count = 0
        for start in range(0, columns, LANES):
            within = bits_up_to(load(column, (start,)), limit)
            while within != 0:
                c = start + lowest_bit(within)
                within &= within - 1
                for r in range(ROWS):
                    if board[VALUE, r, c] <= limit:
                        if count < KEPT:
                            kept_target[count] = r * columns + c
                            kept_cost[count] = board[VALUE, r, c] - board[PRICE, r, c]
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
def _two_best(kept_target, kept_cost, count, board):  # type: ignore[no-untyped-def]
    """The least cost plus price on a list, the second least, and the place of the least."""
    best, second, place = LARGE, LARGE, 0
    for k in range(count):
        value = kept_cost[k] + board[PRICE, 0, kept_target[k]]  # the rows lie one behind the other
        if value < best:
            best, second, place = value, best, k
        elif value < second:
            second = value
    return best, second, place


@compiled
def _auction(  # type: ignore[no-untyped-def]
    a, plain, epsilon, eps, most, board, column, kept_target, kept_cost, whole, real, owner
):
    """Bid until the total is proven; returns total cost and a lower bound of the optimum. Arrays: see `auction`."""
    n = len(a)
    kept_count, own, waiting = whole[0], whole[1], whole[2]
    complete_to, own_cost, slack = real[0], real[1], real[2]
    fewest = min(2, n)
    width = np.float32(eps * (0.1 / FIRST_STEP))
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
            best, second, place = _two_best(kept_target[i], kept_cost[i], kept_count[i], board)
            if kept_count[i] == 0 or second > complete_to[i]:
                kept_count[i], complete_to[i], width = _look_at_all(
                    a[i, 0], a[i, 1], a[i, 2], plain, board, column, width, kept_target[i], kept_cost[i], fewest
                )
                best, second, place = _two_best(kept_target[i], kept_cost[i], kept_count[i], board)
            if second == LARGE:  # the only target there is
                second = best
            j = kept_target[i, place]
            board[PRICE, 0, j] += second - best + raise_by
            loser = owner[j]
            owner[j] = i
            own[i], own_cost[i] = j, kept_cost[i, place]
            if loser >= 0:
                own[loser] = -1
                waiting[left] = loser
                left += 1
        # Everyone has a target: measure the gap to the dual, and free those whose target is no longer good enough.
        primal, dual, largest = np.float64(0), np.float64(0), np.float64(0)
        for j in range(n):
            price = np.float64(board[PRICE, 0, j])
            dual -= price
            largest = max(largest, price)
        for i in range(n):
            best, _, _ = _two_best(kept_target[i], kept_cost[i], kept_count[i], board)
            if best > complete_to[i]:
                kept_count[i], complete_to[i], width = _look_at_all(
                    a[i, 0], a[i, 1], a[i, 2], plain, board, column, width, kept_target[i], kept_cost[i], fewest
                )
                best, _, _ = _two_best(kept_target[i], kept_cost[i], kept_count[i], board)
            slack[i] = own_cost[i] + board[PRICE, 0, own[i]] - best
            primal += np.float64(own_cost[i])
            dual += np.float64(best)
        dual -= n * (largest + most) * FLOAT32_STEP / 2  # what rounding can have added
        lower = max(lower, dual)
        smallest = (largest + most) * FLOAT32_STEP
        if primal <= (1.0 + epsilon) * lower or eps <= smallest:
            return primal, max(lower, 0.0)
        # With half of eps lost a point on average, the gap shrinks as eps does: aim for the gap that is wanted.
        ratio = (primal - lower) / max(epsilon * lower, 1e-30)
        eps = max(eps / min(max(ratio * 1.1, 1.5), SHRINK), smallest)
        for i in range(n):
            if slack[i] > np.float32(eps):
                owner[own[i]] = -1
                own[i] = -1


@compiled
def _assign(  # type: ignore[no-untyped-def]
    a,
    b,
    plain,
    epsilon,
    board,
    column,
    kept_target,
    kept_cost,
    whole,
    real,
    owner,
    assignment,
    lower_bound,
    first,
    last,
):
    """Fill assignment and lower_bound for the pairs first … last - 1 of a and b (B, N, 3); arrays: see `auction`."""
    n = a.shape[1]
    columns = board.shape[2]
    for pair in range(first, last):
        for j in range(ROWS * columns):
            r, c = j // columns, j % columns
            for axis in range(3):
                board[axis, r, c] = b[pair, min(j, n - 1), axis]
            board[PRICE, r, c] = NOTHING if j < n else UNREACHABLE
            owner[j] = -1
        # The first eps: the mean cost of the pairs as given tells the scale of the clouds.
        total = most = np.float64(0)
        for i in range(n):
            whole[0, i], whole[1, i] = 0, -1
            real[0, i] = NOTHING
            squared = np.float64(0)
            for axis in range(3):
                step = np.float64(a[pair, i, axis]) - np.float64(b[pair, i, axis])
                squared += step * step
            cost = np.sqrt(squared) if plain else squared
            total += cost
            most = max(most, cost)
        _, lower = _auction(
            a[pair], plain, epsilon, total / n * FIRST_STEP, most, board, column, kept_target, kept_cost, whole, real,
            owner,
        )  # fmt: skip
        for i in range(n):
            assignment[pair, i] = whole[1, i]
        lower_bound[pair] = lower / n


def auction(
    a: np.ndarray, b: np.ndarray, plain: bool, epsilon: float, assignment: np.ndarray, lower_bound: np.ndarray
) -> None:
    """Assign the points of a (B, N, 3) to those of b (B, N, 3), float32, one to one; each pair of clouds on one thread.

    plain: the cost is the distance, else its square. epsilon: stop once the total is proven to be within 1 + epsilon of
    the optimum. Fills assignment (B, N) int64 and lower_bound (B,) float64, of the optimum's mean cost.

    A thread works on one pair after the other in
    board (5, ROWS, columns) float32: x, y, z of the targets, their prices, and cost plus price for one bidder;
    column (columns,) float32: the least of each column of the board;
    kept_target (N, KEPT) int32, kept_cost (N, KEPT) float32: each bidder's list;
    whole (3, N) int64: the length of that list, the target that the bidder holds, and who waits for one;
    real (3, N) float32: up to which value the list is complete, what the own target costs, and how far from the best it
    is; owner (ROWS · columns,) int64: who holds each target.
    """
    pairs, n = a.shape[:2]
    columns = -(-n // (ROWS * LANES)) * LANES

    def on_a_thread() -> Work:
        return _assign.on(
            a, b, plain, float(epsilon), np.empty((5, ROWS, columns), np.float32), np.empty(columns, np.float32),
            np.empty((n, KEPT), np.int32), np.empty((n, KEPT), np.float32), np.empty((3, n), np.int64),
            np.empty((3, n), np.float32), np.empty(ROWS * columns, np.int64), assignment, lower_bound,
        )  # fmt: skip

    parallel_for_with(on_a_thread, pairs)
