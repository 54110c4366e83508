"""A part is read once for all samples of it, and its mirror is exact where the box has it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.data.mesh_files import write_mesh
from backend.mesh import Mesh
from backend.meshing.join_original import join_original
from backend.meshing.mirror_images import Mirror
from backend.meshing.validity import enclosed_volume, is_watertight
from backend.models.observation import UnknownBox, outside_of
from backend.tasks import loaded_models
from backend.tasks.partial_shape import PartialShape

OFF = 0.1
"""Where the middle is, which comes back from model space as another number."""


@pytest.fixture
def slab(box) -> Mesh:
    return Mesh(*box((OFF - 0.7, -0.3, -0.4), (OFF + 0.7, 0.3, 0.4)))


def area_of(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def right_half(whole: Mesh) -> tuple[Mesh, UnknownBox]:
    beyond = UnknownBox(np.array([OFF, -0.4, -0.5]), np.array([OFF + 0.72, 0.4, 0.5]))
    return Mesh(*outside_of(beyond, whole.vertices, whole.faces)), beyond


def test_a_file_is_read_again_only_when_it_changed(slab, tmp_path):
    part, unknown = right_half(slab)
    path = tmp_path / "part.ply"
    write_mesh(path, part)
    try:
        first = PartialShape.read(str(path), unknown)
        assert PartialShape.read(str(path), UnknownBox(unknown.low.copy(), unknown.high.copy())) is first
        assert PartialShape.read(str(path), UnknownBox(unknown.low, unknown.high + 0.1)) is not first
        write_mesh(path, slab)
        assert len(PartialShape.read(str(path), unknown).shape.faces) == len(slab.faces)
    finally:
        loaded_models.release_models()
    assert PartialShape.read(str(path), unknown) is not first
    loaded_models.release_models()


def test_original_and_mirror_image_meet_without_walls_between(slab):
    part, unknown = right_half(slab)
    partial = PartialShape.of(part, unknown)
    observation, mirror = partial.seen_by(0, mirror=True)
    assert mirror is not None and mirror.at == unknown.low[0]
    assert observation.unknown is not None and observation.unknown.empty
    assert partial.seen_by(0, mirror=False) == (partial.observation, None)
    whole = join_original(part.vertices, part.faces, unknown.low, unknown.high, (slab.vertices, slab.faces), mirror)
    assert whole is not None
    assert area_of(whole.vertices, whole.faces) == pytest.approx(2 * (1.4 * 0.6 + 1.4 * 0.8 + 0.6 * 0.8), rel=1e-5)


def test_solids_that_overlap_are_joined_to_their_images_without_walls_between(slab, box):
    other, faces = box((OFF - 0.6, -0.2, -0.1), (OFF + 0.6, 0.2, 0.5))
    everything = Mesh(np.concatenate([slab.vertices, other]), np.concatenate([slab.faces, faces + len(slab.vertices)]))
    part, unknown = right_half(everything)
    mirror = PartialShape.of(part, unknown).seen_by(0, mirror=True)[1]
    whole = join_original(part.vertices, part.faces, unknown.low, unknown.high, (slab.vertices, slab.faces), mirror)
    assert whole is not None and is_watertight(whole.faces) and whole.kept.all()
    area = 2 * (1.4 * 0.6 + 1.4 * 0.8 + 0.6 * 0.8) + 2 * (1.2 * 0.4 + 1.2 * 0.6 + 0.4 * 0.6)
    assert area_of(whole.vertices, whole.faces) == pytest.approx(area, rel=1e-5)


def test_a_cavity_goes_on_in_the_image(slab, box):
    hollow, faces = box((OFF - 0.6, -0.2, -0.3), (OFF + 0.6, 0.2, 0.3))
    everything = Mesh(
        np.concatenate([slab.vertices, hollow]), np.concatenate([slab.faces, faces[:, ::-1] + len(slab.vertices)])
    )
    part, unknown = right_half(everything)
    mirror = PartialShape.of(part, unknown).seen_by(0, mirror=True)[1]
    whole = join_original(part.vertices, part.faces, unknown.low, unknown.high, (slab.vertices, slab.faces), mirror)
    assert whole is not None and is_watertight(whole.faces)
    volume = 1.4 * 0.6 * 0.8 - 1.2 * 0.4 * 0.6
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(volume, rel=1e-5)


def test_a_scrap_that_encloses_nothing_does_not_keep_the_rest_from_being_joined(slab):
    scrap = np.array([[-0.9, 0, 0.6], [-0.8, 0, 0.6], [-0.9, 0.1, 0.6], [-0.8, 0.1, 0.6]])
    faces = np.array([[0, 1, 2], [1, 3, 2], [0, 3, 1], [0, 2, 3]])
    everything = Mesh(np.concatenate([slab.vertices, scrap]), np.concatenate([slab.faces, faces + len(slab.vertices)]))
    part, unknown = right_half(everything)
    mirror = Mirror(0, OFF, unknown.low, unknown.low)
    whole = join_original(part.vertices, part.faces, unknown.low, unknown.high, (slab.vertices, slab.faces), mirror)
    assert whole is not None and is_watertight(whole.faces)
    assert enclosed_volume(whole.vertices, whole.faces) == pytest.approx(1.4 * 0.6 * 0.8, rel=1e-5)
