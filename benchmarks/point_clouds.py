"""Nearest neighbours, Chamfer and earth mover's distances against the libraries that people use for them."""

import ctypes
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from backend.kernels import chamfer_distance, earth_movers_distance, soft_chamfer_distance
from backend.kernels.nearest import mutual_nearest
from benchmarks.timing import Bar, medians

SIZES = ((32, 2048), (8, 8192), (1, 100_000), (1, 1_000_000))
SMALL_SIZES = ((32, 256), (32, 512), (32, 1024))
Measured = dict[tuple[str, int, int], dict[str, float]]


def ball(batch: int, count: int, seed: int) -> torch.Tensor:
    """Points spread evenly in the unit ball."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(batch, count, 3))
    points *= random.random((batch, count, 1)) ** (1 / 3) / np.linalg.norm(points, axis=2, keepdims=True)
    return torch.from_numpy(points.astype(np.float32))


def surface(batch: int, count: int, seed: int) -> torch.Tensor:
    """Points on an ellipsoid with axes 1, 0.5 and 0.7."""
    points = np.random.default_rng(seed).normal(size=(batch, count, 3))
    points *= np.array([1.0, 0.5, 0.7]) / np.linalg.norm(points, axis=2, keepdims=True)
    return torch.from_numpy(points.astype(np.float32))


SHAPES: dict[str, Callable[[int, int, int], torch.Tensor]] = {"ball": ball, "surface": surface}


def bench_nearest(threads: int, quick: bool) -> tuple[Measured, list[Bar]]:
    """Nearest neighbours both ways with indices."""
    from pykdtree.kdtree import KDTree

    reference = compiled_reference()
    measured: Measured = {}
    bars = []
    for batch, count in SMALL_SIZES + (SIZES[:3] if quick else SIZES):
        for shape, make in SHAPES.items():
            a, b = make(batch, count, 0), make(batch, count, 1)
            pairs = [(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
            full = torch.full((batch,), count)

            def scipy(pairs: list = pairs) -> None:
                for x, y in pairs:
                    cKDTree(y).query(x, workers=threads)
                    cKDTree(x).query(y, workers=threads)

            def pykdtree(pairs: list = pairs) -> None:
                for x, y in pairs:
                    KDTree(y).query(x)
                    KDTree(x).query(y)

            def torch_cdist(a: torch.Tensor = a, b: torch.Tensor = b) -> None:
                distances = torch.cdist(a, b)
                distances.min(2)
                distances.min(1)

            rivals: dict[str, Callable[[], object]] = {
                "Gen3D": partial(mutual_nearest, a, b, full, full),
                "pykdtree": pykdtree,
                "cKDTree": scipy,
            }
            if batch * count * count * 4 < 1.2e9:
                rivals["torch.cdist"] = torch_cdist
            if reference is not None:
                rivals["C++ grid"] = partial(both_ways, reference, a, b, True, threads)
                if count <= 10_000:
                    rivals["C++ pairs"] = partial(both_ways, reference, a, b, False, threads)
            rounds = 9 if count <= 10_000 else 3 if count <= 100_000 else 1
            times = medians(rivals, rounds=min(rounds, 3) if quick else rounds)
            measured[shape, batch, count] = times
            print_times(f"nearest both ways, {shape}, {batch} × {count}²", times)
            if count >= 2048:
                where = f"nearest neighbours, {shape}, {batch} × {count}²"
                ours = times["Gen3D"]
                bars.append(Bar(f"{where}: cKDTree / ours", times["cKDTree"] / ours, 4))
                bars.append(Bar(f"{where}: pykdtree / ours", times["pykdtree"] / ours, 1.8))
                if "torch.cdist" in times:
                    bars.append(Bar(f"{where}: torch.cdist / ours", times["torch.cdist"] / ours, 30))
                by_hand = [times[name] for name in ("C++ grid", "C++ pairs") if name in times]
                if by_hand:
                    bars.append(Bar(f"{where}: ours / the better C++", ours / min(by_hand), 1.3, at_least=False))
    return measured, bars


def bench_chamfer(threads: int, quick: bool) -> tuple[Measured, list[Bar]]:
    """Chamfer distance forward and backward, hard and soft."""
    measured: Measured = {}
    bars = []
    for batch, count in ((32, 2048), (4, 8192)):
        a, b = surface(batch, count, 0).requires_grad_(), surface(batch, count, 1).requires_grad_()

        def by_cdist(a: torch.Tensor = a, b: torch.Tensor = b) -> None:
            distances = torch.cdist(a, b).square()
            (distances.amin(2).mean() + distances.amin(1).mean()).backward()

        times = medians(
            {
                "Gen3D": partial(forward_and_backward, chamfer_distance, a, b),
                "torch.cdist": by_cdist,
                "soft, T = 0.001": partial(forward_and_backward, soft_chamfer_distance, a, b, 0.001),
                "soft, T = 1": partial(forward_and_backward, soft_chamfer_distance, a, b, 1.0),
            },
            rounds=2 if quick else 5,
            seconds=6,
        )
        measured["surface", batch, count] = times
        print_times(f"Chamfer forward and backward, {batch} × {count}²", times)
        ratio = times["torch.cdist"] / times["Gen3D"]
        bars.append(Bar(f"Chamfer forward + backward, {batch} × {count}²: torch.cdist / ours", ratio, 10))
    return measured, bars


def bench_emd(threads: int, quick: bool) -> tuple[Measured, list[Bar]]:
    """Earth mover's distance at ε = 1 %, single pairs and batches."""
    import ot  # type: ignore[import-untyped]
    from geomloss import SamplesLoss  # type: ignore[import-untyped]

    measured: Measured = {}
    bars = []
    sinkhorn = SamplesLoss("sinkhorn", p=1, blur=0.01, backend="tensorized")
    for count, promised in ((512, 4), (1024, 5), (2048, 6)):
        for shape, make in SHAPES.items():
            a, b = make(8, count, 0), make(8, count, 1)
            x, y = a[0].numpy().astype(np.float64), b[0].numpy().astype(np.float64)
            even = np.full(count, 1 / count)
            times = medians(
                {
                    "Gen3D": partial(earth_movers_distance, a[:1], b[:1], 0.01),
                    "Gen3D, 8 pairs": partial(earth_movers_distance, a, b, 0.01),
                    "Gen3D, 8 pairs, one thread": partial(on_one_thread, earth_movers_distance, a, b, 0.01),
                    "SciPy": partial(solve, linear_sum_assignment, x, y),
                    "POT emd2": partial(solve, partial(ot.emd2, even, even, numItermax=10**7), x, y),
                    "geomloss Sinkhorn": partial(sinkhorn, a[0], b[0]),
                },
                rounds=2 if quick else 7,
                seconds=6,
            )
            measured[shape, 1, count] = times
            costs = cdist(x, y)
            optimum = costs[linear_sum_assignment(costs)].mean()
            found = earth_movers_distance(a[:1], b[:1], 0.01)
            excess, proven = float(found.distance) / optimum - 1, float(found.distance / found.lower_bound) - 1
            off = abs(float(sinkhorn(a[0], b[0])) / optimum - 1)
            print_times(f"earth mover's distance, {shape}, N = {count}", times)
            print(f"    over the optimum {excess:.4%}, proven {proven:.2%}; Sinkhorn is off by {off:.0%}")
            where = f"earth mover's distance, {shape}, N = {count}"
            exact = min(times["SciPy"], times["POT emd2"])
            bars.append(Bar(f"{where}: the faster of SciPy and POT / ours", exact / times["Gen3D"], promised))
            if threads > 1:
                gain = times["Gen3D, 8 pairs, one thread"] / times["Gen3D, 8 pairs"]
                bars.append(Bar(f"{where}: gain of a batch on {threads} threads", gain, 1.7))
    return measured, bars


