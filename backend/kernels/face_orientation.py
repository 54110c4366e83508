"""One orientation for a mesh that has none: weld, drop repeated faces, turn neighbours the same way, list what is open.

The sign of a distance is a statement about a closed, consistently wound surface. Files hold corners split at texture
seams, faces given twice or back to back, and parts that are inside out. What can be repaired from the connections alone
is repaired here, for the sign only: distances use the mesh as it came.
"""

from dataclasses import dataclass

import numpy as np

from .compiled import compiled


@dataclass(frozen=True)
class OrientedFaces:
    """vertices: (V, 3) float64 as given. faces: (F, 3) int32 into them, each set of corners once, edge neighbours wound
    alike where the surface can be oriented. open_edges: (E, 2) int32, the directed edges that the faces leave
    uncovered: the boundary of the surface as a chain, an edge as often as it is uncovered. patch_sizes: (E,) int32, of
    how many faces, joined by edges of exactly two, the patch consists that each open edge bounds."""

    vertices: np.ndarray
    faces: np.ndarray
    open_edges: np.ndarray
    patch_sizes: np.ndarray


def orient_faces(vertices: np.ndarray, faces: np.ndarray) -> OrientedFaces:
    """Orient a mesh of vertices (V, 3) float64 and faces (F, 3) int32.

    Corners at exactly the same place are one. Of faces on the same three corners one is kept, wound like most of them,
    or like the first. Across every edge of exactly two faces the winding is made to agree, each patch keeping that of
    the majority of its faces; a patch that cannot be oriented (a Möbius strip) is left as it is.
    """
    vertices = np.ascontiguousarray(vertices) + 0.0  # -0.0 and 0.0 are the same place but not the same bits
    names = np.empty(len(vertices), np.int32)
    weld(vertices.view(np.int64), np.full(_table_size(len(vertices)), -1, np.int32), names)
    kept = np.empty((len(faces), 3), np.int32)
    counts = np.empty(len(vertices) + 1, np.int64)
    whole = np.empty((6, len(faces)), np.int32)
    kept = kept[
        : distinct_faces(names[np.ascontiguousarray(faces)], kept, whole[:3], whole[3], whole[4], whole[5], counts)
    ]
    open_edges = np.empty((3 * len(kept), 2), np.int32)
    edges = np.empty((4, 3 * len(kept)), np.int32)
    patches, marks = np.empty((3, len(kept)), np.int64), np.empty((3, len(kept)), np.bool_)
    patch_sizes = np.empty(3 * len(kept), np.int32)
    count = orient(kept, open_edges, patch_sizes, *edges, counts, *patches, *marks)
    return OrientedFaces(vertices, kept, open_edges[:count].copy(), patch_sizes[:count].copy())


def _table_size(count: int) -> int:
    return 1 << (2 * count + 1).bit_length()


@compiled
def weld(bits, table, names):  # type: ignore[no-untyped-def]
    """names[i] becomes the first vertex at the place of vertex i; bits (V, 3) are its coordinates as int64."""
    mask = np.uint64(len(table) - 1)
    for i in range(len(bits)):
        key = np.uint64(bits[i, 0]) * np.uint64(0x9E3779B97F4A7C15)
        key = ((key ^ (key >> np.uint64(29))) + np.uint64(bits[i, 1])) * np.uint64(0xBF58476D1CE4E5B9)
        key = ((key ^ (key >> np.uint64(32))) + np.uint64(bits[i, 2])) * np.uint64(0x94D049BB133111EB)
        slot = (key ^ (key >> np.uint64(31))) & mask
        while True:
            found = table[slot]
            if found < 0:
                table[slot] = i
                names[i] = i
                break
            if bits[found, 0] == bits[i, 0] and bits[found, 1] == bits[i, 1] and bits[found, 2] == bits[i, 2]:
                names[i] = found
                break
            slot = (slot + np.uint64(1)) & mask


@compiled
def _sort_by(keys, order, spare, counts):  # type: ignore[no-untyped-def]
    """Reorder `order` stably by keys[order[i]], by counting."""
    counts[:] = 0
    for i in range(len(order)):
        counts[keys[order[i]] + 1] += 1
    for value in range(1, len(counts)):
        counts[value] += counts[value - 1]
    for i in range(len(order)):
        place = counts[keys[order[i]]]
        counts[keys[order[i]]] = place + 1
        spare[place] = order[i]
    for i in range(len(order)):
        order[i] = spare[i]


