"""Exact distances on the grid nodes near a mesh: every triangle writes to the nodes within its reach.

A node's distance costs nothing unless a triangle comes near it, and a triangle touches only the nodes in the prism
around it. Within a row of nodes every quantity that the distance is made of is linear in the node's number, so that
eight or sixteen nodes are computed by one vector instruction. Lengths are in cells throughout: node (i, j, k) lies at
(i, j, k).
"""

import numpy as np

from .compiled import compiled

LANES = 8  # nodes computed at a time; rows are padded to a multiple of it
SLAB_BYTES = 1 << 20  # a slab of planes that stays in a core's cache

# What is known of a triangle before it meets the nodes, float32 each:
#   0-2   unit normal
#   4-7, 8-11, 12-15    inward: in-plane unit normal of each edge, and its product with the edge's start
#   16-19, 20-23, 24-27 along: unit direction of each edge, and its product with the edge's start
#   28-30 length of each edge
FRAME_SIZE = 31


@compiled
def frame_triangles(corners, frames, first, last):  # type: ignore[no-untyped-def]
    """Fill frames (F, 31) float32 for the triangles corners[first:last], (F, 3, 3) float64.

    Products are taken relative to corner a, which keeps float32 exact enough wherever the triangle lies. A triangle
    without area is its longest edge, in some plane through it.
    """
    direction = np.empty((3, 3))
    length = np.empty(3)
    normal = np.empty(3)
    inward = np.empty(3)
    for f in range(first, last):
        longest = 0
        for edge in range(3):
            total = 0.0
            for axis in range(3):
                direction[edge, axis] = corners[f, (edge + 1) % 3, axis] - corners[f, edge, axis]
                total += direction[edge, axis] ** 2
            length[edge] = np.sqrt(total)
            if length[edge] > length[longest]:
                longest = edge
        other = (longest + 1) % 3
        for axis in range(3):
            y, z = (axis + 1) % 3, (axis + 2) % 3
            normal[axis] = direction[longest, y] * direction[other, z] - direction[longest, z] * direction[other, y]
        size = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        flat = size <= 1e-9 * length[longest] ** 2
        if flat:
            _any_perpendicular(direction[longest], normal)
            size = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        for axis in range(3):
            normal[axis] /= size
            frames[f, axis] = normal[axis]
            for edge in range(3):
                if length[edge] > 0.0:
                    direction[edge, axis] /= length[edge]
        if flat and length[longest] == 0.0:
            direction[longest, 0] = 1.0
        for edge in range(3):
            origin = edge
            if flat and edge != longest:  # there and back along the longest edge, with no inside between
                origin = (longest + 1) % 3
                length[edge] = length[longest]
                for axis in range(3):
                    direction[edge, axis] = -direction[longest, axis]
            inward_at, along_at = 0.0, 0.0
            for axis in range(3):
                y, z = (axis + 1) % 3, (axis + 2) % 3
                inward[axis] = normal[y] * direction[edge, z] - normal[z] * direction[edge, y]
                start = corners[f, origin, axis] - corners[f, 0, axis]
                inward_at += inward[axis] * start
                along_at += direction[edge, axis] * start
                frames[f, 4 + 4 * edge + axis] = inward[axis]
                frames[f, 16 + 4 * edge + axis] = direction[edge, axis]
            frames[f, 7 + 4 * edge] = inward_at
            frames[f, 19 + 4 * edge] = along_at
            frames[f, 28 + edge] = length[edge]


@compiled
def _any_perpendicular(vector, perpendicular):  # type: ignore[no-untyped-def]
    """Some vector at right angles to `vector`, or the z axis where that has no length."""
    x, y, z = vector[0], vector[1], vector[2]
    if x == 0.0 and y == 0.0:
        perpendicular[0], perpendicular[1], perpendicular[2] = (1.0, 0.0, 0.0) if z != 0.0 else (0.0, 0.0, 1.0)
    else:
        perpendicular[0], perpendicular[1], perpendicular[2] = -y, x, 0.0