def forward_and_backward(distance: Callable[..., torch.Tensor], *arguments: Any) -> None:
    """One step of training."""
    distance(*arguments).backward()


def on_one_thread(operation: Callable[..., object], *arguments: Any) -> None:
    """An operation without the help of other threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        operation(*arguments)
    finally:
        torch.set_num_threads(threads)


def solve(solver: Callable[[np.ndarray], object], x: np.ndarray, y: np.ndarray) -> object:
    """An exact solver with the matrix of costs that it needs."""
    return solver(cdist(x, y))


def both_ways(reference: Callable[..., None], a: torch.Tensor, b: torch.Tensor, grid: bool, threads: int) -> None:
    """The C++ yardstick from a to b and back."""
    reference(a, b, grid, threads)
    reference(b, a, grid, threads)


def compiled_reference() -> Callable[[torch.Tensor, torch.Tensor, bool, int], None] | None:
    """The C++ yardstick, compiled for this processor; None where there is no C++ compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        print("No C++ compiler here: the comparison with hand-written C++ is left out.")
        return None
    source = Path(__file__).with_name("kernels_reference.cpp")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder) / "reference.so"
        options = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-fopenmp", "-shared", "-fPIC"]
        subprocess.run([compiler, *options, "-std=c++17", str(source), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).nearest_neighbors

    def run(a: torch.Tensor, b: torch.Tensor, grid: bool, threads: int) -> None:
        (batch, n, _), m = a.shape, b.shape[1]
        squared, index = torch.empty(batch, n), torch.empty(batch, n, dtype=torch.int64)
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (a, b, squared, index)]
        function(*pointers[:2], batch, n, m, int(grid), threads, *pointers[2:])

    check_a, check_b = ball(2, 300, 0), ball(2, 400, 1)
    for grid in (False, True):
        squared, index = torch.empty(2, 300), torch.empty(2, 300, dtype=torch.int64)
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (check_a, check_b, squared, index)]
        function(*pointers[:2], 2, 300, 400, int(grid), 1, *pointers[2:])
        expected = torch.cdist(check_a.double(), check_b.double()).square().amin(2)
        torch.testing.assert_close(squared.double(), expected, rtol=1e-5, atol=1e-12)
    return run


