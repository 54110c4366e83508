"""What the kernels promise against the libraries that people use instead, with the picture of cost against size.

Run: python3 build.py bench kernels [--only nearest chamfer emd …] [--threads 2] [--quick] [--out picture.png]
Rivals take turns in one process; medians of wall-clock times. Compare only on a machine that does nothing else.
"""

import argparse
import os
from pathlib import Path

PARTS = ("first_call", "nearest", "chamfer", "emd", "mesh_to_sdf")
FACES = (5_000, 70_000, 500_000)


def main() -> None:
    """Measure the chosen parts, print every time and every promise."""
    parser = argparse.ArgumentParser(description="Measure the kernels against their peers.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no clouds of a million points")
    parser.add_argument("--faces", type=int, nargs="*", default=FACES, help="sizes of the meshes of mesh_to_sdf")
    parser.add_argument("--data", type=Path, help="a data-set zip whose closed meshes are broken to compare signs")
    parser.add_argument("--out", type=Path, default=Path("output/kernels.png"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before the libraries that read it are loaded

    import torch

    from benchmarks import first_call, point_clouds

    torch.set_num_threads(options.threads)
    point_parts = {
        "nearest": point_clouds.bench_nearest,
        "chamfer": point_clouds.bench_chamfer,
        "emd": point_clouds.bench_emd,
    }
    bars, measured = [], {}
    for name in options.only:
        if name in point_parts:
            measured[name], found = point_parts[name](options.threads, options.quick)
        elif name == "first_call":
            found = first_call.bench(options.threads)
        else:
            from benchmarks import mesh_to_sdf

            found = mesh_to_sdf.bench(options.data, options.faces, options.quick)
        bars += found
    print("\nPromises:", *bars, sep="\n")
    if measured:
        point_clouds.draw(measured, options.out)


if __name__ == "__main__":
    main()
