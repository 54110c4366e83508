"""A mesh from sides that no picture showed, beside the object that it should be."""

from __future__ import annotations

import math

import numpy as np
import torch

from backend import Result
from backend.color import srgb_to_linear
from backend.data.archive import DataObject
from backend.mesh import Mesh
from backend.metrics import psnr
from backend.representations.cameras import Cameras
from backend.representations.mesh_rendering import render_mesh
from benchmarks.image_floors import normalized

TURNS = tuple(math.radians(turn) for turn in (45, 135, 225, 315))
"""From the picture's azimuth."""
ELEVATION = math.radians(17)
"""Between those of the views that the multi-view stage makes."""
SIZE = 96


def unseen_sides(result: Result, truth: DataObject, azimuth: float) -> float:
    """Mean PSNR (dB, over white) between the mesh and the object, both normalized and lit alike, from TURNS; each is
    turned by its own azimuth of the picture: the object's is given, the mesh's is the one that was found."""
    assert result.viewpoint is not None
    place = result.viewpoint.matrix[:3, 3]
    found = math.atan2(place[0], -place[1])
    used = np.unique(truth.faces)
    vertices = np.zeros((len(truth.vertices), 3))
    vertices[used] = normalized(np.asarray(truth.vertices, np.float64)[used])
    corners = np.arange(3 * len(truth.faces)).reshape(-1, 3)
    colors = srgb_to_linear(np.repeat(truth.face_colors, 3, axis=0).astype(np.float32) / 255)
    true_mesh = Mesh(vertices[truth.faces].reshape(-1, 3), corners, colors)
    mesh = Mesh(normalized(result.mesh.vertices.astype(np.float64)), result.mesh.faces, result.mesh.colors)
    return float(psnr(_shown(mesh, found), _shown(true_mesh, azimuth)).mean())


def _shown(mesh: Mesh, azimuth: float) -> torch.Tensor:
    """(4, 3, SIZE, SIZE) sRGB over white."""
    pictures = np.stack([_picture(mesh, azimuth + turn) for turn in TURNS])
    return torch.from_numpy(pictures[..., :3] * pictures[..., 3:] + 1 - pictures[..., 3:]).permute(0, 3, 1, 2)


def _picture(mesh: Mesh, azimuth: float) -> np.ndarray:
    camera = Cameras.framing(torch.tensor([azimuth]), torch.tensor([ELEVATION]))
    return render_mesh(mesh, camera, size=SIZE)
