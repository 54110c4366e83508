"""Distances from every shape of one set to every shape of another."""

from collections.abc import Callable
from typing import Literal

import torch

from ..kernels import chamfer_distance, earth_movers_distance
from .fractional_matching import fractional_matching_cost

Distance = Literal["chamfer", "earth movers", "approximate earth movers"]
PAIRS_AT_ONCE = 128


def pairwise_distances(
    a: torch.Tensor, b: torch.Tensor | None = None, distance: Distance = "chamfer", *, epsilon: float = 0.01
) -> torch.Tensor:
    """The matrix of distances between shapes, computed on all cores or the GPU.

    a: (S, N, 3) float32 point clouds. b: (R, M, 3) float32; left out, a against itself. distance:
    - "chamfer": the sum of both mean squared nearest distances, which is PVD's, LION's and PointFlow's CD.
    - "earth movers": the mean plain distance under the best bijection, within epsilon of the optimum; N = M. The EMD
      that Achlioptas et al. 2018 define, as PointFlow's code for the CPU computes it.
    - "approximate earth movers": what PVD and LION report as EMD, to be taken for comparing with their tables: the mean
      squared distance under a fractional matching (see `fractional_matching_cost`); N = M. It is not symmetric; they
      compute it from reference to generated shapes, pairwise_distances(reference, generated, …).T.
    Of a symmetric distance of a against itself only one half is computed.
    Returns (S, R) float32 on a's device, without gradient.
    Raises ValueError for an unknown distance, and TypeError or ValueError as the kernels do.
    """
    measures: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "chamfer": lambda x, y: chamfer_distance(x, y, reduction="none"),
        "earth movers": lambda x, y: earth_movers_distance(x, y, epsilon).distance,
        "approximate earth movers": fractional_matching_cost,
    }
    if distance not in measures:
        raise ValueError(f"distance must be one of {', '.join(map(repr, measures))}, not {distance!r}.")
    measure = measures[distance]
    half = b is None and distance != "approximate earth movers"
    other = a if b is None else b
    with torch.no_grad():
        if half:
            rows, columns = torch.triu_indices(len(a), len(a), offset=1, device=a.device)
        else:
            rows, columns = torch.cartesian_prod(
                torch.arange(len(a), device=a.device), torch.arange(len(other), device=a.device)
            ).unbind(dim=1)
        matrix = torch.zeros(len(a), len(other), device=a.device)
        for i, j in zip(rows.split(PAIRS_AT_ONCE), columns.split(PAIRS_AT_ONCE), strict=True):
            if len(i):
                matrix[i, j] = measure(a[i], other[j])
        return matrix + matrix.T if half else matrix
