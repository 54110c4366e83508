"""Refining a mesh until its own pictures agree with pictures that are given: the last stage of coarse to fine, as in
Magic3D (Lin et al., 2023), where a field's softness is gone and what is rendered is what will be exported.

Vertices move smoothly: what is optimised are their moves before a diffusion along the edges, with the variant of Adam
whose rate is the same for all, as in Nicolet et al., "Large Steps in Inverse Rendering of Geometry", 2021, §3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor

from .mesh_rasterizer import MeshRasterizer
from .views import Views

STEPS = 60
VIEWS_A_STEP = 3
RATE = 0.5
"""How far a vertex's move may change in the first step, before it is smoothed, in mean edge lengths."""
MOMENTA = 0.9, 0.99
COLOR_RATE = 0.005
LAST_RATE = 0.1
"""The last step's rate, as a share of the first's."""
SMOOTHNESS = 19.0
"""λ of the diffusion I + λ L, L being the Laplacian of the edges."""


class UniformAdam:
    """Adam (Kingma and Ba 2014) for one tensor, with one second moment for all of it, so that directions stay."""

    def __init__(self, values: Tensor) -> None:
        self.values, self.mean, self.square, self.done = values, torch.zeros_like(values), 0.0, 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Against the gradient that the tensor carries, by at most about `rate`; the gradient is forgotten."""
        gradient, self.values.grad = self.values.grad, None
        assert gradient is not None
        first, second = MOMENTA
        self.done += 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * float(gradient.square().max())
        scale = (self.square / (1 - second**self.done)) ** 0.5
        self.values -= rate / max(scale, 1e-20) / (1 - first**self.done) * self.mean


class _Smoothed(torch.autograd.Function):
    """(I + λ L)⁻¹ x for x (V, 3); symmetric, so its derivative is itself."""

    @staticmethod
    def forward(context: Any, values: Tensor, solver: Any) -> Tensor:
        context.solver = solver
        return torch.from_numpy(solver.solve(values.detach().double().numpy())).to(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return torch.from_numpy(context.solver.solve(gradient.double().numpy())).to(gradient), None


def refine(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    views: Views,
    *,
    steps: int = STEPS,
    seed: int = 0,
    step: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float32 and their sRGB colours (V, 3) float32, moved until the mesh looks like the views.

    vertices in model space, faces (F, 3), colors (V, 3) sRGB. Which vertices make up a face stays, so a watertight mesh
    stays watertight. `step(share done)` may raise to stop. The same arguments give the same mesh.
    """
    rasterizer = MeshRasterizer(torch.from_numpy(faces.astype(np.int64)))
    first, last = edges_of(rasterizer.faces)
    start = torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
    unit = float((start[first] - start[last]).norm(dim=1).mean())
    solver = diffusion(len(start), first.numpy(), last.numpy())
    moves = torch.zeros_like(start, requires_grad=True)
    shown = torch.tensor(colors, dtype=torch.float32, requires_grad=True)
    shaping, coloring = UniformAdam(moves), torch.optim.Adam([shown], lr=COLOR_RATE)
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.cat([views.pictures[..., :3] * views.pictures[..., 3:], views.pictures[..., 3:]], dim=-1)
    wanted = wanted.permute(0, 3, 1, 2)
    size = wanted.shape[-1]
    for index in range(steps):
        coloring.param_groups[0]["lr"] = COLOR_RATE * LAST_RATE ** (index / steps)
        chosen = torch.multinomial(views.weights, min(VIEWS_A_STEP, len(views)), generator=generator)
        coloring.zero_grad()
        moved = start + unit * _Smoothed.apply(moves, solver)
        pictures = rasterizer.render(moved, shown, views.cameras[chosen], size)
        error = (pictures - wanted[chosen]).square()
        if views.certainty is not None:
            error = error * views.certainty[chosen, None]
        error.mean().backward()
        shaping.step(RATE * LAST_RATE ** (index / steps))
        coloring.step()
        with torch.no_grad():
            shown.clamp_(0, 1)
        if step is not None:
            step((index + 1) / steps)
    with torch.no_grad():
        moved = start + unit * _Smoothed.apply(moves, solver)
    return moved.numpy(), shown.detach().numpy()


def diffusion(count: int, first: np.ndarray, last: np.ndarray) -> Any:
    """A solver of (I + λ L) x = b for `count` vertices, L their number of edges on the diagonal and −1 along each."""
    rows, columns = np.concatenate([first, last]), np.concatenate([last, first])
    along = csc_matrix((np.full(len(rows), -1.0), (rows, columns)), shape=(count, count))
    degrees = np.bincount(rows, minlength=count)
    return splu(csc_matrix(diags(1 + SMOOTHNESS * degrees)) + SMOOTHNESS * along)


def edges_of(faces: Tensor) -> tuple[Tensor, Tensor]:
    """The two vertices of each edge (E,), each edge once."""
    pairs = torch.stack([faces, faces.roll(-1, dims=1)], dim=-1).reshape(-1, 2).sort(dim=1).values.unique(dim=0)
    return pairs[:, 0], pairs[:, 1]
