"""Point clouds in PCL's format, in its three encodings."""

from __future__ import annotations

import numpy as np
import pytest

from backend.data.pcd import read_pcd
from backend.errors import InputError

POSITIONS = np.array([[0, 0, 0], [1, 2, 3], [-4, 5, -6]], np.float32)


def header(fields: str, sizes: str, kinds: str, data: str, points: int = 3, counts: str | None = None) -> bytes:
    counts = counts or " ".join("1" * len(fields.split()))
    lines = ["# .PCD v0.7", "VERSION 0.7", f"FIELDS {fields}", f"SIZE {sizes}", f"TYPE {kinds}", f"COUNT {counts}"]
    lines += [f"WIDTH {points}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {points}", f"DATA {data}", ""]
    return "\n".join(lines).encode()


def xyz(data: str, points: int = 3) -> bytes:
    return header("x y z", "4 4 4", "F F F", data, points)


def test_ascii():
    rows = "\n".join(" ".join(map(str, row)) for row in POSITIONS)
    np.testing.assert_array_equal(read_pcd(xyz("ascii") + rows.encode()).positions, POSITIONS)


def test_binary_with_normals_colours_and_padding():
    kinds = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("_", "<u1", 4), ("rgb", "<u4")]
    kinds += [(f"normal_{axis}", "<f4") for axis in "xyz"]
    rows = np.zeros(3, kinds)
    rows["x"], rows["y"], rows["z"] = POSITIONS.T
    rows["rgb"], rows["normal_z"] = (200 << 16) + (100 << 8) + 50, 1
    fields = header(
        "x y z _ rgb normal_x normal_y normal_z", "4 4 4 1 4 4 4 4", "F F F U U F F F", "binary", 3, "1 1 1 4 1 1 1 1"
    )
    cloud = read_pcd(fields + rows.tobytes())
    np.testing.assert_array_equal(cloud.positions, POSITIONS)
    np.testing.assert_array_equal(cloud.normals, [[0, 0, 1]] * 3)
    np.testing.assert_array_equal(cloud.srgb, [[200, 100, 50]] * 3)


def test_compressed_literals_and_copies():
    # Field after field: x = 0, 0, 0, 0 written as four literal bytes and a copy of twelve from four back.
    packed = bytes([3, 0, 0, 0, 0, (7 << 5) + 0, 12 - 2 - 7, 3])
    packed += bytes([31]) + np.float32([1, 2, 3, 4, 5, 6, 7, 8]).tobytes()
    body = np.uint32([len(packed), 48]).tobytes() + packed
    cloud = read_pcd(xyz("binary_compressed", 4) + body)
    np.testing.assert_array_equal(cloud.positions, [[0, 1, 5], [0, 2, 6], [0, 3, 7], [0, 4, 8]])


def test_points_that_a_camera_did_not_see_are_left_out():
    rows = POSITIONS.copy()
    rows[1, 2] = np.nan
    np.testing.assert_array_equal(read_pcd(xyz("binary") + rows.tobytes()).positions, POSITIONS[[0, 2]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no line DATA"),
        (b"hello\nDATA ascii\n", "does not describe|no x, y and z"),
        (header("a b", "4 4", "F F", "ascii"), "no x, y and z"),
        (header("x y z", "4 4", "F F F", "ascii"), "does not describe"),
        (header("x y z", "4 4 4", "F F Q", "ascii"), "does not describe"),
        (xyz("ascii") + b"1 2 3\n", "1 rows"),
        (xyz("ascii") + b"1 2 x\n4 5 6\n7 8 9\n", "not rows of numbers"),
        (xyz("binary") + POSITIONS.tobytes()[:-1], "ends before"),
        (xyz("binary", 0), "0 points"),
        (xyz("binary") + np.full((3, 3), np.nan, np.float32).tobytes(), "has a place"),
        (xyz("morse"), "morse"),
        (xyz("binary_compressed") + b"123", "ends before"),
        (xyz("binary_compressed") + np.uint32([4, 36]).tobytes() + bytes([33, 9, 9, 9]), "damaged"),
        (xyz("binary_compressed") + np.uint32([1, 36]).tobytes() + bytes([224]), "damaged"),
    ],
)
def test_damage_is_named(content, words):
    with pytest.raises(InputError, match=words):
        read_pcd(content)
