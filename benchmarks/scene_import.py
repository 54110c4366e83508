"""How long a mesh takes from arrays to an object in the scene: a grid of a million vertices, with colours and UVs.

    .venv/bin/python benchmarks/scene_import.py [--vertices 1000000] [--repeats 5]
    blender -b --factory-startup --python benchmarks/scene_import.py -- [the same]

Prints the median of each step and of `scene.add_result` as a whole, in milliseconds. The bar is one second.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np

HEADLESS = Path(__file__).resolve().parents[1] / "gen3d_addon" / "headless.py"


def grid(side: int) -> dict[str, Any]:
    """Arrays of a wavy sheet with side x side vertices, coloured, with UVs."""
    across = np.linspace(-0.9, 0.9, side, dtype=np.float32)
    x, y = np.meshgrid(across, across)
    vertices = np.stack([x, y, 0.1 * np.sin(9.0 * x) * np.cos(7.0 * y)], axis=-1).reshape(-1, 3)
    index = np.arange(side * side, dtype=np.int32).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    unit = vertices[:, :2] / 1.8 + 0.5
    colors = np.concatenate([unit, np.full((len(unit), 1), 0.5, np.float32)], axis=1)
    return {"vertices": vertices, "faces": faces, "colors": colors, "uvs": unit[faces]}


def milliseconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1000.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vertices", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    spec = importlib.util.spec_from_file_location("gen3d_loader", HEADLESS)
    assert spec is not None and spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    loader.load_addon()
    scene, backend = importlib.import_module("gen3d.scene"), importlib.import_module("gen3d.backend")
    mesh_type = importlib.import_module("gen3d.backend.mesh").Mesh
    mesh = mesh_type(**grid(round(options.vertices**0.5)))
    recipe = importlib.import_module("gen3d.backend.recipe")
    result = recipe.Result(mesh, np.eye(4), backend.Recipe.create(prompt="a wavy sheet"), {}, [])
    fill, whole = [], []
    for _ in range(options.repeats):
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        data = bpy.data.meshes.new("Sheet")
        fill.append(milliseconds(lambda data=data: scene.fill_mesh(data, mesh, mesh.vertices)))
        bpy.data.meshes.remove(data)
        whole.append(milliseconds(lambda: scene.add_result(bpy.context.scene, result)))
    print(f"Blender {bpy.app.version_string}: {len(mesh.vertices):,} vertices, {len(mesh.faces):,} faces")
    print(f"arrays to mesh      {statistics.median(fill):8.0f} ms   (best {min(fill):.0f})")
    print(f"result to scene     {statistics.median(whole):8.0f} ms   (best {min(whole):.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
