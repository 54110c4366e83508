"""The whole way from a field to a textured mesh, and its later steps one by one."""

import numpy as np
import pytest
import trimesh

from backend.color import srgb_to_linear
from backend.errors import Cancelled, InputError
from backend.meshing.bake import bake_texture, surface_under_texels
from backend.meshing.mesh_from_field import mesh_from_field
from backend.meshing.normals import vertex_normals
from backend.meshing.simplify import simplify
from backend.meshing.surface import extract_surface
from backend.meshing.unwrap import unwrap
from backend.meshing.validity import (
    enclosed_volume,
    euler_characteristic,
    is_manifold,
    is_watertight,
    triangle_quality,
)
from tests.backend.meshing.exact_fields import ExactField, box, chair, sphere, torus, union, waves, without

SOLIDS = {
    "sphere": sphere(0.8),
    "torus": torus(),
    "thin plate": box((0.8, 0.6, 0.02)),
    "shell": without(sphere(0.8), sphere(0.5)),
    "touching spheres": union(sphere(0.4, (-0.4, 0, 0)), sphere(0.4, (0.4, 0, 0))),
    "beyond the border": box((2, 0.5, 0.5)),
    "chair": chair(),
    "gyroid": waves(9.0),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_every_solid_becomes_a_sound_mesh_with_all_that_a_scene_needs(name: str) -> None:
    field = ExactField(SOLIDS[name])
    mesh = mesh_from_field(field, detail=48, face_count=1500, texture_size=128)
    assert is_watertight(mesh.faces) and is_manifold(mesh.faces)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=True).is_watertight
    assert enclosed_volume(mesh.vertices, mesh.faces) > 0
    assert 1300 <= len(mesh.faces) <= 1530
    assert np.abs(SOLIDS[name](mesh.vertices.clip(-0.97, 0.97).astype(np.float64))).max() < 2 / 48 or name in (
        "shell",
        "beyond the border",
    )
    np.testing.assert_allclose(mesh.colors, (mesh.vertices + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    assert mesh.uvs.min() >= 0 and mesh.uvs.max() <= 1
    assert mesh.texture.shape == (128, 128, 3)


def test_texture_shows_the_field_s_colour_at_every_face() -> None:
    mesh = mesh_from_field(ExactField(sphere(0.8)), detail=32, face_count=400, texture_size=256)
    middles = mesh.vertices[mesh.faces].mean(axis=1)
    u, v = mesh.uvs.mean(axis=1).T
    texels = mesh.texture[np.floor((1 - v) * 256).astype(int), np.floor(u * 256).astype(int)]
    shown = srgb_to_linear(texels / 255)
    assert np.abs(shown - (middles + 1) / 2).max() < 0.03


def test_same_field_gives_the_same_bytes() -> None:
    one, other = (mesh_from_field(ExactField(chair()), detail=48, face_count=2000, texture_size=64) for _ in range(2))
    for name in ("vertices", "faces", "colors", "normals", "uvs", "texture"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_floaters_and_cavities_do_not_reach_the_mesh() -> None:
    solid = union(without(sphere(0.6), sphere(0.3)), sphere(0.05, (0.85, 0.85, 0.85)))
    mesh = mesh_from_field(ExactField(solid), detail=64, face_count=3000, texture_size=64)
    assert euler_characteristic(mesh.faces) == 2
    assert enclosed_volume(mesh.vertices, mesh.faces) == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.01)


def test_progress_names_the_stages_in_order_and_each_can_be_cancelled() -> None:
    heard: list[tuple[str, float]] = []
    options = {"detail": 64, "face_count": 500, "texture_size": 64}
    mesh_from_field(ExactField(sphere()), progress=lambda *step: heard.append(step), **options)
    assert list(dict.fromkeys(stage for stage, _ in heard)) == ["Extracting", "Simplifying", "Texturing"]
    for stage in ("Extracting", "Simplifying", "Texturing"):
        fractions = [fraction for name, fraction in heard if name == stage]
        assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
        at: list[str] = []
        with pytest.raises(Cancelled):
            mesh_from_field(
                ExactField(sphere()),
                progress=lambda name, _, at=at: at.append(name),
                cancelled=lambda at=at, stage=stage: at[-1:] == [stage],
                **options,
            )
        assert at[-1] == stage


def test_empty_field_is_refused() -> None:
    with pytest.raises(InputError, match="came out empty"):
        mesh_from_field(ExactField(sphere(-1)), detail=32, face_count=100)


@pytest.mark.parametrize("face_count", [100, 1000, 5000])
def test_simplified_sphere_stays_a_sphere(face_count: int) -> None:
    vertices, faces = extract_surface(ExactField(sphere(0.8)), 48)
    few_vertices, few_faces = simplify(vertices, faces, face_count)
    assert 0.98 * face_count <= len(few_faces) <= face_count
    assert is_manifold(few_faces) and euler_characteristic(few_faces) == 2
    lost = 1 - enclosed_volume(few_vertices, few_faces) / enclosed_volume(vertices, faces)
    assert abs(lost) < 8 / face_count, "an inscribed polyhedron loses volume in proportion to one over its faces"
    assert (triangle_quality(few_vertices, few_faces) < 0.05).mean() < 0.01


def test_many_handles_survive_or_close_soundly() -> None:
    vertices, faces = extract_surface(ExactField(waves(20.0)), 48)
    for face_count in (300, 3000):
        few_vertices, few_faces = simplify(vertices, faces, face_count)
        assert is_manifold(few_faces) and enclosed_volume(few_vertices, few_faces) > 0


def test_mesh_with_few_faces_is_not_touched() -> None:
    vertices, faces = extract_surface(ExactField(sphere(0.8)), 32)
    same_vertices, same_faces = simplify(vertices, faces, len(faces))
    assert same_vertices is vertices and same_faces is faces


def test_charts_do_not_overlap() -> None:
    vertices, faces = extract_surface(ExactField(chair()), 48)
    vertices, faces = simplify(vertices, faces, 2000)
    uvs = unwrap(vertices, faces, 512)
    (ux, uy), (vx, vy) = (uvs[:, 1] - uvs[:, 0]).T, (uvs[:, 2] - uvs[:, 0]).T
    area = np.abs(ux * vy - uy * vx).sum() / 2
    covered, _ = surface_under_texels(vertices, faces, uvs, 1024)
    assert covered.mean() == pytest.approx(area, rel=0.01), "texels covered twice would make the sum the larger one"
    assert area > 0.25


def test_texels_show_the_points_of_a_known_triangle() -> None:
    vertices = np.array([[0, 0, 5], [1, 0, 5], [0, 1, 5]], dtype=np.float32)
    uvs = np.array([[[0, 0], [1, 0], [0, 1]]], dtype=np.float32)
    covered, points = surface_under_texels(vertices, np.array([[0, 1, 2]]), uvs, 4)
    # v = 1 is the top row: the triangle fills the lower left half, its diagonal through texels' middles included.
    np.testing.assert_array_equal(covered, np.tril(np.ones((4, 4), dtype=bool)))
    row, column = np.nonzero(covered)
    np.testing.assert_allclose(
        points, np.stack([(column + 0.5) / 4, 1 - (row + 0.5) / 4, 0 * row + 5], axis=1), atol=1e-6
    )


def test_margins_repeat_the_nearest_colour() -> None:
    class Red(ExactField):
        def color(self, points):
            return points.new_tensor([1.0, 0.0, 0.0]).expand(len(points), 3)

    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    uvs = np.array([[[0.4, 0.4], [0.6, 0.4], [0.4, 0.6]]], dtype=np.float32)
    texture = bake_texture(Red(sphere()), vertices, np.array([[0, 1, 2]]), uvs, 32)
    assert (texture == [255, 0, 0]).all()


def test_normals_of_a_sphere_point_outwards() -> None:
    vertices, faces = extract_surface(ExactField(sphere(0.8)), 48)
    cosine = np.einsum(
        "vi,vi->v", vertex_normals(vertices, faces), vertices / np.linalg.norm(vertices, axis=1)[:, None]
    )
    assert cosine.min() > 0.98


def test_normals_of_a_cube_ignore_how_its_sides_are_cut() -> None:
    cube = trimesh.creation.box()
    expected = np.asarray(cube.vertices) / np.linalg.norm(cube.vertices, axis=1)[:, None]
    np.testing.assert_allclose(vertex_normals(np.asarray(cube.vertices), np.asarray(cube.faces)), expected, atol=1e-6)
