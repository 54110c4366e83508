"""Shape completion: a partial mesh or cloud of points → a whole shape's field that agrees with it → mesh in its place.

The methods differ in the `Completer` that gives the field; all else is theirs together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import fast_simplification
import numpy as np
from scipy.spatial import cKDTree

from ..data.shape_reading import read_shape
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.join_original import Joined, Mirror, join_original
from ..meshing.mesh_from_field import TEXTURE_SIZE, dressed, surface_from_field
from ..models.observation import Observation, UnknownBox, observe
from ..models.placements import SCAN_SCALE
from ..models.symmetry import MirrorPlane, plane_of_sample, with_mirror_image
from ..progress import IsCancelled, Preview, Progress
from ..recipe import SCAN, Recipe, Result
from ..representations.field import Field
from ..representations.observed_field import AllKnown, ObservedField
from .finishing import check_weights, finish, result_of, version_notes
from .placement import model_transform
from .stages import Stages

OF_ALL_METHODS = ("detail", "face_count", "keep_original", "mirror")
"""The parameters that this task sees to."""
MOST_FACES = 200_000
"""Of more faces, points are all that is looked at."""
MOST_UNWRAPPED = 60_000
"""Faces that a texture is made for; unwrapping more takes minutes."""
FARTHEST = 0.1
"""How far, in sizes of the shape, a box may be from it before it cannot be meant."""
ROUNDING = 1e-9
"""In sizes of the box. A mirror so near to a side of it is on that side: a slit between them would get two walls."""
LARGEST = 4.0
"""How large, in sizes of what is known, known and unknown may be together."""


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
    settings = {name: value for name, value in recipe.parameters.items() if name not in OF_ALL_METHODS}
    if "prompt" in recipe.inputs:
        settings["prompt"] = recipe.inputs["prompt"]
    plane = plane_of_sample(observation, recipe.seed) if recipe.parameters["mirror"] else None
    if plane is not None:
        observation = with_mirror_image(observation, plane)
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
            place=lambda _: np.linalg.inv(to_model),
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
    made = Mesh(*surface).transformed(np.linalg.inv(to_model))
    joined = _joined(shape, box, made, None if plane is None or box is None else mirror_of(plane, box, to_model), notes)
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
    return result_of(mesh, np.eye(4), recipe, weights=completer.weights, notes=notes, stages=stages)


def told_by_symmetry(observation: Observation) -> bool:
    """Whether nothing is left that a model would have to make."""
    return observation.known is not None and observation.unknown is not None and observation.unknown.empty


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


def mirror_of(plane: MirrorPlane, box: UnknownBox, to_model: np.ndarray) -> Mirror:
    """A plane of model space as the mirror that shows the inside of a box, in the file's frame."""
    placed = plane.transformed(np.linalg.inv(to_model))
    sides = np.array([box.low[placed.axis], box.high[placed.axis]])
    side = float(sides[np.argmin(np.abs(sides - placed.at))])
    if abs(side - placed.at) < ROUNDING * np.ptp(np.stack([box.low, box.high])):
        placed = dataclasses.replace(placed, at=side)
    left = placed.left_of(box)
    return Mirror(placed.axis, placed.at, left.low, left.high)


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
