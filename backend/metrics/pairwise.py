"""Distances from every shape of one set to every shape of another."""

from collections.abc import Callable
from typing import Literal

import torch

from ..kernels import chamfer_distance, earth_movers_distance

Distance = Literal["chamfer", "earth movers"]
PAIRS_AT_ONCE = 128


def pairwise_distances(
    a: torch.Tensor, b: torch.Tensor | None = None, distance: Distance = "chamfer", *, epsilon: float = 0.01
) -> torch.Tensor:
    """The matrix of distances between shapes, computed on all cores or the GPU.

    a: (S, N, 3) float32 point clouds. b: (R, M, 3) float32; left out, a against itself, of which only one half is
    computed. distance: "chamfer" is the sum of both mean squared nearest distances (PVD's and LION's CD); "earth
    movers" the mean plain distance under the best bijection (their EMD), within epsilon of the optimum; N = M.
    Returns (S, R) float32 on a's device, without gradient.
    Raises ValueError for an unknown distance, and TypeError or ValueError as the kernels do.
    """
    if distance not in ("chamfer", "earth movers"):
        raise ValueError(f"distance must be 'chamfer' or 'earth movers', not {distance!r}.")
    measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    if distance == "chamfer":
        measure = _chamfer
    else:

        def measure(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return earth_movers_distance(x, y, epsilon)[0]

    itself = b is None
    other = a if b is None else b
    with torch.no_grad():
        if itself:
            rows, columns = torch.triu_indices(len(a), len(a), offset=1, device=a.device)
        else:
            rows, columns = torch.cartesian_prod(
                torch.arange(len(a), device=a.device), torch.arange(len(other), device=a.device)
            ).unbind(dim=1)
        matrix = torch.zeros(len(a), len(other), device=a.device)
        for i, j in zip(rows.split(PAIRS_AT_ONCE), columns.split(PAIRS_AT_ONCE), strict=True):
            if len(i):
                matrix[i, j] = measure(a[i], other[j])
        return matrix + matrix.T if itself else matrix


def _chamfer(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return chamfer_distance(x, y, reduction="none")
