from __future__ import annotations

import numpy as np

from backend.data.unknown_parts import draw_boxes, draw_directions, visible


def test_boxes_are_of_all_kinds_and_leave_something_known() -> None:
    boxes = draw_boxes(np.random.default_rng(0), 400)
    assert (boxes.low < boxes.high).all()
    bounded = (np.abs(boxes.low) <= 1).sum(axis=1) + (np.abs(boxes.high) <= 1).sum(axis=1)
    assert set(bounded) == {1, 2, 3, 6}, "half-spaces, slabs, octants and boxes"
    points = np.broadcast_to(np.random.default_rng(1).uniform(-0.9, 0.9, (2000, 3)), (400, 2000, 3))
    share = boxes.contain(points).mean(axis=1)
    assert (share < 0.8).all() and (share > 0.005).mean() > 0.97


def test_a_box_contains_what_lies_between_its_corners() -> None:
    boxes = draw_boxes(np.random.default_rng(2), 50)
    generator = np.random.default_rng(3)
    points = generator.uniform(-1, 1, (50, 40, 3))
    wanted = [[all(low <= v <= high for v, low, high in zip(p, *box, strict=True)) for p in cloud]
              for cloud, box in zip(points, zip(boxes.low, boxes.high, strict=True), strict=True)]  # fmt: skip
    np.testing.assert_array_equal(boxes.contain(points), wanted)
    grid = generator.uniform(-1, 1, (50, 2, 3, 4, 3))
    np.testing.assert_array_equal(boxes.contain(grid).reshape(50, -1), boxes.contain(grid.reshape(50, -1, 3)))


def test_cameras_see_the_half_of_a_ball_that_faces_them() -> None:
    generator = np.random.default_rng(4)
    normals = generator.normal(size=(6, 20_000, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    directions = draw_directions(generator, 6)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    assert (directions[:, 2] > np.sin(np.radians(-10.1))).all()
    seen = visible(0.9 * normals, directions)
    facing = np.einsum("bni,bi->bn", normals, directions)
    assert seen[facing > 0.8].all() and not seen[facing < -0.3].any()


def test_a_wall_hides_what_is_behind_it() -> None:
    axis = np.linspace(-0.8, 0.8, 60)
    wall = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    front, back = (np.column_stack([wall[:, 0], np.full(len(wall), y), wall[:, 1]]) for y in (-0.5, 0.5))
    seen = visible(np.concatenate([front, back])[None], np.array([[0.0, -1.0, 0.0]], np.float32))[0]
    assert seen[: len(front)].all() and not seen[len(front) :].any()
