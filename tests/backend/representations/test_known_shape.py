"""The known side of a cut mesh: exact for solids, and no thinner than a sheet anywhere."""

from __future__ import annotations

import numpy as np

from backend.data.volume import SHEET_HALF_THICKNESS
from backend.representations.known_shape import KnownShape

NOWHERE = np.array([2.0, 2.0, 2.0]), np.array([3.0, 3.0, 3.0])
BESIDE = np.array([[0.6, 0.0, 0.0], [0.6, 0.0, 0.005], [0.6, 0.0, 0.05]])


def test_a_board_thinner_than_a_sheet_is_as_thick_as_one_and_the_solid_beside_it_exact(box) -> None:
    (body, faces), (board, _) = box((-0.3, -0.3, -0.3), (0.3, 0.3, 0.3)), box((0.4, -0.3, -0.002), (0.9, 0.3, 0.002))
    known = KnownShape(np.concatenate([body, board]), np.concatenate([faces, faces + 8]), *NOWHERE)
    assert known.level == 0
    from_board = np.array([-0.002, 0.003, 0.048])
    outer = np.minimum(from_board, np.abs(from_board) - SHEET_HALF_THICKNESS)
    np.testing.assert_allclose(known.signed_distance(BESIDE), outer, atol=1e-6)
    np.testing.assert_allclose(
        known.signed_distance(np.array([[0.0, 0.0, 0.1], [-0.5, 0.0, 0.0]])), [-0.2, 0.2], atol=1e-6
    )


def test_a_thicker_board_stays_exact(box) -> None:
    board, faces = box((0.4, -0.3, -0.02), (0.9, 0.3, 0.02))
    known = KnownShape(board, faces, *NOWHERE)
    np.testing.assert_allclose(known.signed_distance(BESIDE), [-0.02, -0.015, 0.03], atol=1e-6)
