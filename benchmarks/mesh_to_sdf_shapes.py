"""Meshes of any size, and what files make of good ones."""

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]


def dented_ball(count: int) -> Mesh:
    """A closed surface of about `count` faces within [-1, 1]³: vertices (V, 3) float64, faces (F, 3) int32."""
    rings = round((count / 2) ** 0.5)
    polar, around = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.arange(rings) * (2 * np.pi / rings), indexing="ij")
    radius = 0.75 + 0.12 * np.sin(5 * polar) * np.cos(6 * around) * np.sin(polar)
    directions = [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)]
    vertices = np.stack([radius * direction for direction in directions], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings), np.arange(rings), indexing="ij")
    a, b = i * rings + j, i * rings + (j + 1) % rings
    low, high = np.stack([a, a + rings, b], axis=-1), np.stack([b, a + rings, b + rings], axis=-1)
    return vertices, np.concatenate([low.reshape(-1, 3), high.reshape(-1, 3)]).astype(np.int32)


def broken(vertices: np.ndarray, faces: np.ndarray) -> dict[str, Mesh]:
    """A closed mesh and what files make of such ones; the interior is meant to stay the same."""
    random = np.random.default_rng(0)
    center = vertices[faces].mean(axis=1)
    turned = random.random(len(faces)) < 0.1
    hole = np.argsort(np.linalg.norm(center - center[len(faces) // 2], axis=1))[max(len(faces) // 50, 1) :]
    return {
        "whole": (vertices, faces),
        "inside out": (vertices, faces[:, ::-1]),
        "a tenth turned": (vertices, np.where(turned[:, None], faces[:, ::-1], faces)),
        "a third repeated": (vertices, np.concatenate([faces, faces[::3]])),
        "two-sided": (vertices, np.concatenate([faces, faces[:, ::-1]])),
        "corners split": (vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)),
        "one hole": (vertices, faces[np.sort(hole)]),
        "a tenth missing": (vertices, faces[~turned]),
    }
