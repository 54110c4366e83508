"""Signed distance to a triangle mesh, at points or on a grid."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from .checks import check_same_device
from .devices import computing_device
from .face_orientation import OrientedFaces, orient_faces
from .mesh_checks import check_mesh, check_points
from .mesh_distance import NearestFaces, point_to_mesh_distance
from .sdf_band import FRAME_SIZE, LANES, SLAB_BYTES, frame_triangles, list_by_slab, scatter_slab
from .sdf_sign import closing_fans, count_before, list_crossings, negate_inside
from .threads import parallel_for, thread_count
from .winding import winding_of_arrays
from .winding_tree import APPROXIMATION, CUBE, FAR, build_winding_tree, round_winding_of_nodes

BAND = 3.0
LARGEST_GRID = 2**30


@dataclass(frozen=True)
class Grid:
    """Nodes of a regular grid of cubes: node (i, j, k) lies at origin + spacing · (i, j, k)."""

    origin: tuple[float, float, float]
    spacing: float
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Raise ValueError unless the grid has a finite origin, a positive spacing, and 1 to 2³⁰ nodes."""
        if not np.isfinite(self.origin).all() or len(self.origin) != 3:
            raise ValueError(f"A grid's origin must be three finite numbers, not {self.origin}.")
        if not (np.isfinite(self.spacing) and self.spacing > 0):
            raise ValueError(f"A grid's spacing must be a positive number, not {self.spacing}.")
        if len(self.shape) != 3 or min(self.shape) < 1 or np.prod(self.shape, dtype=np.float64) > LARGEST_GRID:
            raise ValueError(
                f"A grid's shape must be three sizes of at least 1 with at most 2^30 nodes, not {self.shape}."
            )

    @classmethod
    def cube(cls, resolution: int, half_extent: float = 1.0) -> "Grid":
        """resolution³ nodes spanning the cube [-half_extent, half_extent]³, corners included; default: model space."""
        if resolution < 2:
            raise ValueError(f"A cube of nodes needs a resolution of at least 2, not {resolution}.")
        return cls((-half_extent,) * 3, 2 * half_extent / (resolution - 1), (resolution,) * 3)

    def points(self) -> np.ndarray:
        """Every node's position, (X · Y · Z, 3) float64, in the order of the grid's memory."""
        axes = [np.arange(size) * self.spacing + start for size, start in zip(self.shape, self.origin, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def mesh_to_sdf(
    vertices: torch.Tensor, faces: torch.Tensor, where: torch.Tensor | Grid, *, band: float | None = BAND
) -> torch.Tensor:
    """Signed distance to a mesh, negative inside, that may be open, self-intersecting, doubled or inside out.

    vertices: (V, 3) float32. faces: (F, 3) int32 or int64.
    where: points (N, 3) float32, or a Grid.
    band: for a grid, how many cells from the surface distances are computed; beyond it a node holds ± band · spacing.
    None computes every node's. Without effect for points.
    Returns (N,) float32, which carries gradients to points and vertices, or (X, Y, Z) float32, which does not; on the
    vertices' device and in the vertices' unit.

    The magnitude is the exact distance to the faces as given. The sign is that of the generalised winding number after
    repeated faces were taken once, neighbours wound alike (face_orientation) and small holes filled (sdf_sign): inside
    where its absolute value exceeds 1/2, so the mesh may also be inside out. Nothing lies inside a flat sheet.
    Raises TypeError or ValueError for a wrong type, shape, index, or value that is not finite.
    """
    check_mesh(vertices, faces)
    if isinstance(where, Grid):
        return _on_grid(vertices.detach(), faces, where, band)
    check_points("where", where)
    check_same_device(where=where, vertices=vertices, faces=faces)
    squared, _, _ = point_to_mesh_distance(where, vertices, faces)
    # The root's slope at 0 is infinite; a point on the surface gets the gradient 0.
    positive = squared > 0
    distance = torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)
    return torch.where(_are_inside(where.detach(), vertices.detach(), faces), -distance, distance)


def _are_inside(points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Whether each point (N, 3) is inside, (N,) bool."""
    surface = _oriented(vertices, faces)
    if len(surface.faces) == 0:
        return torch.zeros(len(points), dtype=torch.bool, device=points.device)
    fills, _ = closing_fans(surface)
    corners = np.concatenate([surface.vertices[surface.faces], fills])
    if computing_device(points.device).type == "cuda":
        from .mesh_cuda import winding_on_cuda

        on_device = torch.from_numpy(corners.reshape(-1, 3)).to(points.device, torch.float32)
        in_order = torch.arange(len(on_device), device=points.device).view(-1, 3)
        return winding_on_cuda(points, on_device, in_order).abs() > 0.5
    winding = winding_of_arrays(points.cpu().double().numpy(), build_winding_tree(corners))
    return torch.from_numpy(np.abs(winding) > 0.5).to(points.device)


def _oriented(vertices: torch.Tensor, faces: torch.Tensor) -> OrientedFaces:
    return orient_faces(vertices.cpu().double().numpy(), faces.cpu().to(torch.int32).numpy())


def mesh_to_distance(
    vertices: torch.Tensor, faces: torch.Tensor, grid: Grid, *, band: float | None = BAND
) -> torch.Tensor:
    """The distance of `mesh_to_sdf` on a grid without its sign, for faces that enclose nothing; arguments as there.

    Returns (X, Y, Z) float32. Raises TypeError or ValueError as `mesh_to_sdf` does.
    """
    check_mesh(vertices, faces)
    return torch.from_numpy(_grid_distances(vertices.detach(), faces, grid, band)).to(vertices.device)


def _on_grid(vertices: torch.Tensor, faces: torch.Tensor, grid: Grid, band: float | None) -> torch.Tensor:
    """Distances by device, signs on the CPU: those are a few milliseconds' work wherever they are done."""
    distance = _grid_distances(vertices, faces, grid, band)
    surface = _oriented(vertices, faces)
    in_cells = (surface.vertices - np.asarray(grid.origin)) / grid.spacing
    _apply_sign(replace(surface, vertices=in_cells), distance)
    return torch.from_numpy(distance).to(vertices.device)


def _grid_distances(vertices: torch.Tensor, faces: torch.Tensor, grid: Grid, band: float | None) -> np.ndarray:
    if band is not None and not band >= 1:
        raise ValueError(f"band must be at least 1 cell, not {band}.")
    if computing_device(vertices.device).type == "cuda":
        from .mesh_cuda import grid_distances_on_cuda

        return grid_distances_on_cuda(vertices, faces, grid.origin, grid.spacing, grid.shape, band).cpu().numpy()
    in_cells = (vertices.cpu().double().numpy() - np.asarray(grid.origin)) / grid.spacing
    corners = in_cells[np.ascontiguousarray(faces.cpu().numpy())]
    return _distances(corners, grid) if band is None else _band_distances(corners, grid, band)


def _distances(corners: np.ndarray, grid: Grid) -> np.ndarray:
    """Every node's distance, (X, Y, Z) float32; corners (F, 3, 3) float64 in cells."""
    nodes = Grid((0.0, 0.0, 0.0), 1.0, grid.shape).points()
    face, weights = NearestFaces(corners).at(nodes)
    nearest = (weights[:, :, None] * corners[face]).sum(axis=1)
    return (np.linalg.norm(nearest - nodes, axis=1) * grid.spacing).astype(np.float32).reshape(grid.shape)


def _band_distances(corners: np.ndarray, grid: Grid, band: float) -> np.ndarray:
    """Distances within the band, (X, Y, Z) float32; corners (F, 3, 3) float64 in cells."""
    planes, rows, columns = grid.shape
    padded = -(-columns // LANES) * LANES
    thickness = min(max(1, SLAB_BYTES // (4 * rows * padded)), planes)
    slabs = -(-planes // thickness)
    frames = np.empty((len(corners), FRAME_SIZE), np.float32)
    parallel_for(frame_triangles.on(corners, frames), len(corners), 4096)
    starts = np.empty(slabs + 1, np.int64)
    members = np.empty(2 * len(corners), np.int32)
    needed = list_by_slab(corners, band, thickness, slabs, starts, members)
    if needed > len(members):
        members = np.empty(needed, np.int32)
        list_by_slab(corners, band, thickness, slabs, starts, members)
    distance = np.empty(grid.shape, np.float32)

    def scatter(first: int, last: int) -> None:
        scratch = np.empty((thickness, rows, padded), np.float32)
        for slab in range(first, last):
            plane = slab * thickness
            part = distance[plane : plane + thickness]
            own = members[starts[slab] : starts[slab + 1]]
            scatter_slab(corners, frames, own, band, grid.spacing, plane, scratch[: len(part)], part)

    parallel_for(scatter, slabs)
    return distance


def _apply_sign(surface: OrientedFaces, distance: np.ndarray) -> None:
    """Negate distance (X, Y, Z) at the nodes inside; the surface's vertices are in cells."""
    planes, rows, columns = distance.shape
    fills, fans = closing_fans(surface)
    corners = np.concatenate([surface.vertices[surface.faces], fills, fans])
    starts = np.empty(planes + 1, np.int64)
    crossings = np.empty(4 * rows * columns, np.int32)
    needed = list_crossings(corners, planes, rows, columns, starts, crossings)
    if needed > len(crossings):
        crossings = np.empty(needed, np.int32)
        list_crossings(corners, planes, rows, columns, starts, crossings)
    tree = build_winding_tree(fans) if len(fans) else None
    slabs = -(-planes // CUBE)

    def apply(first: int, last: int) -> None:
        count = np.empty(rows * columns, np.int32)
        count_before(starts, crossings, first * CUBE, count)
        rounded = np.empty((CUBE if tree is not None else 0, rows, columns), np.int32)
        for plane in range(first * CUBE, min(last * CUBE, planes), CUBE):
            part = distance[plane : plane + CUBE]
            if tree is not None:
                round_winding_of_nodes(*tree.arrays, FAR, APPROXIMATION, plane, rounded[: len(part)])
            negate_inside(starts, crossings, plane, count, rounded[: len(part)], part)

    parallel_for(apply, slabs, grain=-(-slabs // (8 * thread_count())))
