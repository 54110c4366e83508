"""A striped vase with a blue rim: vertices, faces, colours, UVs and a texture, different for each seed."""

from __future__ import annotations

from typing import Any

import numpy as np

TRANSFORM = np.array([[0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0.5, 0.45], [0, 0, 0, 1]])
ROUND, RINGS, TEXELS = 48, 33, 128
RED, CREAM, BLUE = (230, 30, 40), (240, 235, 220), (40, 60, 220)


def vase_arrays(seed: int) -> dict[str, Any]:
    """The arguments of a Mesh: a closed surface of revolution, 1.8 high, in model space."""
    height = np.linspace(0.0, 1.0, RINGS)
    radius = 0.4 + 0.15 * np.sin(height * (5.0 + 0.25 * (seed % 7)))
    angle = np.linspace(0.0, 2.0 * np.pi, ROUND, endpoint=False)
    rings = np.stack(
        [
            radius[:, None] * np.cos(angle),
            radius[:, None] * np.sin(angle),
            np.broadcast_to(height[:, None] * 1.8 - 0.9, (RINGS, ROUND)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    vertices = np.concatenate([rings, [[0.0, 0.0, -0.9], [0.0, 0.0, 0.9]]])
    ring, step = np.arange(RINGS - 1)[:, None] * ROUND, np.arange(ROUND)
    following = (step + 1) % ROUND
    a, b, c, d = (
        part.ravel() for part in (ring + step, ring + following, ring + ROUND + following, ring + ROUND + step)
    )
    foot, top, last = len(rings), len(rings) + 1, (RINGS - 1) * ROUND
    faces = np.concatenate(
        [
            np.stack([a, b, c], 1),
            np.stack([a, c, d], 1),
            np.stack([following, step, np.full(ROUND, foot)], 1),
            np.stack([last + step, last + following, np.full(ROUND, top)], 1),
        ]
    )
    texture = np.empty((TEXELS, TEXELS, 3), np.uint8)
    texture[...] = np.where((np.arange(TEXELS) // 16 % 2 == 0)[:, None, None], RED, CREAM)
    texture[: TEXELS // 8] = BLUE  # row 0 is the top
    upward = np.clip((vertices[:, 2] + 0.9) / 1.8, 0.0, 1.0)
    uvs = np.stack([np.full(len(vertices), 0.5), upward * 0.998 + 0.001], axis=1)
    colors = np.stack([upward, np.full(len(vertices), 0.25), 1.0 - upward], axis=1)
    return {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "colors": colors.astype(np.float32),
        "uvs": uvs[faces].astype(np.float32),
        "texture": texture,
    }
