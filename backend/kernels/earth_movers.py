"""Earth mover's distance between point clouds of equal size, with a proof of how near the optimum it is."""

from typing import NamedTuple

import numpy as np
import torch

from .auction_cpu import auction
from .checks import check_cloud, check_same_batch, check_same_device
from .devices import computing_device
from .nearest import as_array

LEAST_EPSILON, MOST_EPSILON = 1e-4, 1.0


class EarthMovers(NamedTuple):
    """The matched distance and what is known of it.

    distance: (B,) float32, the mean cost of a point under the assignment; carries gradients.
    assignment: (B, N) int64, the point of b that each point of a is moved to; a bijection.
    lower_bound: (B,) float64, which no assignment's mean cost can be below (the value of a feasible dual solution).
    """

    distance: torch.Tensor
    assignment: torch.Tensor
    lower_bound: torch.Tensor


def earth_movers_distance(
    a: torch.Tensor, b: torch.Tensor, epsilon: float = 0.01, *, squared: bool = False
) -> EarthMovers:
    """The least mean distance over which a's points must move to become b's, within 1 + epsilon and proven.

    min over bijections φ of mean_i |a_i - b_φ(i)| (Rubner et al. 2000; Fan et al. 2017, eq. 2, with the mean for the
    sum), solved by auction with ε-scaling (Bertsekas 1988) until distance ≤ (1 + epsilon) · lower_bound. Where float32
    cannot tell the costs apart any further (clouds that nearly coincide) it ends earlier; the lower bound always holds.

    a, b: (B, N, 3) float32, the same N for both. epsilon: 0.0001 to 1. squared: take |a_i - b_j|² as the cost.
    Differentiable through the assignment, which is held fixed (Danskin's theorem: the derivative of the optimum almost
    everywhere); where matched points coincide the plain distance's subgradient 0 is used.
    One thread a pair of clouds on the CPU, one block a pair on an NVIDIA GPU; other devices are computed on the CPU.
    Raises TypeError or ValueError as `nearest_neighbors` does, and ValueError where the clouds differ in size.
    """
    check_cloud("a", a)
    check_cloud("b", b)
    check_same_device(a=a, b=b)
    check_same_batch("a", a, "b", b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"The earth mover's distance needs clouds of equal size, not {a.shape[1]} and {b.shape[1]} points: "
            "resample one of them."
        )
    if not LEAST_EPSILON <= epsilon <= MOST_EPSILON:
        raise ValueError(f"epsilon must lie between {LEAST_EPSILON} and {MOST_EPSILON}, not {epsilon}.")
    assignment, lower_bound = _assign(a, b, epsilon, squared)
    moves = a - torch.gather(b, 1, assignment[..., None].expand(-1, -1, 3))
    costs = moves.square().sum(2) if squared else torch.linalg.vector_norm(moves, dim=2)
    return EarthMovers(costs.mean(1), assignment, lower_bound)


def _assign(a: torch.Tensor, b: torch.Tensor, epsilon: float, squared: bool) -> tuple[torch.Tensor, torch.Tensor]:
    if computing_device(a.device).type == "cuda":
        from .auction_cuda import auction_cuda

        return auction_cuda(a, b, not squared, epsilon)
    assignment = np.empty(a.shape[:2], np.int64)
    lower_bound = np.empty(len(a), np.float64)
    auction(as_array(a), as_array(b), not squared, epsilon, assignment, lower_bound)
    return torch.from_numpy(assignment).to(a.device), torch.from_numpy(lower_bound).to(a.device)
