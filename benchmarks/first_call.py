"""How long the first call of each operation takes where nothing has been compiled yet.

A part of `build.py bench kernels --only first_call`. Each operation is called in a process of its own with an empty
folder for compiled code; the package is imported and the inputs are made before the clock starts.
"""

import os
import subprocess
import sys
import tempfile

from benchmarks.timing import Bar

PROMISED = 5.0
PREPARE = """
import time, torch
torch.set_num_threads({threads})
from backend.kernels import *
from benchmarks.mesh_to_sdf_shapes import dented_ball
a, b = (torch.randn(4, 3000, 3, requires_grad=True) for _ in range(2))
vertices, faces = (torch.from_numpy(part) for part in dented_ball(1000))
vertices, faces = vertices.float(), faces[:-50]
begin = time.perf_counter()
{call}
print(time.perf_counter() - begin)
"""
CALLS = {
    "nearest_neighbors": "nearest_neighbors(a, b)[0].sum().backward()",
    "nearest_neighbors, k = 8": "nearest_neighbors(a, b, 8)[0].sum().backward()",
    "chamfer_distance": "chamfer_distance(a, b).backward()",
    "soft_chamfer_distance": "soft_chamfer_distance(a, b, 0.01).backward()",
    "earth_movers_distance": "earth_movers_distance(a, b).distance.sum().backward()",
    "farthest_points": "farthest_points(a, 64)",
    "ball_query": "ball_query(a, b, 0.2, 16)",
    "three_nearest_interpolate": "three_nearest_interpolate(a, b, torch.randn(4, 3000, 8)).sum().backward()",
    "point_to_mesh_distance": "point_to_mesh_distance(a[0], vertices, faces)",
    "winding_number": "winding_number(a[0].detach(), vertices, faces)",
    "mesh_to_sdf, points": "mesh_to_sdf(vertices, faces, a[0])",
    "mesh_to_sdf, a grid": "mesh_to_sdf(vertices, faces, Grid.cube(32))",
}


def bench(threads: int) -> list[Bar]:
    """Print the seconds of each first call, forward and backward where there is a backward; return the promises."""
    bars = []
    for name, call in CALLS.items():
        with tempfile.TemporaryDirectory() as folder:
            answer = subprocess.run(
                [sys.executable, "-c", PREPARE.format(threads=threads, call=call)],
                env={**os.environ, "GEN3D_KERNEL_CACHE": folder},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=True,
            )
        seconds = float(answer.stdout)
        print(f"first call of {name}: {seconds:.2f} s", flush=True)
        bars.append(Bar(f"first call of {name}, seconds", seconds, PROMISED, at_least=False))
    return bars
