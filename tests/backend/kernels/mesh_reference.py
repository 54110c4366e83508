"""Plain float64 mesh geometry, and meshes that are hard for fast code."""

import numpy as np
import torch
import trimesh

MESHES = (
    "closed",
    "inside out",
    "repeated faces",
    "two-sided",
    "faces turned at random",
    "corners split",
    "overlapping parts",
    "an inside-out part",
    "a hole",
    "cut in half",
    "many holes",
    "flat sheet",
    "faces without area",
    "on the grid",
    "sliver",
)
CLOSED = MESHES[:8]
"""Meshes whose interior is that of a closed surface, whatever was done to their faces."""


def mesh(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (V, 3) float32 and faces (F, 3) int64 of one of MESHES, within [-1, 1]³."""
    random = np.random.default_rng(3)
    ball = bumpy_ball()
    vertices, faces = ball
    centers = vertices[faces].mean(axis=1)
    if kind == "inside out":
        faces = faces[:, ::-1]
    elif kind == "repeated faces":
        faces = np.concatenate([faces, faces[::3], faces[::3]])
    elif kind == "two-sided":
        faces = np.concatenate([faces, faces[:, ::-1]])
    elif kind == "faces turned at random":
        turned = random.random(len(faces)) < 0.3
        faces = np.where(turned[:, None], faces[:, ::-1], faces)
    elif kind == "corners split":
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
    elif kind in ("overlapping parts", "an inside-out part"):
        shift, turn = ((0.3, 0.1, 0.2), 1) if kind == "overlapping parts" else ((0.0, 0.0, 0.75), -1)
        scale = 1.0 if kind == "overlapping parts" else 0.25
        other = scale * vertices + np.array(shift)
        faces = np.concatenate([faces, faces[:, ::turn] + len(vertices)])
        vertices = np.concatenate([vertices, other])
        if kind == "an inside-out part":
            vertices *= 0.9
    elif kind == "a hole":
        faces = faces[centers[:, 2] < 0.3]
    elif kind == "cut in half":
        faces = faces[centers[:, 0] < 0.05]
    elif kind == "many holes":
        faces = faces[random.random(len(faces)) > 0.15]
    elif kind == "flat sheet":
        vertices = np.array([[-0.6, -0.5, 0.11], [0.5, -0.6, 0.07], [0.6, 0.5, 0.13], [-0.5, 0.6, 0.17]])
        faces = np.array([[0, 1, 2], [0, 2, 3]])
    elif kind == "faces without area":
        faces = np.concatenate([faces, [[0, 0, 5], [7, 7, 7], [0, 9, 9]]])
        middle = (vertices[0] + vertices[40]) / 2
        faces = np.concatenate([faces, [[0, len(vertices), 40]]])
        vertices = np.concatenate([vertices, middle[None]])
    elif kind == "on the grid":
        box = trimesh.creation.box((1.0, 1.0, 1.0))
        vertices, faces = np.asarray(box.vertices), np.asarray(box.faces)
    elif kind == "sliver":
        vertices = np.array([[-0.7, -0.7, -0.7], [0.7, 0.7, 0.7], [0.7001, 0.7, 0.7], [0, 0, 0.1]])
        faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    return torch.tensor(np.ascontiguousarray(vertices), dtype=torch.float32), torch.tensor(np.ascontiguousarray(faces))


def bumpy_ball(subdivisions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A closed ball with dents, wound outwards."""
    ball = trimesh.creation.icosphere(subdivisions)
    x, y, z = ball.vertices.T
    radius = 0.5 + 0.13 * np.sin(5 * x + 1) * np.cos(4 * y) + 0.05 * np.sin(7 * z)
    return ball.vertices * radius[:, None], np.asarray(ball.faces)


def squared_distance(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """From every point (N, 3) to the nearest of the triangles (F, 3, 3), by trying plane and edges of each: (N,)."""
    best = np.full(len(points), np.inf)
    for a, b, c in corners:
        ab, ac = b - a, c - a
        gram = np.array([[ab @ ab, ab @ ac], [ab @ ac, ac @ ac]])
        if np.linalg.det(gram) > 1e-14 * gram[0, 0] * gram[1, 1]:
            place = np.linalg.solve(gram, np.stack([(points - a) @ ab, (points - a) @ ac])).T
            inside = (place >= 0).all(axis=1) & (place.sum(axis=1) <= 1)
            nearest = a + place @ np.stack([ab, ac])
            best = np.where(inside, np.minimum(best, ((points - nearest) ** 2).sum(axis=1)), best)
        for start, end in ((a, b), (b, c), (c, a)):
            step = end - start
            along = np.clip((points - start) @ step / max(step @ step, 1e-300), 0, 1)
            best = np.minimum(best, ((points - start - along[:, None] * step) ** 2).sum(axis=1))
    return best


def winding(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Sum of the triangles' solid angles over 4π (Van Oosterom and Strackee 1983), float64: (N,)."""
    total = np.zeros(len(points))
    for triangle in corners:
        a, b, c = triangle[:, None] - points
        al, bl, cl = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c))
        rest = al * bl * cl + (a * b).sum(1) * cl + (b * c).sum(1) * al + (c * a).sum(1) * bl
        total += 2 * np.arctan2(volume, rest)
    return total / (4 * np.pi)
