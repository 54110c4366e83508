from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
import trimesh

from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.mesh import Mesh
from backend.models.shape_space import ShapeSpace
from benchmarks import reconstruction_fidelity
from benchmarks.reconstruction_fidelity import (
    Fidelity,
    Reconstruction,
    Surface,
    colored_mesh,
    fidelity,
    reconstruct,
    tables,
)
from benchmarks.shape_clouds import TrainingShapes


@pytest.fixture(autouse=True)
def fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction_fidelity, "SAMPLES", 20_000)
    monkeypatch.setattr(reconstruction_fidelity, "VOLUME_POINTS", 20_000)


def ball(radius: float) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Surface.of(mesh.vertices, mesh.faces)


def data_object(mesh: trimesh.Trimesh, watertight: bool = True) -> DataObject:
    colors = np.arange(len(mesh.faces) * 3, dtype=np.uint8).reshape(-1, 3)
    vertices, faces = np.array(mesh.vertices, np.float64), np.array(mesh.faces, np.int64)
    return DataObject("t1", "Box", "a box", (), "Boxes", "container", None, watertight, vertices, faces, colors)


def test_a_shape_is_the_same_as_itself_without_sampling_noise() -> None:
    found = fidelity(ball(0.9), ball(0.9))
    assert found.iou == 1 and found.f_score == 1 and found.chamfer_l1 < 1e-5 and found.normal_consistency > 0.99


@pytest.mark.parametrize(("radius", "f_score"), [(0.885, 1.0), (0.8, 0.0)])
def test_balls_differ_by_what_geometry_says(radius: float, f_score: float) -> None:
    """The threshold is 1 % of the longest side: 0.018 for a radius of 0.9."""
    found = fidelity(ball(radius), ball(0.9))
    assert found.chamfer_l1 == pytest.approx(0.9 - radius, rel=0.02)
    assert found.iou == pytest.approx((radius / 0.9) ** 3, abs=0.01)
    assert found.f_score == pytest.approx(f_score, abs=1e-3)


def test_an_open_sheet_is_a_slab_of_the_thickness_that_is_taught() -> None:
    sheet = trimesh.Trimesh([[-0.9, -0.9, 0], [0.9, -0.9, 0], [0.9, 0.9, 0], [-0.9, 0.9, 0]], [[0, 1, 2], [0, 2, 3]])
    truth = Surface.of(sheet.vertices, sheet.faces)
    slab = trimesh.creation.box((1.812, 1.812, 0.012))
    found = fidelity(Surface.of(slab.vertices, slab.faces), truth)
    assert found.iou > 0.95
    assert found.chamfer_l1 == pytest.approx(0.006, rel=0.05)


def test_every_face_keeps_its_own_colour() -> None:
    shape = data_object(trimesh.creation.box((1, 1, 1)))
    mesh = colored_mesh(shape)
    assert len(mesh.vertices) == 36 and len(mesh.faces) == 12 and mesh.colors is not None
    expected = srgb_to_linear(shape.face_colors / 255)
    for corner in range(3):
        assert mesh.colors[mesh.faces[:, corner]] == pytest.approx(expected, abs=1e-6)
        assert mesh.vertices[mesh.faces[:, corner]] == pytest.approx(shape.vertices[shape.faces[:, corner]], abs=1e-6)


class FakeSpace:
    """Gives back two boxes side by side, whatever was encoded."""

    def encode(self, mesh: Mesh) -> torch.Tensor:
        return torch.zeros(1)

    def decode(self, latent: torch.Tensor, resolution: int) -> Mesh:
        cube = trimesh.creation.box((0.5, 0.5, 0.5))
        vertices = np.concatenate([cube.vertices, cube.vertices + np.array([0.7, 0, 0])])
        return Mesh(vertices, np.concatenate([cube.faces, cube.faces + len(cube.vertices)]))


class FakeTraining:
    def nearest_in_any_turn(self, positions: np.ndarray) -> tuple[int, int]:
        return 0, 1


def test_the_nearest_training_shape_is_measured_as_it_was_turned() -> None:
    plank = trimesh.creation.box((1.8, 0.4, 0.2))
    turned = trimesh.creation.box((0.4, 1.8, 0.2))
    source = cast(Archive, [data_object(plank)])
    found = reconstruct(
        cast(ShapeSpace, FakeSpace()), data_object(turned), cast(TrainingShapes, FakeTraining()), source
    )
    assert found.nearest.iou > 0.999 and found.nearest.chamfer_l1 < 1e-5
    assert found.watertight and found.parts == 2 and found.solid_parts == 1 and found.decoded.iou < 0.3
    assert found.solid.iou > 0.99 and found.solid.chamfer_l1 < 0.002


def test_tables_show_means_and_the_worst_last() -> None:
    good, bad = Fidelity(0.9, 0.01, 0.8, 0.95), Fidelity(0.5, 0.03, 0.4, 0.85)
    results = [
        Reconstruction("a poor one", bad, bad, good, True, 2, 1, 3.0, 2.0),
        Reconstruction("a fine one", good, bad, good, True, 1, 1, 1.0, 1.0),
    ]
    shown = tables(results)
    assert "| encoded and decoded | 0.700 | 0.0200 | 0.600 | 0.900 |" in shown
    assert "| the truth as a solid | 0.900 | 0.0100 | 0.800 | 0.950 |" in shown
    assert "| watertight | 2 of 2 |" in shown and "| one component | 1 of 2 |" in shown
    assert "| seconds of decode, median · most | 2.0 · 3.0 |" in shown
    assert shown.index("a fine one") < shown.index("a poor one")