def print_times(title: str, times: dict[str, float]) -> None:
    """One line: milliseconds, and how many times ours each rival takes."""
    ours = times["Gen3D"]
    cells = [f"{name} {1e3 * seconds:.4g} ms ({seconds / ours:.2f}×)" for name, seconds in times.items()]
    print(f"{title}: " + ", ".join(cells), flush=True)


def draw(parts: dict[str, Measured], path: Path) -> None:
    """The picture of cost against size: one chart a part and shape, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    charts = [(part, shape) for part, measured in parts.items() for shape in {key[0]: None for key in measured}]
    columns = min(2, len(charts))
    figure, axes = pyplot.subplots(
        math.ceil(len(charts) / columns), columns, figsize=(6.5 * columns, 4.2 * math.ceil(len(charts) / columns)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis, (part, shape) in zip(axes.flat, charts, strict=False):
        lines: dict[str, list[tuple[int, float]]] = {}
        for (of, batch, count), times in parts[part].items():
            for name, seconds in times.items():
                if of == shape:
                    pairs = 8 if "8 pairs" in name else batch
                    lines.setdefault(name, []).append((count, 1e6 * seconds / (pairs * count)))
        for name, points in lines.items():
            axis.plot(*zip(*points, strict=True), marker="o", linewidth=3 if name == "Gen3D" else 1.2, label=name)
        axis.set(xscale="log", yscale="log", xlabel="points a cloud", ylabel="µs a point", title=f"{part}, {shape}")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    for axis in axes.flat[len(charts) :]:
        axis.remove()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"Picture: {path}")
