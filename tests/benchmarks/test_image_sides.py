from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np

from backend.color import srgb_to_linear
from backend.data.archive import Archive
from backend.mesh import Mesh
from backend.recipe import Recipe, Result, Viewpoint
from backend.representations.mesh_rendering import Window
from backend.tasks.picture_pose import Pose
from benchmarks.image_sides import unseen_sides


def _viewpoint(azimuth: float) -> Viewpoint:
    return Pose(azimuth, 0.2, Window(), 1.0).viewpoint


def test_the_object_itself_from_where_it_is_seen_is_perfect_and_turned_it_is_not(write_archive, tmp_path: Path) -> None:
    truth = Archive(write_archive(tmp_path / "tiny.zip"))[0]
    corners = np.arange(3 * len(truth.faces)).reshape(-1, 3)
    colors = srgb_to_linear(np.repeat(truth.face_colors, 3, axis=0).astype(np.float32) / 255)
    moved = 0.5 * truth.vertices[truth.faces].reshape(-1, 3) + [0.1, 0, 0.2]
    recipe = Recipe.create("image_to_3d", "feed-forward", picture="object.png")
    exact = Result(Mesh(moved, corners, colors), np.eye(4), recipe, {}, [], viewpoint=_viewpoint(0.3))
    assert unseen_sides(exact, truth, 0.3) > 40
    turned = math.pi / 3
    askew = dataclasses.replace(exact, viewpoint=_viewpoint(0.3 + turned))
    assert unseen_sides(askew, truth, 0.3) < 30
