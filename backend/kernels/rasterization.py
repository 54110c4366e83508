"""Which triangle each pixel of a picture sees: a depth buffer on the CPU, for small training pictures."""

from __future__ import annotations

import numpy as np

from .compiled import compiled


def rasterize(corners: np.ndarray, inverse_depths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest triangle at the centre of every pixel, and where on it the pixel lies.

    corners: (F, 3, 2) float, in pixels, x to the right and y down from the top left corner of the picture.
    inverse_depths: (F, 3) float, 1 over each corner's distance along the viewing direction, positive.
    Returns face (size, size) int32, −1 where there is none, and weights (size, size, 3) float64, the barycentric
    coordinates on the triangle in space (Heckbert & Moreton, "Interpolation for polygon texture mapping and shading",
    1991).
    Both sides of a triangle count. Of triangles at the same depth the first is seen.
    """
    face = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 3))
    nearest = np.zeros((size, size))
    _fill(
        np.ascontiguousarray(corners, np.float64),
        np.ascontiguousarray(inverse_depths, np.float64),
        nearest,
        face,
        weights,
    )
    return face, weights


@compiled
def _fill(corners, inverse_depths, nearest, face, weights):  # type: ignore[no-untyped-def]
    """nearest: (size, size) float64, the greatest inverse depth at each pixel so far."""
    size = face.shape[0]
    for f in range(len(corners)):
        ax, ay = corners[f, 0, 0], corners[f, 0, 1]
        bx, by = corners[f, 1, 0], corners[f, 1, 1]
        cx, cy = corners[f, 2, 0], corners[f, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        # Pixel i has its centre at i + 0.5.
        first_column = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        last_column = min(int(np.floor(max(ax, bx, cx) - 0.5)), size - 1)
        first_row = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        last_row = min(int(np.floor(max(ay, by, cy) - 0.5)), size - 1)
        for row in range(first_row, last_row + 1):
            y = row + 0.5
            for column in range(first_column, last_column + 1):
                x = column + 0.5
                a = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                b = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                c = 1.0 - a - b
                if a < 0.0 or b < 0.0 or c < 0.0:
                    continue
                # 1 / depth, unlike depth, is linear in the picture.
                a *= inverse_depths[f, 0]
                b *= inverse_depths[f, 1]
                c *= inverse_depths[f, 2]
                inverse = a + b + c
                if inverse > nearest[row, column]:
                    nearest[row, column] = inverse
                    face[row, column] = f
                    weights[row, column, 0] = a / inverse
                    weights[row, column, 1] = b / inverse
                    weights[row, column, 2] = c / inverse
