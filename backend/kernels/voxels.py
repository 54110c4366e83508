"""Features of points on a regular grid of voxels, and back."""

import torch

from .checks import check_cloud, check_same_batch, check_same_device, check_tensor
from .rows import add_rows, take_rows


def voxelize(
    points: torch.Tensor, features: torch.Tensor, resolution: int, *, half_extent: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of the features of the points in each voxel.

    points: (B, N, 3) float32, in the cube [-half_extent, half_extent]³; points outside count to the nearest voxel.
    features: (B, N, C) float32. resolution R: voxels along an edge; voxel i spans half_extent · [2i / R - 1, 2(i + 1) /
    R - 1].
    Returns means (B, C, R, R, R) float32, 0 where a voxel is empty, with gradient to features, and the number of points
    (B, R, R, R) int64. Source: Liu et al., "Point-Voxel CNN", 2019, eq. 1 (voxels by floor instead of rounding).
    Raises TypeError or ValueError for a wrong type or shape, NaN (on the CPU), or a resolution out of range.
    """
    check_cloud("points", points)
    check_cloud("features", features, channels=None)
    check_same_device(points=points, features=features)
    check_same_batch("points", points, "features", features)
    if points.shape[1] != features.shape[1]:
        raise ValueError(f"points has {points.shape[1]} points a cloud, but features has {features.shape[1]}.")
    _check_extent(resolution, half_extent)
    batch, _, channels = features.shape
    place = (points.detach() / half_extent + 1) * (resolution / 2)
    voxel = place.floor().clamp(0, resolution - 1).long()
    index = (_flat(voxel, resolution) + _first_of_batch(points, resolution)).reshape(-1)
    count = torch.bincount(index, minlength=batch * resolution**3)
    total = add_rows(features.reshape(-1, channels), index, len(count))
    mean = total / count.clamp(min=1)[:, None]
    shape = (batch, resolution, resolution, resolution)
    return mean.view(*shape, channels).movedim(-1, 1).contiguous(), count.view(shape)


def devoxelize(points: torch.Tensor, grid: torch.Tensor, *, half_extent: float = 1.0) -> torch.Tensor:
    """A voxel grid's features at points, trilinear between the centres of voxels and constant beyond the outermost.

    points: (B, N, 3) float32. grid: (B, C, R, R, R) float32 over the cube [-half_extent, half_extent]³, indexed by x,
    y, z.
    Returns (B, N, C) float32 with gradients to both. Source: Liu et al., "Point-Voxel CNN", 2019, §3.2.
    Raises TypeError or ValueError for a wrong type or shape, or NaN (on the CPU).
    """
    check_cloud("points", points)
    check_tensor("grid", grid, torch.float32)
    if grid.ndim != 5 or len(set(grid.shape[2:])) != 1:
        raise ValueError(f"grid must have the shape (B, C, R, R, R), not {tuple(grid.shape)}.")
    check_same_device(points=points, grid=grid)
    check_same_batch("points", points, "grid", grid)
    resolution = grid.shape[2]
    _check_extent(resolution, half_extent)
    place = ((points / half_extent + 1) * (resolution / 2) - 0.5).clamp(0, resolution - 1)
    low = place.detach().floor().clamp(max=max(resolution - 2, 0)).long()
    fraction = place - low
    corners = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], device=points.device)
    voxel = (low[:, :, None] + corners).clamp(max=resolution - 1)
    weight = torch.where(corners == 1, fraction[:, :, None], 1 - fraction[:, :, None]).prod(dim=-1)
    index = (_flat(voxel, resolution) + _first_of_batch(points, resolution)[..., None]).reshape(-1)
    rows = take_rows(grid.movedim(1, -1).reshape(-1, grid.shape[1]), index)
    return (weight[..., None] * rows.view(*weight.shape, -1)).sum(dim=2)


def _check_extent(resolution: int, half_extent: float) -> None:
    if isinstance(resolution, bool) or not isinstance(resolution, int) or not 1 <= resolution <= 1024:
        raise ValueError(f"resolution must be a whole number from 1 to 1024, not {resolution!r}.")
    if not half_extent > 0:
        raise ValueError(f"half_extent must be positive, not {half_extent!r}.")


def _flat(voxel: torch.Tensor, resolution: int) -> torch.Tensor:
    return (voxel[..., 0] * resolution + voxel[..., 1]) * resolution + voxel[..., 2]


def _first_of_batch(points: torch.Tensor, resolution: int) -> torch.Tensor:
    return torch.arange(len(points), device=points.device)[:, None] * resolution**3