@compiled
def list_by_slab(corners, band, planes, slabs, starts, members):  # type: ignore[no-untyped-def]
    """Which triangles reach which slab of `planes` planes along x, as compressed rows.

    starts: (slabs + 1,) int64 to be filled. members: int32, filled where it is long enough for all.
    Returns the length that members must have.
    """
    starts[:] = 0
    for fill in range(2):
        for f in range(len(corners)):
            low = min(corners[f, 0, 0], corners[f, 1, 0], corners[f, 2, 0]) - band
            high = max(corners[f, 0, 0], corners[f, 1, 0], corners[f, 2, 0]) + band
            if high < 0.0 or low > slabs * planes:
                continue
            first = int(max(np.ceil(low), 0.0)) // planes
            last = min(int(np.floor(high)) // planes, slabs - 1)
            for slab in range(first, last + 1):
                if fill == 0:
                    starts[slab + 1] += 1
                else:
                    members[starts[slab]] = f
                    starts[slab] += 1
        if fill == 0:
            for slab in range(slabs):
                starts[slab + 1] += starts[slab]
            if starts[slabs] > len(members):
                return starts[slabs]
        else:
            for slab in range(slabs, 0, -1):
                starts[slab] = starts[slab - 1]
            starts[0] = 0
    return starts[slabs]


@compiled
def scatter_slab(corners, frames, members, band, scale, first_plane, slab, distance):  # type: ignore[no-untyped-def]
    """Write one slab's distances: those of its nodes that lie within `band` cells of a triangle, times scale.

    slab: (planes, Y, padded Z) float32 scratch. distance: (planes, Y, Z) float32, band · scale beyond the band.
    """
    planes, rows, columns = distance.shape
    reach = np.float32(band)
    slab[:] = reach * reach
    for f in members:
        _scatter_triangle(corners[f], frames[f], band, first_plane, planes, rows, columns, slab)
    factor = np.float32(scale)
    for i in range(planes):
        for j in range(rows):
            for k in range(columns):
                distance[i, j, k] = np.sqrt(slab[i, j, k]) * factor


@compiled
def _scatter_triangle(corners, frame, band, first_plane, planes, rows, columns, slab):  # type: ignore[no-untyped-def]
    low_x = min(corners[0, 0], corners[1, 0], corners[2, 0]) - band
    high_x = max(corners[0, 0], corners[1, 0], corners[2, 0]) + band
    low_y = min(corners[0, 1], corners[1, 1], corners[2, 1]) - band
    high_y = max(corners[0, 1], corners[1, 1], corners[2, 1]) + band
    low_z = min(corners[0, 2], corners[1, 2], corners[2, 2]) - band
    high_z = max(corners[0, 2], corners[1, 2], corners[2, 2]) + band
    if high_y < 0.0 or high_z < 0.0 or low_y > rows - 1 or low_z > columns - 1:
        return
    first_i = int(max(np.ceil(low_x), first_plane))
    last_i = int(min(np.floor(high_x), first_plane + planes - 1))
    first_j = int(max(np.ceil(low_y), 0.0))
    last_j = int(min(np.floor(high_y), rows - 1))
    box_first = np.float32(max(low_z, 0.0))
    box_last = np.float32(min(high_z, columns - 1))
    base_z = np.float32(corners[0, 2])
    zero = np.float32(0)
    one = np.float32(1)
    # A little more than the band: the interval is computed with rounding, and an extra node does no harm.
    reach = np.float32(band) * np.float32(1.0001) + np.float32(1e-3)

    plane_z = frame[2]
    in0_z, in1_z, in2_z = frame[6], frame[10], frame[14]
    on0_z, on1_z, on2_z = frame[18], frame[22], frame[26]
    len0, len1, len2 = frame[28], frame[29], frame[30]
    tiny = np.float32(1e-6)
    plane_slope = one / plane_z if abs(plane_z) > tiny else zero
    in0_slope = one / in0_z if abs(in0_z) > tiny else zero
    in1_slope = one / in1_z if abs(in1_z) > tiny else zero
    in2_slope = one / in2_z if abs(in2_z) > tiny else zero

    for i in range(first_i, last_i + 1):
        x = np.float32(i - corners[0, 0])
        for j in range(first_j, last_j + 1):
            y = np.float32(j - corners[0, 1])
            plane_row = frame[0] * x + frame[1] * y
            in0_row = frame[4] * x + frame[5] * y - frame[7]
            in1_row = frame[8] * x + frame[9] * y - frame[11]
            in2_row = frame[12] * x + frame[13] * y - frame[15]
            # The part of the row within reach of the plane and of each edge's inner half-plane.
            low, high = box_first - base_z, box_last - base_z
            if plane_slope != zero:
                p = (-reach - plane_row) * plane_slope
                q = (reach - plane_row) * plane_slope
                low, high = max(low, min(p, q)), min(high, max(p, q))
            elif abs(plane_row) > reach + one:
                continue
            if in0_slope != zero:
                p = (-reach - in0_row) * in0_slope
                low, high = (max(low, p), high) if in0_slope > zero else (low, min(high, p))
            if in1_slope != zero:
                p = (-reach - in1_row) * in1_slope
                low, high = (max(low, p), high) if in1_slope > zero else (low, min(high, p))
            if in2_slope != zero:
                p = (-reach - in2_row) * in2_slope
                low, high = (max(low, p), high) if in2_slope > zero else (low, min(high, p))
            if low > high:
                continue
            start = int(low + base_z) // LANES * LANES
            stop = int(high + base_z) + 1

            on0_row = frame[16] * x + frame[17] * y - frame[19]
            on1_row = frame[20] * x + frame[21] * y - frame[23]
            on2_row = frame[24] * x + frame[25] * y - frame[27]
            row = slab[i - first_plane, j]
            for block in range(start, stop, LANES):
                offset = np.float32(block - corners[0, 2])
                nodes = row[block : block + LANES]
                for lane in range(LANES):
                    z = offset + np.float32(lane)
                    height = plane_row + plane_z * z
                    in0, in1, in2 = in0_row + in0_z * z, in1_row + in1_z * z, in2_row + in2_z * z
                    on0, on1, on2 = on0_row + on0_z * z, on1_row + on1_z * z, on2_row + on2_z * z
                    past0 = max(max(-on0, on0 - len0), zero)
                    past1 = max(max(-on1, on1 - len1), zero)
                    past2 = max(max(-on2, on2 - len2), zero)
                    edge = min(min(in0 * in0 + past0 * past0, in1 * in1 + past1 * past1), in2 * in2 + past2 * past2)
                    inner = min(min(in0, in1), in2)
                    aside = zero if inner > zero else edge
                    nodes[lane] = min(nodes[lane], height * height + aside)
