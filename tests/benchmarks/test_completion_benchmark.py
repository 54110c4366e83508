"""The completion benchmark's cases, floors and figures, on a ball."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest
import trimesh

from backend.data.archive import DataObject
from backend.mesh import Mesh
from benchmarks import completion, completion_cases
from benchmarks.pictures import EYE, look, picture

RADIUS = 0.9
BALL = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)


def ball() -> DataObject:
    faces = np.asarray(BALL.faces)
    colors = np.where(BALL.triangles_center[:, :1] > 0, [[255, 0, 0]], [[0, 0, 255]]).astype(np.uint8)
    kind = ("b1", "Ball", "a ball", (), "Tests", "other", None, True)
    return DataObject(*kind, np.asarray(BALL.vertices), faces, colors)


@pytest.mark.parametrize(("mask", "share"), [("bottom half", 1 / 2), ("right half", 1 / 2), ("octant", 7 / 8)])
def test_a_mask_leaves_its_share_and_a_box_around_the_rest(mask, share):
    case = completion_cases.make_case(ball(), mask)
    area = trimesh.Trimesh(case.part.vertices, case.part.faces, process=False).area
    assert area == pytest.approx(share * BALL.area, rel=0.01)
    assert not case.box.contains(case.known).any() and case.box.contains(case.whole).any()
    assert case.size == pytest.approx(2 * RADIUS, rel=1e-3)


def test_one_view_is_the_side_that_the_camera_sees_with_normals_towards_it():
    case = completion_cases.make_case(ball(), "single view")
    towards = EYE / np.linalg.norm(EYE)
    assert case.box is None and not len(case.part.faces)
    assert (case.known @ towards > -0.02).all()
    np.testing.assert_allclose(np.linalg.norm(case.known, axis=1), RADIUS, atol=0.005)
    np.testing.assert_allclose(case.normals, case.known / RADIUS, atol=0.06)


def test_a_perfect_answer_has_perfect_figures_and_half_of_it_has_not():
    case = completion_cases.make_case(ball(), "bottom half")
    found = completion.measures(case, [case.whole] * 2, [Mesh(BALL.vertices, BALL.faces)] * 2)
    assert found["CD-L1 mean ×10³"] == 0 and found["TMD ×10³"] == pytest.approx(0, abs=1e-4)
    assert found["known within 1 %"] > 0.99
    assert found["UHD"] < 0.06  # the largest gap between the points themselves
    half = completion.measures(case, [case.known])
    mirrored = completion.measures(case, [completion_cases.mirrored(case, "bottom half")])
    assert half["CD-L1 mean ×10³"] > 3 * mirrored["CD-L1 mean ×10³"] > 0


def test_the_hull_and_the_nearest_shape():
    case = completion_cases.make_case(ball(), "octant")
    np.testing.assert_allclose(np.linalg.norm(completion_cases.hull(case), axis=1).max(), RADIUS, atol=0.01)
    library = np.stack([case.whole, 0.5 * case.whole])
    np.testing.assert_array_equal(completion_cases.nearest(case, library), case.whole)


def test_of_two_sheets_the_camera_sees_the_nearer_in_its_colour():
    square = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    vertices = np.concatenate([square - np.array([0, 0.5, 0]), square + np.array([0, 0.5, 0])])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    seen = look(vertices, faces, 64)
    at = [seen.pixels[seen.faces == face].mean(axis=0) for face in (0, 2)]
    assert (seen.faces < 2).sum() > (seen.faces >= 2).sum() > 0 and not np.allclose(at[0], at[1], atol=5)
    red = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], 4, axis=0)
    image = picture(Mesh(vertices, faces, red), 64).astype(int)
    assert (image[..., 0] > image[..., 2] + 60).sum() > (image[..., 2] > image[..., 0] + 60).sum() > 50


def test_a_stopped_run_goes_on_with_the_rows_that_are_there(tmp_path, monkeypatch):
    counted = tmp_path / "counted"

    class Here:
        """A pool without processes, that counts."""

        def __init__(self, _processes):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, _function, _work, task):
            index, mask = task
            with counted.open("a") as file:
                print(index, mask, file=file)
            figures = {"floor": {"UHD": index}}
            future: Future = Future()
            future.set_result({"object": f"o{index}", "mask": mask, "figures": figures, "seconds": {"floor": 1}})
            return future

    monkeypatch.setattr(completion, "ProcessPoolExecutor", Here)
    work = completion.Work(tmp_path, None, 1, (), 2, 32, None)
    tasks = [(0, "octant"), (1, "octant")]
    completion.rows_of(work, tasks[:1], tmp_path / "out", 1)
    rows = completion.rows_of(work, tasks, tmp_path / "out", 1)
    assert counted.read_text().split("\n")[:-1] == ["0 octant", "1 octant"]
    assert [row["object"] for row in rows] == ["o0", "o1"]
    assert "| floor | 2 | 0.500 | 1.0 |" in completion.table("octant", rows)
    other = completion.Work(tmp_path, None, 1, (), 3, 32, None)
    completion.rows_of(other, tasks[:1], tmp_path / "out", 1)
    assert len(counted.read_text().split()) == 6, "other settings are measured anew"


def test_where_nothing_was_measured_the_table_says_so():
    assert "No object" in completion.table("octant", [{"figures": {}, "seconds": {}}])


def test_the_known_faces_take_the_place_of_remade_ones():
    case = completion_cases.make_case(ball(), "bottom half")
    (kept,) = completion.with_original(case, [completion.Made(Mesh(BALL.vertices * 1.01, BALL.faces), None)])
    above = case.part.vertices[case.part.vertices[:, 2] > 0.05].astype(np.float32)
    assert {place.tobytes() for place in above} <= {place.tobytes() for place in kept.vertices.astype(np.float32)}
    view = completion_cases.make_case(ball(), "single view")
    assert completion.with_original(view, [completion.Made(kept, None)]) == []
