"""Shape completion: a partial mesh or cloud of points → a whole shape's field that agrees with it → mesh in its place.

The methods differ in the `Completer` that gives the field; all else is theirs together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ..mesh import Mesh
from ..meshing.join_original import Joined, join_original
from ..meshing.mesh_from_field import TEXTURE_SIZE, dressed, surface_from_field
from ..meshing.mirror_images import Mirror
from ..models.observation import Observation, UnknownBox
from ..progress import IsCancelled, Preview, Progress
from ..recipe import SCAN, Recipe, Result
from ..representations.field import Field
from ..representations.observed_field import AllKnown, ObservedField
from .finishing import check_weights, finish, result_of, version_notes
from .partial_shape import PartialShape, told_by_symmetry
from .stages import Stages

OF_ALL_METHODS = ("detail", "face_count", "keep_original", "mirror")
"""The parameters that this task sees to."""
MOST_UNWRAPPED = 60_000
"""Faces that a texture is made for; unwrapping more takes minutes."""


class Completer(Protocol):
    """What this task needs of a method."""

    @property
    def weights(self) -> dict[str, str]:
        """Weights file → sha256."""
        ...

    def complete(
        self,
        observation: Observation,
        *,
        seed: int,
        step: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> Field:
        """A whole shape that agrees with the observation, in its place; `step(done, total)`. settings: the recipe's
        parameters that are the method's own, and its prompt where it has one."""
        ...


def run(
    recipe: Recipe,
    *,
    load_completer: Callable[[], Completer],
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
) -> Result:
    """Make the mesh of a valid recipe. There is no preview: the part itself says as much.

    The result's transform takes it to where the file has the partial shape, in the file's unit and Blender's frame.
    Raises InputError (the file, the box, an empty shape), MachineError (weights) or Cancelled.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    completer = load_completer()
    check_weights(recipe, completer.weights)
    notes = version_notes(recipe)
    part = PartialShape.read(str(recipe.inputs["shape"]), unknown_box(recipe))
    notes += part.notes
    stages("Sampling", 0.0)
    settings = {name: value for name, value in recipe.parameters.items() if name not in OF_ALL_METHODS}
    if "prompt" in recipe.inputs:
        settings["prompt"] = recipe.inputs["prompt"]
    observation, mirror = part.seen_by(recipe.seed, mirror=bool(recipe.parameters["mirror"]))
    if told_by_symmetry(observation):
        notes.append("Mirror symmetry tells all that is unknown, so samples are alike: turn Mirror off for others.")
    field = completed_field(
        observation,
        completer,
        seed=recipe.seed,
        step=lambda done, total: stages("Sampling", done / total),
        **settings,
    )
    if not recipe.parameters["keep_original"]:
        return finish(
            field,
            recipe,
            place=lambda _: np.linalg.inv(part.to_model),
            weights=completer.weights,
            notes=notes,
            stages=stages,
            cancelled=cancelled,
        )
    surface = surface_from_field(
        field,
        detail=int(recipe.parameters["detail"]),
        face_count=int(recipe.parameters["face_count"]),
        progress=stages,
        cancelled=cancelled,
    )
    made = Mesh(*surface).transformed(np.linalg.inv(part.to_model))
    joined = _joined(part.shape, part.box, made, mirror, notes)
    whole = made if joined is None else Mesh(joined.vertices, joined.faces)
    texture_size: int | None = TEXTURE_SIZE
    if len(whole.faces) > MOST_UNWRAPPED:
        notes.append(
            f"The mesh has {len(whole.faces):,} faces: its colours are kept at the vertices, without a texture."
        )
        texture_size = None
    placed = whole.transformed(part.to_model)
    mesh = dressed(
        field, placed.vertices, placed.faces, texture_size=texture_size, progress=stages, cancelled=cancelled
    )
    # In the file's frame, so that what is kept has the very same coordinates.
    mesh = dataclasses.replace(mesh, vertices=whole.vertices)
    return result_of(mesh, np.eye(4), recipe, weights=completer.weights, notes=notes, stages=stages)


def completed_field(
    observation: Observation,
    completer: Completer,
    *,
    seed: int,
    step: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> ObservedField:
    """What the completer makes of the observation, held to it; `step` and `settings` as `Completer.complete`."""
    if told_by_symmetry(observation):
        return ObservedField(AllKnown(), observation)
    return ObservedField(completer.complete(observation, seed=seed, step=step, **settings), observation)


def _joined(shape: Mesh, box: UnknownBox | None, made: Mesh, mirror: Mirror | None, notes: list[str]) -> Joined | None:
    """The shape's own faces and those that were made, as one, in the file's frame; None, with a note, where that cannot
    be."""
    if box is None:
        notes.append("A scan has no box along which its faces could be joined to new ones: its surface was remade.")
        return None
    if not len(shape.faces):
        notes.append("Points have no faces that could be kept: the surface was remade.")
        return None
    joined = join_original(shape.vertices, shape.faces, box.low, box.high, (made.vertices, made.faces), mirror)
    if joined is None:
        notes.append("The original's faces enclose nothing that new ones could be joined to: its surface was remade.")
    return joined


def unknown_box(recipe: Recipe) -> UnknownBox | None:
    """The recipe's box of the unknown, in the file's frame; None for a scan."""
    numbers = recipe.inputs["unknown"]
    if numbers == SCAN:
        return None
    assert isinstance(numbers, tuple)
    return UnknownBox(np.array(numbers[:3], np.float64), np.array(numbers[3:], np.float64))
