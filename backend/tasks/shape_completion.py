"""Shape completion: a partial mesh or cloud of points → a latent that agrees with it → field → mesh in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import fast_simplification
import numpy as np
from scipy.spatial import cKDTree

from ..data.shape_reading import read_shape
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.join_original import Joined, join_original
from ..meshing.mesh_from_field import TEXTURE_SIZE, dressed, surface_from_field
from ..models.observation import Observation, UnknownBox, observe
from ..progress import IsCancelled, Preview, Progress
from ..recipe import SCAN, Recipe, Result
from ..representations.field import Field
from ..representations.observed_field import ObservedField
from .finishing import check_weights, finish, result_of, version_notes
from .placement import model_transform
from .stages import Stages

MOST_FACES = 200_000
"""Of more faces, points are all that is looked at."""
MOST_UNWRAPPED = 60_000
"""Faces that a texture is made for; unwrapping more takes minutes."""
FARTHEST = 0.1
"""How far, in sizes of the shape, a box may be from it before it cannot be meant."""
LARGEST = 4.0
"""How large, in sizes of what is known, known and unknown may be together."""
SCAN_SCALE = 0.85
"""Share of model space's size that a scan is given, since the far side of it is missing."""


class Completer(Protocol):
    """What this task needs of a shape space."""

    @property
    def weights(self) -> dict[str, str]:
        """Weights file → sha256."""
        ...

    def complete(
        self,
        observation: Observation,
        *,
        seed: int,
        steps: int,
        prompt: str | None,
        guidance_scale: float,
        step: Callable[[int, int], None] | None = None,
    ) -> Field:
        """A whole shape that agrees with the observation, in its place; `step(done, total)`."""
        ...


def run(
    recipe: Recipe,
    *,
    load_shape_space: Callable[[], Completer],
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
) -> Result:
    """Make the mesh of a valid recipe of the method "latent prior". There is no preview: the part itself says as much.

    The result's transform takes it to where the file has the partial shape, in the file's unit and Blender's frame.
    Raises InputError (the file, the box, an empty shape), MachineError (weights) or Cancelled.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    shape_space = load_shape_space()
    check_weights(recipe, shape_space.weights)
    notes = version_notes(recipe)
    shape = read_shape(str(recipe.inputs["shape"]))
    box = unknown_box(recipe)
    to_model = frame(shape, box)
    part = shape.transformed(to_model)
    if len(part.faces) > MOST_FACES:
        notes.append(
            f"The mesh has {len(part.faces):,} faces: it was looked at with fewer, so the finest detail is lost."
        )
        part = _with_fewer_faces(part)
    stages("Sampling", 0.0)
    observation = observe(part, None if box is None else box.transformed(to_model))
    prompt = recipe.inputs.get("prompt")
    completed = shape_space.complete(
        observation,
        seed=recipe.seed,
        steps=int(recipe.parameters["steps"]),
        prompt=None if prompt is None else str(prompt),
        guidance_scale=float(recipe.parameters["guidance_scale"]),
        step=lambda done, total: stages("Sampling", done / total),
    )
    field = ObservedField(completed, observation)
    if not recipe.parameters["keep_original"]:
        return finish(
            field,
            recipe,
            place=lambda _: np.linalg.inv(to_model),
            weights=shape_space.weights,
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
    made = Mesh(*surface).transformed(np.linalg.inv(to_model))
    joined = _joined(shape, box, made, notes)
    whole = made if joined is None else Mesh(joined.vertices, joined.faces)
    texture_size: int | None = TEXTURE_SIZE
    if len(whole.faces) > MOST_UNWRAPPED:
        notes.append(
            f"The mesh has {len(whole.faces):,} faces: its colours are kept at the vertices, without a texture."
        )
        texture_size = None
    placed = whole.transformed(to_model)
    mesh = dressed(
        field, placed.vertices, placed.faces, texture_size=texture_size, progress=stages, cancelled=cancelled
    )
    # In the file's frame, so that what is kept has the very same coordinates.
    mesh = dataclasses.replace(mesh, vertices=whole.vertices)
    return result_of(mesh, np.eye(4), recipe, weights=shape_space.weights, notes=notes, stages=stages)


def _joined(shape: Mesh, box: UnknownBox | None, made: Mesh, notes: list[str]) -> Joined | None:
    """The shape's own faces and those that were made, as one, in the file's frame; None, with a note, where that cannot
    be."""
    if box is None:
        notes.append("A scan has no box along which its faces could be joined to new ones: its surface was remade.")
        return None
    if not len(shape.faces):
        notes.append("Points have no faces that could be kept: the surface was remade.")
        return None
    joined = join_original(shape.vertices, shape.faces, box.low, box.high, (made.vertices, made.faces))
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


def frame(shape: Mesh, box: UnknownBox | None) -> np.ndarray:
    """(4, 4) float64 that takes the shape, with the part that is missing, into model space.

    What is known and the box together have the size of a whole object. Raises InputError for a shape without extent, a
    box that holds all of it, one that lies apart from it, and one that is far larger.
    """
    vertices = shape.vertices.astype(np.float64)
    if len(shape.faces):
        vertices = vertices[np.unique(shape.faces)]
    size = float(np.ptp(vertices, axis=0).max())
    if not size > 0:
        raise InputError("All points of the shape are at one place: there is nothing to complete.")
    if box is None:
        to_model = model_transform(vertices)
        return np.diag([SCAN_SCALE, SCAN_SCALE, SCAN_SCALE, 1.0]) @ to_model
    known = vertices[~box.contains(vertices)]
    if not len(known):
        raise InputError("The box of the unknown contains the whole shape: make it smaller, so that a part is known.")
    apart = np.maximum(vertices.min(axis=0) - box.high, box.low - vertices.max(axis=0)).max()
    if apart > FARTHEST * size:
        raise InputError("The box of the unknown does not touch the shape: move it to where the shape is missing.")
    whole = np.concatenate([known, box.low[None], box.high[None]])
    if np.ptp(whole, axis=0).max() > LARGEST * np.ptp(known, axis=0).max():
        raise InputError(
            f"The box of the unknown is more than {LARGEST:.0f} times as large as what is known: make it smaller."
        )
    return model_transform(whole)


def _with_fewer_faces(part: Mesh) -> Mesh:
    """The mesh with at most MOST_FACES; colours are those of the nearest former vertex."""
    vertices, faces = fast_simplification.simplify(part.vertices, part.faces, target_count=MOST_FACES)
    colors = None
    if part.colors is not None:
        colors = part.colors[cKDTree(part.vertices).query(vertices)[1]]
    return Mesh(vertices, faces, colors)
