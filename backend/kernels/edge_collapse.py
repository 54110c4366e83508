"""Fewer faces by edge collapse in the order of the quadric error, without any change of topology.

Garland and Heckbert, "Surface Simplification Using Quadric Error Metrics", 1997. An edge collapses only where the link
condition holds (Dey et al., "Topology preserving edge contraction", 1999): its ends have no common neighbours but the
two vertices across from it. So thin rods and sheets never pinch, and every part stays one part.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled

TURNED = 0.15
"""A collapse may turn no face by more than the angle with this cosine."""
LENGTH = 1e-5
"""What the square of an edge's length adds to its cost, in shares of the area around it: flat places have no other."""
DISTANT = 1.5
"""The best place for the merged vertex is taken if it is within so many lengths of the edge from its middle."""
SINGULAR = 1e-10
"""Determinant of the mean outer product of unit normals below which no best place is solved for."""


def collapse_edges(
    vertices: np.ndarray, faces: np.ndarray, mates: np.ndarray, face_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """A surface of `face_count` faces, or one more, or as many as its topology wants.

    vertices (V, 3) float, faces (F, 3) int: a closed manifold, of which mates (3 F,) int gives each half-edge's other
    half (half-edge 3 f + c runs from corner c of face f to the next one). Returns vertices (V, 3) float64, moved, of
    which not all are used any more, and faces (F', 3) int64.
    """
    points = np.array(vertices, np.float64)
    corners = np.array(faces, np.int64).ravel()
    mates = np.array(mates, np.int64)
    count = len(points)
    quadrics = np.zeros((count, 11))
    outgoing, stamps, marks = np.zeros((3, count), np.int64)
    # Every collapse puts the edges around one vertex on the heap anew; a full heap is made afresh, without what is
    # outdated.
    room = len(corners) + 64
    costs, waiting = np.empty(room), np.empty((2, room), np.int64)
    _collapse(points, corners, mates, quadrics, outgoing, stamps, marks, costs, waiting, face_count)
    left = mates.reshape(-1, 3)[:, 0] >= 0
    return points, corners.reshape(-1, 3)[left]


@compiled
def _next(h):  # type: ignore[no-untyped-def]
    return h - 2 if h % 3 == 2 else h + 1


@compiled
def _previous(h):  # type: ignore[no-untyped-def]
    return h + 2 if h % 3 == 0 else h - 1


@compiled
def _cross(ax, ay, az, bx, by, bz):  # type: ignore[no-untyped-def]
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@compiled
def _add_planes(points, corners, quadrics, outgoing):  # type: ignore[no-untyped-def]
    """Add to the quadrics of every face's corners that of its plane, by area, and note a half-edge out of each.

    A row holds the symmetric matrix of the quadric (xx, xy, xz, yy, yz, zz; x, y, z; constant), then the area.
    """
    for f in range(len(corners) // 3):
        a, b, c = corners[3 * f], corners[3 * f + 1], corners[3 * f + 2]
        x, y, z = points[a, 0], points[a, 1], points[a, 2]
        nx, ny, nz = _cross(
            points[b, 0] - x, points[b, 1] - y, points[b, 2] - z, points[c, 0] - x, points[c, 1] - y, points[c, 2] - z
        )
        double = np.sqrt(nx * nx + ny * ny + nz * nz)
        scale = 1.0 / max(double, 1e-30)
        nx *= scale
        ny *= scale
        nz *= scale
        area, offset = double * 0.5, -(nx * x + ny * y + nz * z)
        for k in range(3):
            v = corners[3 * f + k]
            outgoing[v] = 3 * f + k
            quadrics[v, 0] += area * nx * nx
            quadrics[v, 1] += area * nx * ny
            quadrics[v, 2] += area * nx * nz
            quadrics[v, 3] += area * ny * ny
            quadrics[v, 4] += area * ny * nz
            quadrics[v, 5] += area * nz * nz
            quadrics[v, 6] += area * nx * offset
            quadrics[v, 7] += area * ny * offset
            quadrics[v, 8] += area * nz * offset
            quadrics[v, 9] += area * offset * offset
            quadrics[v, 10] += area


@compiled
def _error(q, x, y, z):  # type: ignore[no-untyped-def]
    """Area times squared distance of a place from the planes of a quadric (11,)."""
    along_x = q[0] * x + 2 * (q[1] * y + q[2] * z + q[6])
    along_y = q[3] * y + 2 * (q[4] * z + q[7])
    return x * along_x + y * along_y + z * (q[5] * z + 2 * q[8]) + q[9]


@compiled
def _merged(points, quadrics, u, v):  # type: ignore[no-untyped-def]
    """The cost of making vertices u and v one, and where that should be: (cost, x, y, z)."""
    q = np.empty(11)
    for k in range(11):
        q[k] = quadrics[u, k] + quadrics[v, k]
    ux, uy, uz = points[u, 0], points[u, 1], points[u, 2]
    vx, vy, vz = points[v, 0], points[v, 1], points[v, 2]
    mx, my, mz = (ux + vx) * 0.5, (uy + vy) * 0.5, (uz + vz) * 0.5
    squared = (ux - vx) * (ux - vx) + (uy - vy) * (uy - vy) + (uz - vz) * (uz - vz)
    x, y, z = mx, my, mz
    error = _error(q, x, y, z)
    at_u, at_v = _error(q, ux, uy, uz), _error(q, vx, vy, vz)
    if at_u < error:
        error, x, y, z = at_u, ux, uy, uz
    if at_v < error:
        error, x, y, z = at_v, vx, vy, vz
    # Cramer's rule for the place at which the gradient is zero.
    ax, ay, az = _cross(q[1], q[3], q[4], q[2], q[4], q[5])
    determinant = q[0] * ax + q[1] * ay + q[2] * az
    if determinant > SINGULAR * q[10] * q[10] * q[10]:
        bx, by, bz = _cross(q[2], q[4], q[5], q[0], q[1], q[2])
        cx, cy, cz = _cross(q[0], q[1], q[2], q[1], q[3], q[4])
        px = -(q[6] * ax + q[7] * bx + q[8] * cx) / determinant
        py = -(q[6] * ay + q[7] * by + q[8] * cy) / determinant
        pz = -(q[6] * az + q[7] * bz + q[8] * cz) / determinant
        away = (px - mx) * (px - mx) + (py - my) * (py - my) + (pz - mz) * (pz - mz)
        if away < DISTANT * DISTANT * squared:
            solved = _error(q, px, py, pz)
            if solved < error:
                error, x, y, z = solved, px, py, pz
    return max(error, 0.0) + LENGTH * q[10] * squared, x, y, z


@compiled
def _sift_up(costs, waiting, place):  # type: ignore[no-untyped-def]
    """Move the entry at `place` of a heap towards its top, to where it belongs."""
    cost, edge, stamp = costs[place], waiting[0, place], waiting[1, place]
    while place > 0:
        above = (place - 1) // 2
        if costs[above] <= cost:
            break
        costs[place], waiting[0, place], waiting[1, place] = costs[above], waiting[0, above], waiting[1, above]
        place = above
    costs[place], waiting[0, place], waiting[1, place] = cost, edge, stamp


@compiled
def _drop_first(costs, waiting, size):  # type: ignore[no-untyped-def]
    """Take the top off a heap of `size` entries."""
    last = size - 1
    cost, edge, stamp = costs[last], waiting[0, last], waiting[1, last]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= last:
            break
        if below + 1 < last and costs[below + 1] < costs[below]:
            below += 1
        if costs[below] >= cost:
            break
        costs[place], waiting[0, place], waiting[1, place] = costs[below], waiting[0, below], waiting[1, below]
        place = below
    costs[place], waiting[0, place], waiting[1, place] = cost, edge, stamp


@compiled
def _put(points, corners, mates, quadrics, stamps, costs, waiting, size, h):  # type: ignore[no-untyped-def]
    """Put the edge of half-edge h on the heap, at place `size`."""
    u, v = corners[h], corners[_next(h)]
    cost, _, _, _ = _merged(points, quadrics, u, v)
    costs[size], waiting[0, size], waiting[1, size] = cost, min(h, mates[h]), stamps[u] + stamps[v]
    _sift_up(costs, waiting, size)


@compiled
def _put_all(points, corners, mates, quadrics, stamps, costs, waiting):  # type: ignore[no-untyped-def]
    """Fill the heap with all edges that are left; returns how many."""
    size = 0
    for h in range(len(mates)):
        if mates[h] > h:
            _put(points, corners, mates, quadrics, stamps, costs, waiting, size, h)
            size += 1
    return size


@compiled
def _is_allowed(corners, mates, marks, mark, h):  # type: ignore[no-untyped-def]
    """The link condition for the edge of half-edge h."""
    around_first, around_second, common = 0, 0, 0
    g = h
    while True:
        marks[corners[_next(g)]] = mark
        around_first += 1
        g = mates[_previous(g)]
        if g == h:
            break
    first = mates[h]
    g = first
    while True:
        if marks[corners[_next(g)]] == mark:
            common += 1
        around_second += 1
        g = mates[_previous(g)]
        if g == first:
            break
    return common == 2 and around_first + around_second > 6  # else it would be a tetrahedron


@compiled
def _turns_no_face(points, corners, mates, h, x, y, z):  # type: ignore[no-untyped-def]
    """Whether the faces around the start of half-edge h, but those at its edge, look the same way with the start at
    (x, y, z)."""
    g = mates[_previous(h)]
    while g != h:
        if _previous(g) != mates[h]:
            b, c = corners[_next(g)], corners[_previous(g)]
            a = corners[g]
            px, py, pz = points[b, 0], points[b, 1], points[b, 2]
            sx, sy, sz = points[c, 0] - px, points[c, 1] - py, points[c, 2] - pz
            ox, oy, oz = _cross(sx, sy, sz, points[a, 0] - px, points[a, 1] - py, points[a, 2] - pz)
            nx, ny, nz = _cross(sx, sy, sz, x - px, y - py, z - pz)
            both = (ox * ox + oy * oy + oz * oz) * (nx * nx + ny * ny + nz * nz)
            if ox * nx + oy * ny + oz * nz <= TURNED * np.sqrt(both):
                return False
        g = mates[_previous(g)]
    return True


@compiled
def _collapse(points, corners, mates, quadrics, outgoing, stamps, marks, costs, waiting, face_count):  # type: ignore[no-untyped-def]
    """Collapse edges in place, cheapest first; mates of what is gone are −1. Arrays: see `collapse_edges`."""
    faces = len(corners) // 3
    _add_planes(points, corners, quadrics, outgoing)
    mark = 0
    while True:
        size = _put_all(points, corners, mates, quadrics, stamps, costs, waiting)
        before = faces
        while size > 0 and faces > face_count:
            h, stamp = waiting[0, 0], waiting[1, 0]
            _drop_first(costs, waiting, size)
            size -= 1
            if mates[h] < 0:
                continue
            u, v = corners[h], corners[_next(h)]
            if stamps[u] + stamps[v] != stamp:
                continue
            mark += 1
            other = mates[h]
            _, x, y, z = _merged(points, quadrics, u, v)
            if not (
                _is_allowed(corners, mates, marks, mark, h)
                and _turns_no_face(points, corners, mates, h, x, y, z)
                and _turns_no_face(points, corners, mates, other, x, y, z)
            ):
                continue
            g = mates[_previous(other)]
            while g != other:  # all that starts at v starts at u from now on
                corners[g] = u
                g = mates[_previous(g)]
            corners[other] = u
            for side in range(2):
                e = h if side == 0 else other
                one, two = mates[_next(e)], mates[_previous(e)]
                mates[one], mates[two] = two, one
                outgoing[corners[one]], outgoing[corners[two]] = one, two
                mates[_next(e)] = mates[_previous(e)] = -1
            mates[h] = mates[other] = -1
            points[u, 0], points[u, 1], points[u, 2] = x, y, z
            for k in range(11):
                quadrics[u, k] += quadrics[v, k]
            stamps[u] = max(stamps[u], stamps[v]) + 1
            faces -= 2
            first = outgoing[u]
            g = first
            while True:
                if size == len(costs):
                    break
                _put(points, corners, mates, quadrics, stamps, costs, waiting, size, g)
                size += 1
                g = mates[_previous(g)]
                if g == first:
                    break
            if size == len(costs):
                break
        # What was not allowed may be by now, and what the heap had no room for waits as well.
        if faces <= face_count or faces == before:
            return
