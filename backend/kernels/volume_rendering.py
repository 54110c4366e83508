"""Feature volumes seen along rays: read, weighed by what light gets through, and summed, in one pass."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .compiled import compiled
from .devices import computing_device
from .lanes import LANES, everywhere, load, store
from .threads import parallel_for

CHANNELS = LANES


def render_volumes(volumes: torch.Tensor, places: torch.Tensor, spacing: float) -> torch.Tensor:
    """What rays see of volumes, with gradient to the volumes alone.

    volumes: (B, D, H, W, 16) float32, which fill the cube [−1, 1]³: a density, not negative, and 15 features.
    places: (B, R, S, 3) float32, S samples on each of R rays, from the eye on; x along W, y along H, z along D.
    spacing: the samples' distance, in the unit that densities are per.
    Returns (B, R, 16) float32: the ray's opacity, and the features summed with the samples' weights. Volumes are read
    trilinearly between their cells' middles and are 0 outside (as `grid_sample` with zero padding reads them); weights
    are those of Mildenhall et al., "NeRF", 2020, eq. 3. Raises TypeError or ValueError for a wrong type or shape.
    """
    if volumes.dtype != torch.float32 or places.dtype != torch.float32:
        raise TypeError(f"volumes and places must be float32, not {volumes.dtype} and {places.dtype}.")
    if volumes.ndim != 5 or places.ndim != 4 or places.shape[3] != 3 or len(volumes) != len(places):
        raise ValueError(
            f"volumes must be (B, D, H, W, 16) and places (B, R, S, 3), not {tuple(volumes.shape)} and "
            f"{tuple(places.shape)}."
        )
    if volumes.shape[4] != CHANNELS:
        raise ValueError(f"volumes must have {CHANNELS} channels, not {volumes.shape[4]}.")
    if computing_device(volumes.device).type == "cuda":
        return _render_with_torch(volumes, places.detach(), spacing)
    return _RenderVolumes.apply(volumes, places, spacing)


def _render_with_torch(volumes: torch.Tensor, places: torch.Tensor, spacing: float) -> torch.Tensor:
    read = functional.grid_sample(volumes.permute(0, 4, 1, 2, 3), places[:, None], align_corners=False)[:, :, 0]
    thickness = read[:, 0] * spacing
    weights = torch.exp(thickness - thickness.cumsum(dim=2)) * (1 - torch.exp(-thickness))
    features = (read[:, 1:] * weights[:, None]).sum(dim=3)
    return torch.cat([weights.sum(dim=2)[:, None], features], dim=1).transpose(1, 2)


class _RenderVolumes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volumes: torch.Tensor, places: torch.Tensor, spacing: float) -> torch.Tensor:
        cells, samples = _contiguous(volumes), _contiguous(places)
        seen = np.zeros((*samples.shape[:2], CHANNELS), np.float32)
        parallel_for(_render.on(cells, samples, np.float32(spacing), seen), len(cells))
        ctx.cells, ctx.samples, ctx.spacing, ctx.device = cells, samples, np.float32(spacing), volumes.device
        return torch.from_numpy(seen).to(volumes.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        result, given = np.zeros(ctx.cells.shape, np.float32), _contiguous(gradient)
        volumes, _, count = ctx.samples.shape[:3]
        rows, shares = np.empty((volumes, count, CHANNELS), np.float32), np.empty((volumes, 3, count), np.float32)
        parallel_for(_spread.on(ctx.cells, ctx.samples, ctx.spacing, given, rows, shares, result), volumes)
        return torch.from_numpy(result).to(ctx.device), None, None


def _contiguous(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


@compiled
def _corners(place, cells, index, weight):  # type: ignore[no-untyped-def]
    """Fill index (8, 3) and weight (8,) with the cells around a place and their shares, 0 for those outside; returns
    whether any is within."""
    depth, height, width = cells.shape[1], cells.shape[2], cells.shape[3]
    one, half = np.float32(1), np.float32(0.5)
    x = (place[0] + one) * half * np.float32(width) - half
    y = (place[1] + one) * half * np.float32(height) - half
    z = (place[2] + one) * half * np.float32(depth) - half
    left, top, near = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if not (-1 <= left < width and -1 <= top < height and -1 <= near < depth):
        return False
    for corner in range(8):
        i, j, k = left + (corner & 1), top + (corner >> 1 & 1), near + (corner >> 2)
        inside = 0 <= i < width and 0 <= j < height and 0 <= k < depth
        index[corner, 0], index[corner, 1], index[corner, 2] = k, j, i
        share = (one - abs(x - np.float32(i))) * (one - abs(y - np.float32(j))) * (one - abs(z - np.float32(k)))
        weight[corner] = share if inside else np.float32(0)
    return True


@compiled
def _read(cells, b, place, index, weight, row, s):  # type: ignore[no-untyped-def]
    """Fill row s of `row` (S, 16) with what volume b has at a place; returns whether that is within."""
    if not _corners(place, cells, index, weight):
        return False
    value = everywhere(np.float32(0))
    for corner in range(8):
        if weight[corner] > np.float32(0):
            value = value + load(cells, (b, index[corner, 0], index[corner, 1], index[corner, 2], 0)) * weight[corner]
    store(row, (s, 0), value)
    return True


@compiled
def _render(cells, samples, spacing, seen, first, last):  # type: ignore[no-untyped-def]
    """Fill seen (B, R, 16) for the volumes first … last - 1."""
    index, weight = np.empty((8, 3), np.int64), np.empty(8, np.float32)
    row = np.empty((1, CHANNELS), np.float32)
    for b in range(first, last):
        for r in range(samples.shape[1]):
            through = np.float32(1)
            total = everywhere(np.float32(0))
            for s in range(samples.shape[2]):
                if not _read(cells, b, samples[b, r, s], index, weight, row, 0):
                    continue
                passed = np.exp(-row[0, 0] * spacing)
                row[0, 0] = np.float32(1)
                total = total + load(row, (0, 0)) * (through * (np.float32(1) - passed))
                through *= passed
            store(seen, (b, r, 0), total)


@compiled
def _spread(cells, samples, spacing, gradient, all_rows, all_shares, result, first, last):  # type: ignore[no-untyped-def]
    """Add to result, of the shape of cells, the gradient by the cells of what `_render` makes, given that of it.

    To work with, for each volume: all_rows (B, S, 16) and all_shares (B, 3, S) float32.
    """
    index, weight = np.empty((8, 3), np.int64), np.empty(8, np.float32)
    count = samples.shape[2]
    for b in range(first, last):
        rows, share, left_over, agreement = all_rows[b], all_shares[b, 0], all_shares[b, 1], all_shares[b, 2]
        for r in range(samples.shape[1]):
            through = np.float32(1)
            behind = np.float32(0)
            for s in range(count):
                share[s] = np.float32(0)
                if not _read(cells, b, samples[b, r, s], index, weight, rows, s):
                    continue
                passed = np.exp(-rows[s, 0] * spacing)
                rows[s, 0] = np.float32(1)
                share[s] = through * (np.float32(1) - passed)
                through *= passed
                left_over[s] = through
                dot = np.float32(0)
                for c in range(CHANNELS):
                    dot += rows[s, c] * gradient[b, r, c]
                agreement[s] = dot
                behind += share[s] * dot
            for s in range(count):
                if not _corners(samples[b, r, s], cells, index, weight):
                    continue
                behind -= share[s] * agreement[s]
                store(rows, (0, 0), load(gradient, (b, r, 0)) * share[s])
                # More density here shows more of this sample, and less of all behind it.
                rows[0, 0] = spacing * (left_over[s] * agreement[s] - behind)
                for corner in range(8):
                    if weight[corner] > np.float32(0):
                        k, j, i = index[corner, 0], index[corner, 1], index[corner, 2]
                        store(
                            result, (b, k, j, i, 0), load(result, (b, k, j, i, 0)) + load(rows, (0, 0)) * weight[corner]
                        )
