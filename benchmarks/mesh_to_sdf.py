"""Signed distance grids against the libraries that people use for them: time, error, and signs on broken meshes.

A part of `build.py bench kernels --only mesh_to_sdf`. Every rival evaluates each node of the grid; Gen3D computes a
band of three cells around the surface and the sign everywhere.
"""

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import igl
import numpy as np
import torch

from backend.data.archive import Archive
from backend.kernels import Grid, mesh_to_sdf
from benchmarks.mesh_to_sdf_shapes import broken, dented_ball
from benchmarks.point_clouds import print_times
from benchmarks.timing import Bar, medians

RESOLUTION = 128
SIGN_RESOLUTION = 32
PROMISED = 8
Rival = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def bench(data: Path | None, faces: Sequence[int], quick: bool) -> list[Bar]:
    """Print times and errors, and wrong signs where data is a data-set zip; return the promises.

    Ours and Warp use torch's number of threads; Open3D and libigl use all cores, mesh2sdf one.
    """
    rivals = _rivals()
    for warm_up in (ours, *rivals.values()):  # what is compiled at the first call is no part of the comparison
        warm_up(*dented_ball(200), 8)
    bars = []
    for count in faces:
        v, f = dented_ball(count)
        calls: dict[str, Callable[[], object]] = {"Gen3D": partial(ours, v, f, RESOLUTION)}
        calls |= {name: partial(rival, v, f, RESOLUTION) for name, rival in rivals.items()}
        times = medians(calls, rounds=1 if quick else 3, seconds=5)
        print_times(f"mesh to signed distance, {len(f)} faces, {RESOLUTION}³", times)
        fastest = min(seconds for name, seconds in times.items() if name != "Gen3D")
        bars.append(Bar(f"mesh_to_sdf, {count} faces: the fastest rival / ours", fastest / times["Gen3D"], PROMISED))
        print(f"  greatest error of ours within the band: {greatest_error(v, f):.1e} cells", flush=True)
    if data is None:
        print("To compare signs on broken meshes, name a data-set zip with --data.")
    else:
        bars.append(_compare_signs(rivals, data, quick))
    return bars


def ours(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
    """(resolution,)³ float32 over [-1, 1]³, corners included."""
    return mesh_to_sdf(torch.from_numpy(vertices).float(), torch.from_numpy(faces), Grid.cube(resolution)).numpy()


def greatest_error(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of ours at 20,000 nodes within the band, in cells."""
    grid = Grid.cube(RESOLUTION)
    found = np.abs(ours(vertices, faces, RESOLUTION)).reshape(-1)
    near = np.flatnonzero(found < 2.99 * grid.spacing)
    chosen = np.random.default_rng(0).choice(near, min(20_000, len(near)), replace=False)
    in_float32 = vertices.astype(np.float32).astype(np.float64)
    exact = np.sqrt(igl.point_mesh_squared_distance(grid.points()[chosen], in_float32, faces)[0])
    return float(np.abs(exact - found[chosen]).max() / grid.spacing)


def _rivals() -> dict[str, Rival]:
    """Each gives (resolution³,) values at its own nodes, see `_nodes_of`."""
    import open3d
    import warp as wp

    from benchmarks.warp_sdf import winding_sdf

    wp.config.log_level = wp.LOG_ERROR

    def by_open3d(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
        scene = open3d.t.geometry.RaycastingScene()
        scene.add_triangles(vertices.astype(np.float32), faces.astype(np.uint32))
        return scene.compute_signed_distance(Grid.cube(resolution).points().astype(np.float32)).numpy()

    def by_libigl(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
        points = Grid.cube(resolution).points()
        distance = np.sqrt(igl.point_mesh_squared_distance(points, vertices, faces)[0])
        return np.where(igl.fast_winding_number(vertices, faces, points) > 0.5, -distance, distance)

    def by_warp(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
        return winding_sdf(vertices, faces, Grid.cube(resolution).points())

    rivals = {"Warp": by_warp, "Open3D": by_open3d, "libigl": by_libigl}
    # Kept out of requirements/benchmarks.txt: it has no wheels for every platform, and would need a compiler.
    if importlib.util.find_spec("mesh2sdf") is None:
        print(
            "mesh2sdf is not installed and left out; to compare with it: pip install mesh2sdf==1.1.0 (it may compile)."
        )
        return rivals
    import mesh2sdf

    def by_mesh2sdf(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
        return mesh2sdf.compute(vertices, faces, resolution).reshape(-1)

    return {**rivals, "mesh2sdf": by_mesh2sdf}


def _nodes_of(name: str, resolution: int) -> np.ndarray:
    """Where a rival's values lie: mesh2sdf leaves out the far end of each axis."""
    if name == "mesh2sdf":
        return Grid((-1.0,) * 3, 2 / resolution, (resolution,) * 3).points()
    return Grid.cube(resolution).points()


def _compare_signs(rivals: dict[str, Rival], data: Path, quick: bool) -> Bar:
    """Print the share of wrong signs for each kind of damage; the promise is of all of them together.

    The truth is the exact winding number of the whole mesh. Nodes within a hundredth of a cell of the surface are left
    out.
    """
    closed = [shape for shape in Archive(data) if shape.watertight][: 4 if quick else None]
    wrong: dict[str, dict[str, list[float]]] = {}
    methods: dict[str, Rival] = {"Gen3D": lambda v, f, r: ours(v, f, r).reshape(-1), **rivals}
    for shape in closed:
        vertices, faces = shape.vertices.astype(np.float64), np.ascontiguousarray(shape.faces, np.int32)
        inside, clear = {}, {}
        for name in ("Gen3D", "mesh2sdf"):
            nodes = _nodes_of(name, SIGN_RESOLUTION)
            inside[name] = np.abs(igl.winding_number(vertices, faces, nodes)) > 0.5
            squared = igl.point_mesh_squared_distance(nodes, vertices, faces)[0]
            clear[name] = squared > (0.01 * 2 / SIGN_RESOLUTION) ** 2
        for damage, (v, f) in broken(vertices, faces).items():
            for name, method in methods.items():
                truth = name if name in inside else "Gen3D"
                negative = method(np.ascontiguousarray(v), np.ascontiguousarray(f, np.int32), SIGN_RESOLUTION) < 0
                share = ((negative != inside[truth]) & clear[truth]).sum() / max(inside[truth].sum(), 1)
                wrong.setdefault(damage, {}).setdefault(name, []).append(float(share))
    print(
        f"wrong signs as a share of the nodes inside, mean over {len(closed)} closed meshes, {SIGN_RESOLUTION}³ nodes:"
    )
    for damage, shares in wrong.items():
        cells = [f"{name} {100 * np.mean(values):.2f} %" for name, values in shares.items()]
        print(f"  {damage}: " + ", ".join(cells), flush=True)
    total = {name: np.mean([np.mean(shares[name]) for shares in wrong.values()]) for name in methods}
    best = min(share for name, share in total.items() if name != "Gen3D")
    return Bar("mesh_to_sdf: wrong signs of ours / the best rival's", float(total["Gen3D"] / best), 1, at_least=False)
