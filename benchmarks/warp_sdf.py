"""NVIDIA Warp's own signed distance on the CPU as its users call it: one query a point, sign by winding number."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def _signed_distance(mesh: wp.uint64, points: wp.array[wp.vec3], distance: wp.array[float]) -> None:
    i = wp.tid()
    query = wp.mesh_query_point_sign_winding_number(mesh, points[i], 1.0e6)
    nearest = wp.mesh_eval_position(mesh, query.face, query.u, query.v)
    distance[i] = query.sign * wp.length(points[i] - nearest)


def winding_sdf(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Signed distances (N,) float32; launches are serial on the CPU, so each of torch's threads gets a share."""
    mesh = wp.Mesh(
        wp.array(vertices, dtype=wp.vec3, device="cpu"),
        wp.array(faces.reshape(-1), dtype=wp.int32, device="cpu"),
        support_winding_number=True,
    )
    distance = np.empty(len(points), np.float32)

    def compute(part: np.ndarray) -> None:
        found = wp.zeros(len(part), dtype=float, device="cpu")
        place = wp.array(points[part], dtype=wp.vec3, device="cpu")
        wp.launch(_signed_distance, dim=len(part), inputs=[mesh.id, place], outputs=[found], device="cpu")
        distance[part] = found.numpy()

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(compute, np.array_split(np.arange(len(points)), threads)))
    return distance
