"""Generalised winding numbers from a tree of dipoles.

The winding number of a surface at a point is the signed solid angle that the surface fills there, over 4π (Jacobson et
al., "Robust inside-outside segmentation using generalized winding numbers", 2013). Far from a group of triangles it is
that of a dipole at their centre (Barill et al., "Fast winding numbers for soups and clouds", 2018, first order); near,
the triangles' own solid angles are summed (Van Oosterom and Strackee, 1983).
"""

from dataclasses import dataclass

import numpy as np

from .box_tree import BoxTree, boxes_of_triangles, build_box_tree
from .compiled import compiled

LEAF_SIZE = 4
FAR = 4.0
"""A group of triangles is a dipole for points further away than this many of its radii: an error below 0.01."""

APPROXIMATION = 0.02
"""What a sum of dipoles is allowed to be wrong by before a whole cube of nodes is decided from its centre."""

CUBE = 8  # nodes along the edge of the largest cube that is decided at once


@dataclass(frozen=True)
class WindingTree:
    """corners: (E, 3, 3) float64. order, low, high: see BoxTree. dipoles: (nodes, 7) float64: centre, radius of a
    ball around the node's triangles, area vector. edge_low, edge_high: (nodes, 3), boxes around the first edges of the
    node's triangles; edge_length: (nodes, 1), their summed length."""

    tree: BoxTree
    corners: np.ndarray
    dipoles: np.ndarray
    edge_low: np.ndarray
    edge_high: np.ndarray
    edge_length: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the compiled functions take."""
        return self.corners, self.tree.order, self.dipoles, self.edge_low, self.edge_high, self.edge_length


def build_winding_tree(corners: np.ndarray) -> WindingTree:
    """A tree over triangles (E, 3, 3) float64, E ≥ 1."""
    tree = build_box_tree(*boxes_of_triangles(corners), leaf_size=LEAF_SIZE)
    area_vector = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    area = np.linalg.norm(area_vector, axis=1, keepdims=True)
    sums = tree.sums_of(np.concatenate([area_vector, area, area * corners.mean(axis=1)], axis=1))
    occupied = tree.low[:, 0] <= tree.high[:, 0]
    low, high = np.where(occupied[:, None], tree.low, 0.0), np.where(occupied[:, None], tree.high, 0.0)
    has_area = sums[:, 3:4] > 0
    center = np.where(has_area, sums[:, 4:] / np.where(has_area, sums[:, 3:4], 1.0), (low + high) / 2)
    radius = np.linalg.norm(np.maximum(high - center, center - low), axis=1, keepdims=True)
    begin, end = corners[:, 0], corners[:, 1]
    return WindingTree(
        tree,
        np.ascontiguousarray(corners),
        np.ascontiguousarray(np.concatenate([center, radius, sums[:, :3]], axis=1)),
        *tree.boxes_of(np.minimum(begin, end), np.maximum(begin, end)),
        tree.sums_of(np.linalg.norm(end - begin, axis=1, keepdims=True)),
    )


@compiled
def _solid_angle(corners, x, y, z):  # type: ignore[no-untyped-def]
    """The signed solid angle of a triangle from a point: positive where the point sees its back."""
    ax, ay, az = corners[0, 0] - x, corners[0, 1] - y, corners[0, 2] - z
    bx, by, bz = corners[1, 0] - x, corners[1, 1] - y, corners[1, 2] - z
    cx, cy, cz = corners[2, 0] - x, corners[2, 1] - y, corners[2, 2] - z
    a = np.sqrt(ax * ax + ay * ay + az * az)
    b = np.sqrt(bx * bx + by * by + bz * bz)
    c = np.sqrt(cx * cx + cy * cy + cz * cz)
    volume = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    rest = (
        a * b * c
        + (ax * bx + ay * by + az * bz) * c
        + (bx * cx + by * cy + bz * cz) * a
        + (cx * ax + cy * ay + cz * az) * b
    )
    return 2.0 * np.arctan2(volume, rest)


@compiled
def winding_at_points(corners, order, dipoles, points, far, winding, first, last):  # type: ignore[no-untyped-def]
    """Write winding[first:last] for points (N, 3) float64."""
    stack = np.empty(64, np.int64)
    leaves = (len(dipoles) + 1) // 2
    leaf_size = len(order) // leaves
    for i in range(first, last):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        total = 0.0
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            dx, dy, dz = dipoles[node, 0] - x, dipoles[node, 1] - y, dipoles[node, 2] - z
            squared = dx * dx + dy * dy + dz * dz
            reach = far * dipoles[node, 3]
            if squared > reach * reach:
                inverse = 1.0 / np.sqrt(squared)
                along = dipoles[node, 4] * dx + dipoles[node, 5] * dy + dipoles[node, 6] * dz
                total += along * inverse * inverse * inverse
            elif node >= leaves - 1:
                place = (node - leaves + 1) * leaf_size
                for slot in range(place, place + leaf_size):
                    if order[slot] >= 0:
                        total += _solid_angle(corners[order[slot]], x, y, z)
            else:
                stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
                top += 2
        winding[i] = total / (4.0 * np.pi)


@compiled
def _box_distance(low, high, x, y, z):  # type: ignore[no-untyped-def]
    dx = max(max(low[0] - x, x - high[0]), 0.0)
    dy = max(max(low[1] - y, y - high[1]), 0.0)
    dz = max(max(low[2] - z, z - high[2]), 0.0)
    return np.sqrt(dx * dx + dy * dy + dz * dz)


@compiled
def _winding_of_cube(corners, order, dipoles, edge_low, edge_high, edge_length, x, y, z, radius, far, stack):  # type: ignore[no-untyped-def]
    """The winding number at the centre of a cube of nodes, and how much it may differ at the others.

    Away from the triangles the winding number changes only as fast as the closed curves of their first edges let it:
    its gradient is at most Σ length / (4π distance²) (Biot-Savart's law). Infinite where a triangle may cut the cube.
    """
    leaves = (len(dipoles) + 1) // 2
    leaf_size = len(order) // leaves
    total, change = 0.0, 0.0
    stack[0] = 0
    top = 1
    while top > 0:
        top -= 1
        node = stack[top]
        dx, dy, dz = dipoles[node, 0] - x, dipoles[node, 1] - y, dipoles[node, 2] - z
        squared = dx * dx + dy * dy + dz * dz
        reach = far * dipoles[node, 3] + radius
        if squared > reach * reach:
            inverse = 1.0 / np.sqrt(squared)
            along = dipoles[node, 4] * dx + dipoles[node, 5] * dy + dipoles[node, 6] * dz
            total += along * inverse * inverse * inverse
            if radius > 0.0:
                gap = _box_distance(edge_low[node], edge_high[node], x, y, z) - radius
                change += edge_length[node, 0] * radius / (gap * gap)
        elif node >= leaves - 1:
            place = (node - leaves + 1) * leaf_size
            for slot in range(place, place + leaf_size):
                if order[slot] < 0:
                    continue
                triangle = corners[order[slot]]
                if radius > 0.0:
                    ax, ay, az = triangle[0, 0], triangle[0, 1], triangle[0, 2]
                    ex, ey, ez = triangle[1, 0] - ax, triangle[1, 1] - ay, triangle[1, 2] - az
                    px, py, pz = x - ax, y - ay, z - az
                    length = np.sqrt(ex * ex + ey * ey + ez * ez)
                    if length > 0.0:
                        along = min(max((ex * px + ey * py + ez * pz) / (length * length), 0.0), 1.0)
                        qx, qy, qz = px - along * ex, py - along * ey, pz - along * ez
                        gap = np.sqrt(qx * qx + qy * qy + qz * qz) - radius
                        if gap <= 0.0:
                            return 0.0, np.inf
                        change += length * radius / (gap * gap)
                    if _may_cut(triangle, px, py, pz, radius):
                        return 0.0, np.inf
                total += _solid_angle(triangle, x, y, z)
        else:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
            top += 2
    return total / (4.0 * np.pi), change / (4.0 * np.pi)


@compiled
def _may_cut(triangle, px, py, pz, radius):  # type: ignore[no-untyped-def]
    """False only if the triangle stays out of the ball of that radius around its corner 0 + (px, py, pz)."""
    for axis in range(3):
        at = triangle[0, axis] + (px if axis == 0 else (py if axis == 1 else pz))
        if min(triangle[0, axis], min(triangle[1, axis], triangle[2, axis])) > at + radius:
            return False
        if max(triangle[0, axis], max(triangle[1, axis], triangle[2, axis])) < at - radius:
            return False
    ax, ay, az = triangle[1, 0] - triangle[0, 0], triangle[1, 1] - triangle[0, 1], triangle[1, 2] - triangle[0, 2]
    bx, by, bz = triangle[2, 0] - triangle[0, 0], triangle[2, 1] - triangle[0, 1], triangle[2, 2] - triangle[0, 2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    height = nx * px + ny * py + nz * pz
    return height * height <= radius * radius * (nx * nx + ny * ny + nz * nz)


@compiled
def round_winding_of_nodes(  # type: ignore[no-untyped-def]
    corners, order, dipoles, edge_low, edge_high, edge_length, far, tolerance, first_plane, rounded
):
    """Write to rounded (planes, Y, Z) int32 the nearest whole number to the winding number at each node of a grid.

    Lengths are in cells: rounded[i, j, k] belongs to (first_plane + i, j, k). A cube of nodes within which the number
    cannot change is decided at once; others are halved.
    """
    planes, rows, columns = rounded.shape
    stack = np.empty(64, np.int64)
    cubes = np.empty((64, 4), np.int64)
    for block_j in range(0, rows, CUBE):
        for block_k in range(0, columns, CUBE):
            cubes[0, 0], cubes[0, 1], cubes[0, 2], cubes[0, 3] = 0, block_j, block_k, CUBE
            top = 1
            while top > 0:
                top -= 1
                i, j, k, size = cubes[top, 0], cubes[top, 1], cubes[top, 2], cubes[top, 3]
                if i >= planes or j >= rows or k >= columns:
                    continue
                middle = (size - 1) / 2.0
                winding, change = _winding_of_cube(
                    corners, order, dipoles, edge_low, edge_high, edge_length,
                    first_plane + i + middle, j + middle, k + middle, middle * np.sqrt(3.0), far, stack,
                )  # fmt: skip
                value = np.rint(winding)
                if size == 1 or abs(winding - value) + change + tolerance < 0.5:
                    for u in range(i, min(i + size, planes)):
                        for v in range(j, min(j + size, rows)):
                            for w in range(k, min(k + size, columns)):
                                rounded[u, v, w] = np.int32(value)
                    continue
                half = size // 2
                for part in range(8):
                    cubes[top, 0] = i + half * (part & 1)
                    cubes[top, 1] = j + half * ((part >> 1) & 1)
                    cubes[top, 2] = k + half * (part >> 2)
                    cubes[top, 3] = half
                    top += 1
