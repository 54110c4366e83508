from __future__ import annotations

import numpy as np
import pytest
import trimesh

from backend.recipe import Recipe
from benchmarks.text_to_3d import PROMPTS, Made, Soundness, count_fans, seconds_table, soundness, soundness_table


def test_there_are_a_hundred_different_valid_prompts() -> None:
    assert len(set(PROMPTS)) == len(PROMPTS) == 100
    for prompt in PROMPTS:
        Recipe.create(prompt=prompt).validate()


def box(*offset: float) -> trimesh.Trimesh:
    mesh = trimesh.creation.box((1, 1, 1))
    mesh.apply_translation(offset)
    return mesh


def joined(first: trimesh.Trimesh, second: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Both meshes with vertices at the same place made one."""
    vertices = np.concatenate([first.vertices, second.vertices])
    faces = np.concatenate([first.faces, second.faces + len(first.vertices)])
    unique, place = np.unique(vertices.round(6), axis=0, return_inverse=True)
    return unique, place.reshape(-1)[faces]


def test_a_solid_is_sound() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    ring = trimesh.creation.torus(1.0, 0.3, major_sections=12, minor_sections=8)
    for mesh in (box(0, 0, 0), ball, ring):
        assert soundness(mesh.vertices, mesh.faces) == Soundness(True, True, True)
        assert count_fans(mesh.faces) == len(mesh.vertices)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("open", Soundness(False, False, True)),
        ("inverted", Soundness(False, False, True)),
        ("one face turned", Soundness(False, False, True)),
        ("two apart", Soundness(True, True, False)),
        ("two at one corner", Soundness(True, False, False)),
        ("two at one edge", Soundness(False, False, False)),
    ],
)
def test_defects_are_seen(name: str, wanted: Soundness) -> None:
    vertices, faces = np.array(box(0, 0, 0).vertices), np.array(box(0, 0, 0).faces)
    match name:
        case "open":
            faces = faces[1:]
        case "inverted":
            faces = faces[:, ::-1]
        case "one face turned":
            faces[0] = faces[0, ::-1]
        case "two apart":
            vertices, faces = joined(box(0, 0, 0), box(3, 0, 0))
        case "two at one corner":
            vertices, faces = joined(box(0, 0, 0), box(1, 1, 1))
        case "two at one edge":
            vertices, faces = joined(box(0, 0, 0), box(1, 1, 0))
    found = soundness(vertices, faces)
    assert (found.watertight, found.manifold) == (wanted.watertight, wanted.manifold)
    if name != "two at one edge":  # whether faces around such an edge are neighbours is a matter of taste
        assert found.whole == wanted.whole


def test_tables_tell_cold_from_warm_and_count_what_is_sound() -> None:
    solid = box(0, 0, 0)
    made = [
        Made(f"thing {index}", solid.vertices, solid.faces if index else solid.faces[1:], {"Loading": seconds}, seconds)
        for index, seconds in enumerate((9.0, 1.0, 2.0, 3.0))
    ]
    assert "| Loading | 9.00 | 2.00 | 2.90 |" in seconds_table(made)
    assert "| all | 9.00 | 2.00 | 2.90 |" in seconds_table(made)
    table = soundness_table(made, 5)
    assert "| made | 4 of 5 |" in table and "| watertight | 3 of 4 |" in table and "| one component | 4 of 4 |" in table
    assert "11 · 12 · 12" in table
