"""What the mesh operations ask of points, vertices and faces."""

import torch

from .checks import check_finite, check_tensor


def check_points(name: str, points: torch.Tensor) -> None:
    """Raise TypeError or ValueError unless points is a finite float32 tensor (N, 3); N may be 0."""
    check_tensor(name, points, torch.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"{name} must have the shape (N, 3), not {tuple(points.shape)}.")
    check_finite(name, points)


def check_mesh(vertices: torch.Tensor, faces: torch.Tensor) -> None:
    """Raise TypeError or ValueError unless vertices (V, 3) float32 and faces (F, 3) int32 or int64 make a mesh, F ≥ 1.

    On a GPU the values are not looked at, because looking would wait for the device.
    """
    check_points("vertices", vertices)
    if not isinstance(faces, torch.Tensor) or faces.dtype not in (torch.int32, torch.int64):
        raise TypeError("faces must be an int32 or int64 tensor.")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces must have the shape (F, 3), not {tuple(faces.shape)}.")
    if len(faces) == 0:
        raise ValueError("faces is empty: a mesh needs at least one face.")
    if faces.device.type == "cpu" and (int(faces.min()) < 0 or int(faces.max()) >= len(vertices)):
        least, greatest = int(faces.min()), int(faces.max())
        raise ValueError(
            f"faces must hold vertex numbers from 0 to {len(vertices) - 1}, but has {least} to {greatest}."
        )
