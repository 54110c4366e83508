"""The nearest point of a triangle mesh."""

import numpy as np
import torch

from .box_tree import boxes_of_triangles, build_box_tree, morton_order
from .checks import check_same_device
from .devices import computing_device
from .mesh_checks import check_mesh, check_points
from .mesh_search import LEAF_SIZE, nearest_faces
from .sdf_band import FRAME_SIZE, frame_triangles
from .threads import parallel_for


def point_to_mesh_distance(
    points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Squared distance to the nearest point of a mesh, the face it lies on, and the point itself.

    points: (N, 3) float32. vertices: (V, 3) float32. faces: (F, 3) int32 or int64. N may be 0; F may not.
    Returns squared distance (N,) float32, face (N,) int64, closest point (N, 3) float32, on the points' device.
    Distance and closest point carry gradients to points and vertices: those of the nearest point held at its place on
    its face, which is the derivative wherever the nearest point is unique, and one of the subgradients elsewhere.
    Faces without area count as the segment or point that they are.
    Raises TypeError or ValueError for a wrong type, shape, index, or value that is not finite.
    """
    check_points("points", points)
    check_mesh(vertices, faces)
    check_same_device(points=points, vertices=vertices, faces=faces)
    device = computing_device(points.device)
    if device.type == "cuda":
        from .mesh_cuda import nearest_faces_on_cuda

        face, weights = nearest_faces_on_cuda(points.detach(), vertices.detach(), faces)
    else:
        corners = vertices.detach().cpu().double().numpy()[faces.cpu().numpy()]
        found, place = NearestFaces(corners).at(points.detach().cpu().double().numpy())
        face, weights = torch.from_numpy(found).to(points.device), torch.from_numpy(place).to(points.device)
    nearest = vertices[faces[face].long()]
    # Relative to the point, so that nothing is lost far from the origin.
    offset = (weights[:, :, None] * (nearest - points[:, None])).sum(dim=1)
    return offset.square().sum(dim=1), face, points + offset


class NearestFaces:
    """The triangles (F, 3, 3) float64 of a mesh, made ready for being asked on the CPU, as often as you like."""

    def __init__(self, corners: np.ndarray) -> None:
        low, high = boxes_of_triangles(corners)
        self._middle = (low.min(axis=0) + high.max(axis=0)) / 2
        self._corners = corners = np.ascontiguousarray(corners - self._middle)
        tree = build_box_tree(low - self._middle, high - self._middle, leaf_size=LEAF_SIZE)
        frames = np.empty((len(corners), FRAME_SIZE), np.float32)
        parallel_for(frame_triangles.on(corners, frames), len(corners), 4096)

        # Leaves as lanes: number by number, the same one of all the leaf's triangles side by side. A place left empty
        # repeats the leaf's first triangle.
        slots = tree.order.reshape(tree.leaves, LEAF_SIZE)
        self._slots = slots = np.where(slots >= 0, slots, np.maximum(slots[:, :1], 0))
        lanes = np.concatenate([frames, corners[:, 0].astype(np.float32)], axis=1)[slots]
        self._lanes = np.ascontiguousarray(lanes.transpose(0, 2, 1))
        self._low, self._high = tree.low.astype(np.float32), tree.high.astype(np.float32)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The face nearest to each of points (N, 3) float64, (N,) int64, and the barycentric place on it, (N, 3)
        float32. Exact to float32 rounding of lengths about the mesh's size."""
        points = np.ascontiguousarray(points - self._middle)
        face = np.empty(len(points), np.int64)
        weights = np.empty((len(points), 3), np.float32)
        mesh = (self._corners, self._slots, self._lanes, self._low, self._high)
        parallel_for(nearest_faces.on(points, morton_order(points), *mesh, face, weights), len(points), 256)
        return face, weights

    def distances(self, points: np.ndarray) -> np.ndarray:
        """From points (N, 3) float64 to the nearest face, (N,) float64."""
        face, weights = self.at(points)
        feet = (weights[:, :, None] * self._corners[face]).sum(axis=1) + self._middle
        return np.linalg.norm(feet - points, axis=1)
