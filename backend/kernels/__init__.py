"""Compiled point-cloud and mesh operations on torch tensors, differentiable where a derivative exists.

Importing this package costs nothing: an operation's compiler (LLVM on the CPU, NVRTC or Warp on a CUDA GPU) is loaded
when its name is first used. `HOMES` says which module holds which operation. A module never has the name of an
operation, because importing a module binds its name in this package and would hide the function.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "nearest_neighbors": "nearest",
    "chamfer_distance": "chamfer",
    "chamfer_distance_l1": "chamfer",
    "soft_chamfer_distance": "soft_chamfer",
    "earth_movers_distance": "earth_movers",
    "minimum_of_n_loss": "minimum_of_n",
    "farthest_points": "point_sampling",
    "ball_query": "neighborhoods",
    "group_points": "neighborhoods",
    "pool_neighbors": "neighbor_pooling",
    "three_nearest_interpolate": "interpolation",
    "voxelize": "voxels",
    "devoxelize": "voxels",
    "point_to_mesh_distance": "mesh_distance",
    "winding_number": "winding",
    "mesh_to_distance": "signed_distance",
    "mesh_to_sdf": "signed_distance",
    "march_rays": "ray_marching",
    "Grid": "signed_distance",
}

__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"backend.kernels has no operation {name!r}")
    operation = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = operation
    return operation


def __dir__() -> list[str]:
    return [*globals(), *__all__]
