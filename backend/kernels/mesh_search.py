"""The search for the nearest triangle on the CPU: branch and bound in a tree of boxes, eight triangles at a time."""

import numpy as np

from .compiled import compiled

LEAF_SIZE = 8


@compiled
def nearest_faces(points, order, corners, slots, lanes, low, high, face, weights, first, last):  # type: ignore[no-untyped-def]
    """Write face and weights (barycentric) for the points order[first:last].

    points: (N, 3) float64. corners: (F, 3, 3) float64. slots: (leaves, 8) int64, the triangles of each leaf.
    lanes: (leaves, 34, 8) float32, their frames (see sdf_band) and corner a. low, high: (nodes, 3) float32 boxes.
    """
    leaves = len(slots)
    zero = np.float32(0)
    stack = np.empty(64, np.int64)
    near = np.empty(64, np.float32)
    squared = np.empty(LEAF_SIZE, np.float32)
    leaf = 0  # where the last point's nearest triangle was: likely a good bound for this one
    for turn in range(first, last):
        i = order[turn]
        x, y, z = np.float32(points[i, 0]), np.float32(points[i, 1]), np.float32(points[i, 2])
        best = np.float32(np.inf)
        best_face = np.int64(0)
        stack[0], near[0] = 0, zero
        stack[1], near[1] = leaves - 1 + leaf, zero
        top = 2
        while top > 0:
            top -= 1
            node = stack[top]
            if near[top] >= best:
                continue
            if node < leaves - 1:
                left, right = 2 * node + 1, 2 * node + 2
                d_left = _squared_to_box(low[left], high[left], x, y, z)
                d_right = _squared_to_box(low[right], high[right], x, y, z)
                if d_left > d_right:
                    left, right, d_left, d_right = right, left, d_right, d_left
                if d_right < best:
                    stack[top], near[top] = right, d_right
                    top += 1
                if d_left < best:
                    stack[top], near[top] = left, d_left
                    top += 1
                continue
            own = lanes[node - leaves + 1]
            for t in range(LEAF_SIZE):
                px, py, pz = x - own[31, t], y - own[32, t], z - own[33, t]
                height = own[0, t] * px + own[1, t] * py + own[2, t] * pz
                in0 = own[4, t] * px + own[5, t] * py + own[6, t] * pz - own[7, t]
                in1 = own[8, t] * px + own[9, t] * py + own[10, t] * pz - own[11, t]
                in2 = own[12, t] * px + own[13, t] * py + own[14, t] * pz - own[15, t]
                on0 = own[16, t] * px + own[17, t] * py + own[18, t] * pz - own[19, t]
                on1 = own[20, t] * px + own[21, t] * py + own[22, t] * pz - own[23, t]
                on2 = own[24, t] * px + own[25, t] * py + own[26, t] * pz - own[27, t]
                past0 = max(max(-on0, on0 - own[28, t]), zero)
                past1 = max(max(-on1, on1 - own[29, t]), zero)
                past2 = max(max(-on2, on2 - own[30, t]), zero)
                edge = min(min(in0 * in0 + past0 * past0, in1 * in1 + past1 * past1), in2 * in2 + past2 * past2)
                aside = zero if min(min(in0, in1), in2) > zero else edge
                squared[t] = height * height + aside
            for t in range(LEAF_SIZE):
                if squared[t] < best:
                    best = squared[t]
                    best_face = slots[node - leaves + 1, t]
                    leaf = node - leaves + 1
        face[i] = best_face
        _closest_place(corners[best_face], points[i], weights[i])


@compiled
def _squared_to_box(low, high, x, y, z):  # type: ignore[no-untyped-def]
    zero = np.float32(0)
    dx = max(max(low[0] - x, x - high[0]), zero)
    dy = max(max(low[1] - y, y - high[1]), zero)
    dz = max(max(low[2] - z, z - high[2]), zero)
    return dx * dx + dy * dy + dz * dz


@compiled
def _closest_place(corners, point, weights):  # type: ignore[no-untyped-def]
    """Barycentric coordinates of the point of a triangle nearest to `point`: inside it, or the best of its edges."""
    ab2 = ac2 = ab_ac = ap_ab = ap_ac = 0.0
    for axis in range(3):
        ab = corners[1, axis] - corners[0, axis]
        ac = corners[2, axis] - corners[0, axis]
        ap = point[axis] - corners[0, axis]
        ab2 += ab * ab
        ac2 += ac * ac
        ab_ac += ab * ac
        ap_ab += ap * ab
        ap_ac += ap * ac
    determinant = ab2 * ac2 - ab_ac * ab_ac
    if determinant > 1e-12 * ab2 * ac2:  # else rounding decides, and the edges are as near
        v = (ap_ab * ac2 - ap_ac * ab_ac) / determinant
        w = (ap_ac * ab2 - ap_ab * ab_ac) / determinant
        if v > 0.0 and w > 0.0 and v + w < 1.0:
            weights[0], weights[1], weights[2] = 1.0 - v - w, v, w
            return
    best = np.inf
    for edge in range(3):
        start, end = edge, (edge + 1) % 3
        length2 = along = 0.0
        for axis in range(3):
            step = corners[end, axis] - corners[start, axis]
            length2 += step * step
            along += step * (point[axis] - corners[start, axis])
        t = min(max(along / length2, 0.0), 1.0) if length2 > 0.0 else 0.0
        squared = 0.0
        for axis in range(3):
            place = corners[start, axis] + t * (corners[end, axis] - corners[start, axis])
            squared += (point[axis] - place) ** 2
        if squared < best:
            best = squared
            weights[:] = 0.0
            weights[start], weights[end] = 1.0 - t, t
