"""A shape as two functions of space: where the surface is, and what colour it has."""

from __future__ import annotations

from typing import Protocol

import torch


class Field(Protocol):
    """Signed distance and colour at any point of model space, the cube [−1, 1]³ (right-handed, Z up, front −Y).

    Implementations work through any number of points in chunks of their own choosing, on their own device, without
    recording gradients, and give the same answer for a point whatever other points are asked along with it.
    """

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 points → (N,) float32 in model units, negative inside.

        The zero level is the surface; away from it values are distances only roughly (their gradient's norm lies
        between 0.3 and 1.5), so never step by them blindly.
        """
        ...

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 points → (N, 3) float32 linear RGB in [0, 1]; meaningful near the surface."""
        ...
