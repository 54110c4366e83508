"""Mesh queries on a CUDA GPU by NVIDIA Warp; the same source runs on the CPU, where the tests try it.

Warp's own tree finds the nearest triangle. Winding numbers sum every triangle: a GPU does that quickly and exactly.
"""

import torch
import warp as wp

from .warp_launch import OPTIONS, array_of, on_stream_of

wp.set_module_options(OPTIONS)


@wp.kernel
def _nearest_faces(
    mesh: wp.uint64, points: wp.array[wp.vec3], face: wp.array[wp.int64], weights: wp.array[wp.vec3]
) -> None:
    i = wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e30)
    face[i] = wp.int64(query.face)
    weights[i] = wp.vec3(query.u, query.v, 1.0 - query.u - query.v)


@wp.kernel
def _grid_distances(mesh: wp.uint64, reach: float, scale: float, distance: wp.array3d[float]) -> None:
    i, j, k = wp.tid()
    node = wp.vec3(float(i), float(j), float(k))
    query = wp.mesh_query_point_no_sign(mesh, node, reach)
    nearest = reach
    if query.result:
        nearest = wp.length(wp.mesh_eval_position(mesh, query.face, query.u, query.v) - node)
    distance[i, j, k] = nearest * scale


@wp.kernel
def _winding_numbers(points: wp.array[wp.vec3], corners: wp.array2d[wp.vec3], winding: wp.array[float]) -> None:
    i = wp.tid()
    total = wp.float64(0.0)
    for f in range(corners.shape[0]):
        a = corners[f, 0] - points[i]
        b = corners[f, 1] - points[i]
        c = corners[f, 2] - points[i]
        al = wp.length(a)
        bl = wp.length(b)
        cl = wp.length(c)
        volume = wp.dot(a, wp.cross(b, c))
        rest = al * bl * cl + wp.dot(a, b) * cl + wp.dot(b, c) * al + wp.dot(c, a) * bl
        total += wp.float64(wp.atan2(volume, rest))
    winding[i] = float(total / wp.float64(2.0 * wp.pi))


def nearest_faces_on_cuda(
    points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest face (N,) int64 and the barycentric place on it (N, 3) float32; inputs as point_to_mesh_distance."""
    middle = _middle(vertices)
    face = torch.empty(len(points), dtype=torch.int64, device=points.device)
    weights = torch.empty(len(points), 3, device=points.device)
    with on_stream_of(points) as device:
        mesh = _mesh(vertices - middle, faces)
        wp.launch(
            _nearest_faces,
            dim=len(points),
            inputs=[mesh.id, array_of(points - middle, wp.vec3)],
            outputs=[array_of(face), array_of(weights, wp.vec3)],
            device=device,
        )
    return face, weights


def grid_distances_on_cuda(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    origin: tuple[float, float, float],
    spacing: float,
    shape: tuple[int, int, int],
    band: float | None,
) -> torch.Tensor:
    """Distances (X, Y, Z) float32 at the nodes of a grid, band · spacing beyond the band; band None: everywhere."""
    in_cells = (
        (vertices.double() - torch.tensor(origin, dtype=torch.float64, device=vertices.device)) / spacing
    ).float()
    distance = torch.empty(shape, device=vertices.device)
    with on_stream_of(vertices) as device:
        mesh = _mesh(in_cells, faces)
        reach = 1e30 if band is None else band
        wp.launch(
            _grid_distances, dim=shape, inputs=[mesh.id, reach, spacing], outputs=[array_of(distance)], device=device
        )
    return distance


def winding_on_cuda(points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Winding numbers (N,) float32; inputs as winding_number."""
    middle = _middle(vertices)
    corners = (vertices - middle)[faces.long()]
    winding = torch.empty(len(points), device=points.device)
    with on_stream_of(points) as device:
        wp.launch(
            _winding_numbers,
            dim=len(points),
            inputs=[array_of(points - middle, wp.vec3), array_of(corners, wp.vec3)],
            outputs=[array_of(winding)],
            device=device,
        )
    return winding


def _middle(vertices: torch.Tensor) -> torch.Tensor:
    """The centre of the bounds: coordinates about it keep their digits however far away the mesh is."""
    return (vertices.amin(dim=0) + vertices.amax(dim=0)) / 2


def _mesh(vertices: torch.Tensor, faces: torch.Tensor) -> wp.Mesh:
    return wp.Mesh(array_of(vertices, wp.vec3), array_of(faces.to(torch.int32).reshape(-1)))
