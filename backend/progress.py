"""How a running task speaks to whoever asked for it: progress, a cancel question, a preview."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .errors import Cancelled
from .mesh import Mesh

FITTING = "Fitting"
STAGES = ("Loading", "Sampling", FITTING, "Extracting", "Simplifying", "Texturing")
"""The stages of a generation, in order; only methods that optimise have FITTING."""


class Progress(Protocol):
    """Told where the work stands: the stage, one of STAGES, and the fraction of that stage in [0, 1]."""

    def __call__(self, stage: str, fraction: float, /) -> None: ...


class IsCancelled(Protocol):
    """Asked at every step whether to stop; cheap, and safe to call from any thread."""

    def __call__(self) -> bool: ...


class Preview(Protocol):
    """Given a coarse mesh with vertex colours as soon as there is one.

    Its vertices are scene metres already (real size, upright, standing on z = 0, centred in x and y).
    """

    def __call__(self, mesh: Mesh, /) -> None: ...


class Glimpse(Protocol):
    """Given small pictures of what goes on: the cut-out picture, the render that is being optimised.

    picture: (H, W, 3) uint8 sRGB. caption: what it shows, in a few words. loss: of the optimisation, NaN where there is
    none.
    """

    def __call__(self, picture: np.ndarray, caption: str, loss: float, /) -> None: ...


class IsEnough(Protocol):
    """Asked at every step of an optimisation whether to stop there and keep what has come of it; as cheap and safe as
    `IsCancelled`."""

    def __call__(self) -> bool: ...


def check_cancelled(cancelled: IsCancelled | None) -> None:
    """Raise Cancelled when the user asked to stop."""
    if cancelled is not None and cancelled():
        raise Cancelled("Cancelled.")
