"""Light along rays through a grid of signed distances or densities and a grid of colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .checks import check_same_device, check_tensor

THINNEST = 1e-5
"""Sections with less opacity count as nothing, and are asked for no colour."""
ENOUGH = 1e-3
"""A ray ends where less of its light than this passes on."""


def march_rays(
    values: torch.Tensor,
    colors: torch.Tensor,
    occupied: torch.Tensor,
    origins: torch.Tensor,
    directions: torch.Tensor,
    offsets: torch.Tensor,
    *,
    step: float,
    sharpness: float | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What rays see of grids over model space, the cube [−1, 1]³; between nodes both are trilinear.

    values (n + 1, n + 1, n + 1) float32, indexed [x, y, z]: signed distances, negative inside, where sharpness is a
    number s; densities before softplus, per model unit, where it is None. colors (m + 1, m + 1, m + 1, 3) float32.
    occupied (n, n, n) bool or uint8: the cells of `values` that are looked into; elsewhere there is nothing.
    origins, directions (R, 3) float32, directions of unit length. offsets (R,) float32 in [0, 1): where the first
    sample lies, in steps from where the ray enters the cube. step: between samples, in model units.

    Two consecutive samples with values a and b in occupied cells bound a section of the opacity
    max(0, 1 − Φ(s b) / Φ(s a)), Φ the logistic function (Wang et al., "NeuS", 2021, eq. 13), or
    1 − exp(−step · softplus((a + b) / 2)) (Max 1995; Mildenhall et al., "NeRF", 2020, eq. 3), and of the colour in its
    middle; sections are composited from front to back.
    Returns the colour over black (R, 3), the opacity (R,), both with gradients to values and colors, and the depth
    (R,), the mean distance weighted as the colour is, without gradients; float32. The CPU has a compiled kernel; other
    devices compute the same with torch. Raises TypeError or ValueError for a wrong type or shape, or a step or
    sharpness that is not positive.
    """
    for name, tensor in (("values", values), ("colors", colors), ("origins", origins), ("directions", directions)):
        check_tensor(name, tensor, torch.float32)
    check_tensor("offsets", offsets, torch.float32)
    check_same_device(
        values=values, colors=colors, occupied=occupied, origins=origins, directions=directions, offsets=offsets
    )
    nodes, rays = values.shape[0], len(origins)
    for name, tensor, shape in (
        ("values", values, (nodes,) * 3),
        ("colors", colors, (*colors.shape[:1] * 3, 3)),
        ("occupied", occupied, (nodes - 1,) * 3),
        ("origins", origins, (rays, 3)),
        ("directions", directions, (rays, 3)),
        ("offsets", offsets, (rays,)),
    ):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {tuple(tensor.shape)}.")
    if not step > 0 or not (sharpness is None or sharpness > 0):
        raise ValueError(f"step and sharpness must be positive, not {step} and {sharpness}.")
    if values.device.type == "cpu":
        return _Marching.apply(values, colors, occupied, origins, directions, offsets, step, sharpness or 0.0)
    from .ray_marching_torch import march_rays_torch

    return march_rays_torch(
        values, colors, occupied.bool(), origins, directions, offsets, step, sharpness, THINNEST, ENOUGH
    )


class _Marching(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        colors: torch.Tensor,
        occupied: torch.Tensor,
        origins: torch.Tensor,
        directions: torch.Tensor,
        offsets: torch.Tensor,
        step: float,
        sharpness: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        from .ray_marching_cpu import march

        ctx.save_for_backward(values, colors)
        ctx.occupied = occupied.to(torch.uint8).numpy()
        ctx.rays = tuple(part.contiguous().numpy() for part in (origins, directions, offsets))
        ctx.settings = tuple(np.float32(number) for number in (step, sharpness, THINNEST, ENOUGH))
        color, opacity, depth = torch.zeros_like(origins), torch.zeros(len(origins)), torch.zeros(len(origins))
        grids = (values.detach().contiguous().numpy(), colors.detach().contiguous().numpy(), ctx.occupied)
        march(grids, ctx.rays, ctx.settings, (color.numpy(), opacity.numpy(), depth.numpy()))
        ctx.mark_non_differentiable(depth)
        return color, opacity, depth

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, by_color: torch.Tensor, by_opacity: torch.Tensor, _: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        from .ray_marching_cpu import march_back

        values, colors = ctx.saved_tensors
        grids = (values.detach().contiguous().numpy(), colors.detach().contiguous().numpy(), ctx.occupied)
        upstream = (by_color.contiguous().numpy(), by_opacity.contiguous().numpy())
        by_values, by_colors = march_back(grids, ctx.rays, ctx.settings, upstream)
        return torch.from_numpy(by_values), torch.from_numpy(by_colors), None, None, None, None, None, None
