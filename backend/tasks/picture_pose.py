"""From where a picture shows a shape: the azimuth at which the shape's own picture agrees with it best."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch

from ..data.cut_out import FILLED, resized
from ..mesh import Mesh
from ..recipe import Viewpoint
from ..representations.cameras import Cameras
from ..representations.mesh_rendering import Window, render_mesh, silhouette_window

COMPARED_SIZE = 48
AZIMUTHS = 20
HALVINGS = 3
"""Of the step between azimuths, around the best of them."""
COLOR_WEIGHT = 0.4
FRONT_PREFERENCE = 0.03
"""People photograph fronts; the silhouette alone cannot tell front from back."""


@dataclass(frozen=True)
class Pose:
    """Where the picture's camera is, on the orbit of the standard framing, and which part of what it sees the picture
    shows. azimuth, elevation: radians. agreement: how well the shape agrees with the picture from there, at most 1."""

    azimuth: float
    elevation: float
    window: Window
    agreement: float

    @property
    def cameras(self) -> Cameras:
        """The picture's camera, alone."""
        return Cameras.framing(torch.tensor([self.azimuth]), torch.tensor([self.elevation]))

    def framing(self, vertices: np.ndarray) -> Pose:
        """The same camera with the window in which a surface (V, 3) fills the picture as it should."""
        return dataclasses.replace(self, window=silhouette_window(vertices, self.cameras, filled=FILLED))

    @property
    def viewpoint(self) -> Viewpoint:
        """The camera whose whole picture is the window."""
        matrix = np.eye(4)
        right, up, ahead = self.cameras.rotations[0].numpy().astype(np.float64)
        matrix[:3, :3] = np.stack([right, up, -ahead], axis=1)
        matrix[:3, 3] = self.cameras.origins[0].numpy()
        field_of_view = 2 * math.atan(math.tan(self.cameras.field_of_view / 2) * self.window.half)
        shift = self.window.x / (2 * self.window.half), -self.window.y / (2 * self.window.half)
        return Viewpoint(matrix, field_of_view, shift)


def find_pose(mesh: Mesh, picture: np.ndarray, elevation: float) -> Pose:
    """The pose in which a mesh in model space, with vertex colours, agrees best with a cut-out, recentred picture
    (S, S, 4) float32, sRGB and alpha, taken at `elevation` (radians)."""
    wanted = resized(picture, COMPARED_SIZE)
    step = 2 * np.pi / AZIMUTHS
    best = max((_posed(mesh, wanted, turn * step, elevation) for turn in range(AZIMUTHS)), key=_agreement)
    for _ in range(HALVINGS):
        step /= 2
        sides = [_posed(mesh, wanted, best.azimuth + side * step, elevation) for side in (-1, 1)]
        best = max([best, *sides], key=_agreement)
    return best


def _agreement(pose: Pose) -> float:
    return pose.agreement


def _posed(mesh: Mesh, wanted: np.ndarray, azimuth: float, elevation: float) -> Pose:
    camera = Cameras.framing(torch.tensor([azimuth]), torch.tensor([elevation]))
    window = silhouette_window(mesh.vertices, camera, filled=FILLED)
    shown = render_mesh(mesh, camera, size=COMPARED_SIZE, window=window)
    return Pose(azimuth, elevation, window, agreement(shown, wanted) + FRONT_PREFERENCE * math.cos(azimuth))


def agreement(shown: np.ndarray, wanted: np.ndarray) -> float:
    """How alike two pictures (S, S, 4) of an object are: the intersection of their silhouettes over their union, less
    the mean difference of colours where both show it, each brought to the same mean brightness."""
    both, either = np.minimum(shown[..., 3], wanted[..., 3]), np.maximum(shown[..., 3], wanted[..., 3])
    if both.sum() == 0:
        return 0.0
    bright, wanted_bright = ((picture[..., :3].mean(axis=-1) * both).sum() / both.sum() for picture in (shown, wanted))
    difference = np.abs(shown[..., :3] - bright - (wanted[..., :3] - wanted_bright)).mean(axis=-1)
    return float(both.sum() / either.sum() - COLOR_WEIGHT * (difference * both).sum() / both.sum())
