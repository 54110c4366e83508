"""The generalised winding number of a mesh."""

import numpy as np
import torch

from .checks import check_same_device
from .devices import computing_device
from .mesh_checks import check_mesh, check_points
from .threads import parallel_for
from .winding_tree import FAR, WindingTree, build_winding_tree, winding_at_points


def winding_number(
    points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor, *, far: float = FAR
) -> torch.Tensor:
    """How often a mesh winds around each point: 1 inside a closed mesh wound outwards, 0 outside; in between if open.

    points: (N, 3) float32. vertices: (V, 3) float32. faces: (F, 3) int32 or int64, taken as they are wound; repeated
    ones count repeatedly. far: a group of triangles further away than this many of its radii is replaced by a dipole,
    which makes the result wrong by less than 0.01 at 4; `math.inf` sums every triangle. A CUDA GPU always sums every
    triangle.
    Returns (N,) float32 on the points' device, without gradient. Source: see winding_tree.
    Raises TypeError or ValueError for a wrong type, shape, index, or value that is not finite.
    """
    check_points("points", points)
    check_mesh(vertices, faces)
    check_same_device(points=points, vertices=vertices, faces=faces)
    if not far >= 1:
        raise ValueError(f"far must be at least 1, not {far}.")
    device = computing_device(points.device)
    if device.type == "cuda":
        from .mesh_cuda import winding_on_cuda

        return winding_on_cuda(points.detach(), vertices.detach(), faces)
    corners = vertices.detach().cpu().double().numpy()[faces.cpu().numpy()]
    winding = winding_of_arrays(points.detach().cpu().double().numpy(), build_winding_tree(corners), far)
    return torch.from_numpy(winding).to(points.device, torch.float32)


def winding_of_arrays(points: np.ndarray, tree: WindingTree, far: float = FAR) -> np.ndarray:
    """On the CPU: winding numbers (N,) float64 at points (N, 3) float64 of a tree's triangles."""
    points = np.ascontiguousarray(points)
    winding = np.empty(len(points))
    parallel_for(
        winding_at_points.on(tree.corners, tree.tree.order, tree.dipoles, points, float(far), winding),
        len(points),
        256,
    )
    return winding
