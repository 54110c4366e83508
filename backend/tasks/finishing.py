"""What every task does before and after its own work: weights checked, field meshed, result put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ..errors import MachineError
from ..mesh import Mesh
from ..meshing.mesh_from_field import mesh_from_field
from ..progress import IsCancelled, check_cancelled
from ..recipe import VERSION, Recipe, Result, Viewpoint
from ..representations.field import Field
from .stages import Stages


def check_weights(recipe: Recipe, bundled: dict[str, str]) -> None:
    """A recipe that names weights wants those and no others: it promises the same mesh. Raises MachineError."""
    for name, digest in recipe.weights.items():
        if bundled.get(name) != digest:
            raise MachineError(
                f"The recipe was made with other weights ('{name}', {digest[:8]}…) than this Gen3D has: install the "
                f"version that wrote it ({recipe.version}), or remove the weights from the recipe to use today's."
            )


def version_notes(recipe: Recipe) -> list[str]:
    """A sentence for the user when another version wrote the recipe."""
    if recipe.version == VERSION:
        return []
    return [f"The recipe was written by Gen3D {recipe.version}; this is {VERSION}, so the mesh may differ."]


def finish(
    field: Field,
    recipe: Recipe,
    *,
    place: Callable[[np.ndarray], np.ndarray],
    weights: dict[str, str],
    notes: list[str],
    stages: Stages,
    cancelled: IsCancelled | None,
    close_holes: bool = False,
) -> Result:
    """The result of a recipe from the field that its sampling gave.

    place         vertices (V, 3) in model space → the transform (4, 4) into scene metres
    close_holes   see `mesh_from_field`

    Raises InputError when the field is empty, Cancelled, and MachineError as `mesh_from_field` does.
    """
    mesh = mesh_from_field(
        field,
        detail=int(recipe.parameters["detail"]),
        face_count=int(recipe.parameters["face_count"]),
        close_holes=close_holes,
        progress=stages,
        cancelled=cancelled,
    )
    check_cancelled(cancelled)
    return result_of(mesh, place(mesh.vertices), recipe, weights=weights, notes=notes, stages=stages)


def result_of(
    mesh: Mesh,
    transform: np.ndarray,
    recipe: Recipe,
    *,
    weights: dict[str, str],
    notes: list[str],
    stages: Stages,
    viewpoint: Viewpoint | None = None,
    views: np.ndarray | None = None,
) -> Result:
    """The result of a recipe, with the weights and the version that made it."""
    return Result(
        mesh=mesh,
        transform=transform,
        recipe=dataclasses.replace(recipe, weights=dict(weights), version=VERSION),
        timings=stages.timings(),
        notes=notes,
        viewpoint=viewpoint,
        views=views,
    )
