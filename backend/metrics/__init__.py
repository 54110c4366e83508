"""The yardsticks of the field, each with the definition that the published figures use.

Importing this package costs nothing: a metric's module is loaded when its name is first used. No module has the name of
a metric, because importing it would hide the function.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "chamfer_l1": "reconstruction",
    "chamfer_l2": "reconstruction",
    "f_score": "reconstruction",
    "hausdorff_distance": "reconstruction",
    "unidirectional_hausdorff_distance": "reconstruction",
    "normal_consistency": "reconstruction",
    "volumetric_iou": "reconstruction",
    "pairwise_distances": "pairwise",
    "minimum_matching_distance": "generation",
    "coverage": "generation",
    "one_nearest_neighbor_accuracy": "generation",
    "total_mutual_difference": "generation",
    "psnr": "images",
    "ssim": "images",
}

__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"backend.metrics has no metric {name!r}")
    metric = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = metric
    return metric


def __dir__() -> list[str]:
    return [*globals(), *__all__]
