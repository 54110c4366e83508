"""Which nodes of a grid lie inside a mesh, holes and all.

The winding number is whole and cheap for a closed surface: count the signed crossings on the way to the node. An open
one is closed first, by a fan of triangles over each of its boundary's loops, and what the fans contribute is taken off
again:

    winding(surface) = crossings(surface and fans) - winding(fans).

The fans are few, and only near a large hole does their winding number round to anything but 0. A node is inside where
|winding(surface)| > 1/2, that is where the crossings differ from the fans' winding number rounded: inside-out parts
count as the right way round, and a hole is closed where the solid angle is half of the sphere (Jacobson et al. 2013).

The fan over a small hole, where a face or a few are missing, restores what was there better than that rule, which
gives way wherever a large face is missing. Such fans become part of the surface.
"""

import numpy as np

from .compiled import compiled, compiled_exactly
from .face_orientation import OrientedFaces

SMALL_HOLE = 8  # edges around the largest hole that is filled
ROOM_PER_EDGE = 2  # a hole is in a patch of at least as many faces for each of its edges, else it may be a sheet's rim


def closing_fans(surface: OrientedFaces) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (E, 3, 3) float64 that close the surface: those that fill small holes, then those over other openings.

    The first edge of each lies on the surface's boundary.
    """
    loops = boundary_loops(surface)
    if len(loops) == 0:
        return np.empty((0, 3, 3)), np.empty((0, 3, 3))
    start, end = surface.vertices[loops[:, 0]], surface.vertices[loops[:, 1]]
    sizes = np.bincount(loops[:, 2])
    middle = np.stack([np.bincount(loops[:, 2], weights=start[:, axis]) for axis in range(3)], axis=1) / sizes[:, None]
    fans = np.stack([end, start, middle[loops[:, 2]]], axis=1)
    patch_of_vertex = np.full(len(surface.vertices), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(patch_of_vertex, surface.open_edges[:, 0], surface.patch_sizes)
    patch = np.full(len(sizes), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(patch, loops[:, 2], patch_of_vertex[loops[:, 0]])
    fills = ((sizes <= SMALL_HOLE) & (ROOM_PER_EDGE * sizes <= patch))[loops[:, 2]]
    return fans[fills], fans[~fills]


def boundary_loops(surface: OrientedFaces) -> np.ndarray:
    """The boundary as loops that visit no vertex twice: rows start, end, number of the loop, (E, 3) int32."""
    edges = surface.open_edges
    loops = np.empty((len(edges), 3), np.int32)
    room = np.empty((3, len(surface.vertices) + 1), np.int64)
    return loops[: _split_into_loops(edges, loops, *room, *np.empty((2, len(edges) + 1), np.int32))]


@compiled
def _split_into_loops(edges, loops, first, unused, place, following, path):  # type: ignore[no-untyped-def]
    """Order directed edges (E, 2) into closed loops that visit no vertex twice: rows start, end, loop number.

    Every vertex must begin as many edges as it ends, as a boundary's do. Loops of two edges cancel and are left out.
    Returns the number of rows written.

    To work with, each with room for one more than there are vertices: first, the place of a vertex's first edge;
    unused, that of its first unused one; place on the current path, int64. The same for edges: following, the end of
    each edge; path, int32.
    """
    count, vertex_count = len(edges), len(first) - 1
    first[:] = 0
    for e in range(count):
        first[edges[e, 0] + 1] += 1
    for v in range(vertex_count):
        first[v + 1] += first[v]
    for v in range(vertex_count):
        unused[v] = first[v]
    for e in range(count):
        following[unused[edges[e, 0]]] = edges[e, 1]
        unused[edges[e, 0]] += 1
    for v in range(vertex_count):
        unused[v], place[v] = first[v], -1
    written, loop = 0, 0
    for e in range(count):
        length = 1
        path[0] = edges[e, 0]
        place[path[0]] = 0
        while unused[path[length - 1]] < first[path[length - 1] + 1]:
            at = path[length - 1]
            to = following[unused[at]]
            unused[at] += 1
            if place[to] < 0:
                place[to] = length
                path[length] = to
                length += 1
                continue
            begin = place[to]
            if length - begin > 2:
                for p in range(begin, length):
                    loops[written, 0] = path[p]
                    loops[written, 1] = path[p + 1] if p + 1 < length else to
                    loops[written, 2] = loop
                    written += 1
                loop += 1
            for p in range(begin + 1, length):
                place[path[p]] = -1
            length = begin + 1
        place[path[0]] = -1
    return written


@compiled_exactly
def _edge_crossing(y0, z0, y1, z1, row):  # type: ignore[no-untyped-def]
    """Where the edge from the lower end (y0, z0) to the higher (y1, z1) crosses y = row.

    Two triangles must compute the same for the edge that they share, so no liberties are taken with rounding.
    """
    return z0 + (row - y0) * ((z1 - z0) / (y1 - y0))


@compiled_exactly
def list_crossings(corners, planes, rows, columns, starts, crossings):  # type: ignore[no-untyped-def]
    """Where columns of nodes along x cross the triangles corners (F, 3, 3) float64, in cells, by plane.

    starts: (planes + 1,) int64, to be filled: crossings[starts[i]:starts[i + 1]] change the count from plane i on. Each
    is the column's number j · columns + k, plus one, negative where the count falls. crossings: int32, filled where it
    is long enough for all. Returns the length that crossings must have.

    An edge covers the rows above its lower end up to its upper end, and is always computed from lower to upper, so that
    a closed surface is crossed as often into as out of, whatever the rounding.
    """
    starts[:] = 0
    for fill in range(2):
        for f in range(len(corners)):
            # Corners in order of y; `turn` is -1 where that order reverses the winding.
            a, b, c, turn = 0, 1, 2, 1
            if corners[f, a, 1] > corners[f, b, 1]:
                a, b, turn = b, a, -turn
            if corners[f, b, 1] > corners[f, c, 1]:
                b, c, turn = c, b, -turn
            if corners[f, a, 1] > corners[f, b, 1]:
                a, b, turn = b, a, -turn
            ax, ay, az = corners[f, a, 0], corners[f, a, 1], corners[f, a, 2]
            bx, by, bz = corners[f, b, 0], corners[f, b, 1], corners[f, b, 2]
            cx, cy, cz = corners[f, c, 0], corners[f, c, 1], corners[f, c, 2]
            first_row = max(int(np.floor(ay)) + 1, 0)
            last_row = min(int(np.floor(cy)), rows - 1)
            if first_row > last_row:
                continue
            least_x, greatest_x = min(ax, min(bx, cx)), max(ax, max(bx, cx))
            normal_x = (by - ay) * (cz - az) - (bz - az) * (cy - ay)
            normal_y = (bz - az) * (cx - ax) - (bx - ax) * (cz - az)
            normal_z = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            for row in range(first_row, last_row + 1):
                long = np.floor(_edge_crossing(ay, az, cy, cz, row))
                short = _edge_crossing(ay, az, by, bz, row) if row <= by else _edge_crossing(by, bz, cy, cz, row)
                short = np.floor(short)
                step = turn if long < short else -turn
                first_column = int(max(min(long, short) + 1, 0.0))
                last_column = int(min(max(long, short), columns - 1.0))
                for column in range(first_column, last_column + 1):
                    x = ax
                    if normal_x != 0.0:
                        x = ax - (normal_y * (row - ay) + normal_z * (column - az)) / normal_x
                    x = min(max(x, least_x), greatest_x)
                    plane = int(max(np.ceil(x), 0.0))
                    if plane >= planes:
                        continue
                    if fill == 0:
                        starts[plane + 1] += 1
                    else:
                        crossings[starts[plane]] = step * (row * columns + column + 1)
                        starts[plane] += 1
        if fill == 0:
            for plane in range(planes):
                starts[plane + 1] += starts[plane]
            if starts[planes] > len(crossings):
                return starts[planes]
        else:
            for plane in range(planes, 0, -1):
                starts[plane] = starts[plane - 1]
            starts[0] = 0
    return starts[planes]


@compiled
def _count_crossings(starts, crossings, first_plane, last_plane, count):  # type: ignore[no-untyped-def]
    for c in range(starts[first_plane], starts[last_plane]):
        crossing = crossings[c]
        if crossing > 0:
            count[crossing - 1] += 1
        else:
            count[-crossing - 1] -= 1


@compiled
def count_before(starts, crossings, plane, count):  # type: ignore[no-untyped-def]
    """Set count (rows · columns,) int32 to the crossings of all planes before `plane`."""
    count[:] = 0
    _count_crossings(starts, crossings, 0, plane, count)


@compiled
def negate_inside(starts, crossings, first_plane, count, fans, distance):  # type: ignore[no-untyped-def]
    """Negate distance (planes, rows, columns) float32 where the node is inside.

    count: the crossings before first_plane; brought up to date. fans: (planes, rows, columns) int32, the rounded
    winding number of the closing fans, or (0, rows, columns) where the surface is closed.
    """
    planes, rows, columns = distance.shape
    for i in range(planes):
        _count_crossings(starts, crossings, first_plane + i, first_plane + i + 1, count)
        for j in range(rows):
            line = distance[i, j]
            counted = count[j * columns : (j + 1) * columns]
            if len(fans) == 0:
                for k in range(columns):
                    line[k] = -line[k] if counted[k] != 0 else line[k]
            else:
                fan = fans[i, j]
                for k in range(columns):
                    line[k] = -line[k] if counted[k] != fan[k] else line[k]