@compiled
def distinct_faces(faces, kept, corner, order, spare, turns, counts):  # type: ignore[no-untyped-def]
    """Write each set of three different corners once, in the order of first appearance; returns how many.

    To work with: corner (3, F), order, spare and turns (F,), all int32, and counts (V + 1,) int64.
    """
    count = len(faces)
    for f in range(count):
        order[f] = f
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        corner[0, f], corner[2, f] = min(a, min(b, c)), max(a, max(b, c))
        corner[1, f] = np.int32(np.int64(a) + np.int64(b) + np.int64(c) - corner[0, f] - corner[2, f])
    for key in range(2, -1, -1):
        _sort_by(corner[key], order, spare, counts)
    turns[:] = 0  # 1: keep as it is, -1: keep turned round, 0: drop
    start, own = 0, 0
    while start < count:
        first = order[start]
        stop, net = start, 0
        while stop < count and (
            corner[0, order[stop]] == corner[0, first]
            and corner[1, order[stop]] == corner[1, first]
            and corner[2, order[stop]] == corner[2, first]
        ):
            f = order[stop]
            # Wound from the least corner by way of the middle one, or the other way round.
            place = 0 if faces[f, 0] == corner[0, f] else (1 if faces[f, 1] == corner[0, f] else 2)
            following = faces[f, (place + 1) % 3]
            net += 1 if following == corner[1, f] else -1
            if stop == start:
                own = net
            stop += 1
        if corner[0, first] != corner[1, first] and corner[1, first] != corner[2, first]:
            turns[first] = 1 if net * own >= 0 else -1
        start = stop
    written = 0
    for f in range(count):
        if turns[f] != 0:
            kept[written, 0] = faces[f, 0]
            kept[written, 1] = faces[f, 1] if turns[f] == 1 else faces[f, 2]
            kept[written, 2] = faces[f, 2] if turns[f] == 1 else faces[f, 1]
            written += 1
    return written


@compiled
def _find(parent, turned, f):  # type: ignore[no-untyped-def]
    """The patch of face f and whether f is wound against it; shortens the way for the next time."""
    root, against = f, False
    while parent[root] != root:
        against ^= turned[root]
        root = parent[root]
    node, rest = f, against
    while parent[node] != root and node != root:
        following, step = parent[node], turned[node]
        parent[node], turned[node] = root, rest
        rest ^= step
        node = following
    return root, against


@compiled
def orient(  # type: ignore[no-untyped-def]
    faces, open_edges, patch_sizes, low, high, order, spare, counts, parent, size, against, turned, twisted, flipped
):
    """Turn faces in place so that patches agree; write the boundary's directed edges and their patches' sizes.

    Returns how many edges that is.

    To work with: low, high, order and spare (3 F,) int32, one for each edge of each face; counts (V + 1,) int64; for
    each face parent and size of its patch and how many of that are wound against it, (F,) int64, and whether it is
    wound against its parent, its patch cannot be oriented, and it is to be turned, (F,) bool.
    """
    count = len(faces)
    for f in range(count):
        for edge in range(3):
            a, b = faces[f, edge], faces[f, (edge + 1) % 3]
            low[3 * f + edge], high[3 * f + edge] = min(a, b), max(a, b)
            order[3 * f + edge] = 3 * f + edge
    _sort_by(high, order, spare, counts)
    _sort_by(low, order, spare, counts)

    for f in range(count):
        parent[f], size[f], against[f] = f, 1, 0
        turned[f], twisted[f] = False, False
    start = 0
    while start < 3 * count:
        stop = start + 1
        while stop < 3 * count and low[order[stop]] == low[order[start]] and high[order[stop]] == high[order[start]]:
            stop += 1
        if stop - start == 2:
            first, second = order[start], order[start + 1]
            f, g = first // 3, second // 3
            clash = (faces[f, first % 3] == low[first]) == (faces[g, second % 3] == low[second])
            f, f_turned = _find(parent, turned, f)
            g, g_turned = _find(parent, turned, g)
            if f == g:
                twisted[f] |= clash != (f_turned != g_turned)
            else:
                if size[f] < size[g]:
                    f, g = g, f
                parent[g] = f
                size[f] += size[g]
                turned[g] = clash != (f_turned != g_turned)
                twisted[f] |= twisted[g]
        start = stop

    for f in range(count):
        root, is_turned = _find(parent, turned, f)
        against[root] += is_turned
    for f in range(count):
        root, is_turned = _find(parent, turned, f)
        flipped[f] = not twisted[root] and is_turned != (2 * against[root] > size[root])

    written = 0
    start = 0
    while start < 3 * count:
        stop, net = start, 0
        while stop < 3 * count and low[order[stop]] == low[order[start]] and high[order[stop]] == high[order[start]]:
            f = order[stop] // 3
            upwards = (faces[f, order[stop] % 3] == low[order[stop]]) != flipped[f]
            net += 1 if upwards else -1
            stop += 1
        for _ in range(abs(net)):
            open_edges[written, 0] = low[order[start]] if net > 0 else high[order[start]]
            open_edges[written, 1] = high[order[start]] if net > 0 else low[order[start]]
            root, _ = _find(parent, turned, order[start] // 3)
            patch_sizes[written] = size[root]
            written += 1
        start = stop
    for f in range(count):
        if flipped[f]:
            faces[f, 1], faces[f, 2] = faces[f, 2], faces[f, 1]
    return written
