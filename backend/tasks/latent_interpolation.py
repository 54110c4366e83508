"""Latent interpolation: two or more meshes → the shapes between, as meshes or as one mesh that morphs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Protocol

import numpy as np
import torch

from ..data.mesh_reading import read_mesh
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.carry import SurfaceCarrier
from ..meshing.even_steps import Surface, measure_path, share_steps, surface_distance
from ..meshing.mesh_from_field import TEXTURE_SIZE, mesh_from_field
from ..meshing.metamorphosis import Distances, Metamorphosis
from ..models.latent_blending import blend, walk_weights
from ..models.principal_components import PrincipalComponents
from ..progress import IsCancelled, Preview, Progress
from ..recipe import VERSION, Recipe, Result
from ..representations.field import Field
from .finishing import check_weights, version_notes
from .loaded_models import encoded_inputs
from .placement import model_transform
from .stages import Stages

COMPARED_POINTS = 8192
MANY_FACES = 500_000
FINEST_MEASURED = 64
"""Cells along each side of the grid that paths are measured on, at most."""
SHARE_OF_ENCODING = 0.2
"""Of the stage "Sampling"; the rest is for measuring the path."""
FOLDED_SHARE = 0.01
"""From this share of turned faces on, the user is told that one topology does not fit all steps."""
SHARES_OF_STEP = {"Extracting": (0.0, 0.6), "Simplifying": (0.6, 0.1), "Texturing": (0.7, 0.3)}
"""Where each stage of meshing begins in the time of one step, and how much of it it takes."""


class ShapeCoder(Protocol):
    """What this task needs of a shape space."""

    @property
    def weights(self) -> dict[str, str]:
        """Weights file → sha256."""
        ...

    @property
    def components(self) -> PrincipalComponents: ...

    def encode(self, mesh: Mesh) -> torch.Tensor:
        """The latent (C, 8, 8, 8) float32 of a mesh in model space."""
        ...

    def field(self, latent: torch.Tensor) -> Field: ...


@dataclasses.dataclass(frozen=True)
class _Input:
    """One of the meshes: in model space, with its largest extent in metres, its latent, the distances to what that
    stands for, and notes for the user."""

    name: str
    mesh: Mesh
    size: float
    latent: torch.Tensor
    distances: Distances
    notes: tuple[str, ...]

    @property
    def low(self) -> float:
        """Where it stands, in model space."""
        return float(self.mesh.vertices[:, 2].min())


def run(
    recipe: Recipe,
    *,
    load_shape_space: Callable[[], ShapeCoder],
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
) -> Result:
    """Make the shapes of a valid recipe of the method "latent interpolation".

    All steps stand at one place, in sizes between those of the inputs, and are about equally far apart. With the output
    "meshes" they are `Result.meshes`; with "shape keys" and "keyframes" the first mesh's vertices follow the surface,
    and `Result.shape_keys` has where they are in each step. Raises InputError (a file, weights that make no shape),
    MachineError (the model's weights) or Cancelled; `cancelled` is asked at every piece of meshing. Every finished step
    goes to `preview`.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    shape_space = load_shape_space()
    check_weights(recipe, shape_space.weights)
    notes = version_notes(recipe)

    inputs: list[_Input] = []
    names: tuple[str, ...] = recipe.inputs["meshes"]  # type: ignore[assignment]
    for index, name in enumerate(names):
        stages("Sampling", SHARE_OF_ENCODING * index / len(names))
        inputs.append(_remembered(name, shape_space))
        notes += [note for note in inputs[-1].notes if note not in notes]
    walk = _Walk(recipe, inputs, shape_space, stages, cancelled)
    stages("Sampling", 1.0)

    following: tuple[Mesh, ...] = ()
    keys = None
    if recipe.parameters["output"] == "meshes":
        first, *rest = _separate(walk, stages, cancelled, preview)
        following = tuple(rest)
    else:
        first, keys = _morph(walk, stages, cancelled, preview)
    stages("Extracting", 1.0)
    return Result(
        mesh=first,
        transform=walk.transform(0),
        recipe=dataclasses.replace(recipe, weights=dict(shape_space.weights), version=VERSION),
        timings=stages.timings(),
        notes=notes + walk.notes,
        following=following,
        shape_keys=keys,
    )


def _remembered(name: str, shape_space: ShapeCoder) -> _Input:
    """The mesh file of that name, read and encoded; or as it was last time when it has not changed, so that a slider
    between two meshes is answered at once."""
    try:
        state = os.stat(name)
    except OSError:
        return _encoded(name, shape_space)  # which says what is wrong
    key = (os.path.abspath(name), state.st_mtime_ns, state.st_size, *sorted(shape_space.weights.items()))
    return encoded_inputs.get(key, lambda: _encoded(name, shape_space))


class _Walk:
    """The steps: for each the weights of the inputs, and what comes of them."""

    def __init__(
        self,
        recipe: Recipe,
        inputs: Sequence[_Input],
        shape_space: ShapeCoder,
        stages: Stages,
        cancelled: IsCancelled | None,
    ) -> None:
        self._parameters = recipe.parameters
        self._inputs, self._space = inputs, shape_space
        self.notes: list[str] = []
        chosen = recipe.parameters["blend"]
        self._most_parts: list[int | None] = [None]
        if chosen:
            self.weights = np.array([chosen], dtype=np.float64)
        else:
            self.weights, self._most_parts = self._even_steps(stages, cancelled)

    def __len__(self) -> int:
        return len(self.weights)

    def _even_steps(self, stages: Stages, cancelled: IsCancelled | None) -> tuple[np.ndarray, list[int | None]]:
        """The weights (steps, inputs) of steps that are about equally far apart, and how many parts each may have."""
        count, steps = len(self._inputs), int(self._parameters["steps"])
        detail = min(int(self._parameters["detail"]), FINEST_MEASURED)
        paths = []
        for index in range(count - 1):

            def told(done: float, index: int = index) -> None:
                share = SHARE_OF_ENCODING + (1 - SHARE_OF_ENCODING) * (index + done) / (count - 1)
                stages("Sampling", share)

            paths.append(
                measure_path(
                    lambda parameter, index=index: self.field(walk_weights(count, [index + parameter])[0]),
                    max(steps // (count - 1), 2),
                    detail=detail,
                    progress=told,
                    cancelled=cancelled,
                )
            )
        if steps < count:  # too few to pass each input
            joined = np.concatenate([[0.0], np.cumsum([path.length for path in paths])])
            along = np.linspace(0, joined[-1], steps)
            index_of = np.clip(np.searchsorted(joined, along, side="right") - 1, 0, count - 2)
            places = [
                index + float(paths[index].place([(at - joined[index]) / max(paths[index].length, 1e-12)])[0])
                for at, index in zip(along, index_of, strict=True)
            ]
        else:
            places = [0.0]
            for index, intervals in enumerate(share_steps([path.length for path in paths], steps - 1)):
                places += (index + paths[index].place(np.arange(1, intervals + 1) / intervals)).tolist()
        between = [paths[min(int(place), count - 2)].most_parts for place in places]
        parts = [None if place == int(place) else most for place, most in zip(places, between, strict=True)]
        return walk_weights(count, places), parts

    def field(self, weights: np.ndarray) -> Field:
        """The field of the shape with these weights (number of inputs,), steadied by the inputs' distances; that of
        arithmetic, with negative weights, as it is."""
        latents = [given.latent for given in self._inputs]
        path = str(self._parameters["path"])
        latent = blend(latents, weights.tolist(), components=self._space.components, path=path)
        network = self._space.field(latent)
        if (weights < 0).any():
            return network
        shares = (weights / weights.sum()).tolist()
        return Metamorphosis(network, [given.distances for given in self._inputs], shares)

    def transform(self, step: int) -> np.ndarray:
        """(4, 4) float64, from model space to metres: size and ground change evenly with the weights, however fast a
        shape's outermost points come and go."""
        shares = np.maximum(self.weights[step], 0)
        shares = shares / max(shares.sum(), 1e-9)
        sizes, lows = (np.array([getattr(given, name) for given in self._inputs]) for name in ("size", "low"))
        scale = float(shares @ sizes) / 1.8
        placed = np.diag([scale, scale, scale, 1.0])
        placed[2, 3] = -scale * float(shares @ lows)
        return placed

    def compare(self, step: int, mesh: Mesh) -> None:
        """Note how near the mesh of a step, in model space, comes to the input that it is to give back, if any."""
        if np.count_nonzero(self.weights[step]) != 1:
            return
        for given, weight in zip(self._inputs, self.weights[step], strict=True):
            if weight:
                error = 100 * reconstruction_error(given.mesh, mesh)
                self.notes.append(f"'{given.name}' is given back to within {error:.1f} % of its size on average.")

    def mesh(self, step: int, progress: Progress, cancelled: IsCancelled | None) -> Mesh:
        """The finished mesh of a step, in model space."""
        return mesh_from_field(
            self.field(self.weights[step]),
            detail=int(self._parameters["detail"]),
            face_count=int(self._parameters["face_count"]),
            texture_size=TEXTURE_SIZE if self._parameters["texture"] else None,
            most_parts=self._most_parts[step],
            progress=progress,
            cancelled=cancelled,
        )


class _Part:
    """The progress of one of several equal parts of the stage "Extracting", whatever stages it has of its own."""

    def __init__(self, stages: Stages, index: int, count: int) -> None:
        self._stages, self._index, self._count = stages, index, count

    def __call__(self, stage: str, fraction: float, /) -> None:
        begin, share = SHARES_OF_STEP[stage]
        self._stages("Extracting", (self._index + begin + share * fraction) / self._count)


def _encoded(name: str, shape_space: ShapeCoder) -> _Input:
    """Read and encode one mesh file."""
    title = PurePath(name).stem
    mesh = read_mesh(name)
    size = float(np.ptp(mesh.vertices, axis=0).max())
    if size <= 0:
        raise InputError(f"'{title}' is a single point: choose a mesh with a surface.")
    mesh = mesh.transformed(model_transform(mesh.vertices))
    notes: tuple[str, ...] = ()
    if len(mesh.faces) > MANY_FACES:
        notes = (f"'{title}' has {len(mesh.faces):,} faces: points on its surface stand for them.",)
    latent = shape_space.encode(mesh)
    return _Input(title, mesh, size, latent, Distances.of(shape_space.field(latent)), notes)


def _separate(walk: _Walk, stages: Stages, cancelled: IsCancelled | None, preview: Preview | None) -> list[Mesh]:
    """A mesh for each step, all in the model space of the first, where they stand at one place."""
    meshes: list[Mesh] = []
    to_first = np.eye(4)
    for step in range(len(walk)):
        mesh = walk.mesh(step, _Part(stages, step, len(walk)), cancelled)
        placed = walk.transform(step)
        if preview is not None:
            preview(mesh.transformed(placed))
        walk.compare(step, mesh)
        if step == 0:
            to_first = np.linalg.inv(placed)
        meshes.append(mesh.transformed(to_first @ placed) if step else mesh)
    return meshes


def _morph(
    walk: _Walk, stages: Stages, cancelled: IsCancelled | None, preview: Preview | None
) -> tuple[Mesh, np.ndarray]:
    """The first step's mesh, and where its vertices are in each step (K, V, 3), in its model space."""
    first = walk.mesh(0, _Part(stages, 0, len(walk)), cancelled)
    placed = walk.transform(0)
    to_first = np.linalg.inv(placed)
    walk.compare(0, first)
    if preview is not None:
        preview(first.transformed(placed))
    carrier = SurfaceCarrier(first.vertices, first.faces, walk.field(walk.weights[0]))
    keys = [first.vertices]
    moves: list[float] = []
    inverted: list[float] = []
    for step in range(1, len(walk)):
        carried = carrier.carry(walk.field(walk.weights[step]), cancelled=cancelled)
        stages("Extracting", (step + 1) / len(walk))
        moves.append(carried.largest_move / 1.8)
        inverted.append(carried.inverted)
        mesh = Mesh(carried.vertices, first.faces, first.colors)
        walk.compare(step, mesh)
        placed = walk.transform(step)
        if preview is not None:
            preview(mesh.transformed(placed))
        keys.append(mesh.transformed(to_first @ placed).vertices)
    walk.notes.append(
        f"Largest move of a vertex in each step, in % of the size: {_percentages(moves)}; faces turned over: "
        f"at most {100 * max(inverted, default=0):.1f} %."
    )
    if max(inverted, default=0) > FOLDED_SHARE:
        walk.notes.append(
            "The shapes are too different for one mesh, so it folds: choose meshes as the output instead."
        )
    return first, np.stack(keys)


def _percentages(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.1f}" for share in shares)


def reconstruction_error(original: Mesh, made: Mesh) -> float:
    """How far two surfaces in model space are apart, as a share of the original's largest extent: half the sum of both
    mean distances from points on one to the other (Chamfer-L1)."""
    surfaces = [Surface.of(mesh.vertices, mesh.faces, COMPARED_POINTS) for mesh in (original, made)]
    return surface_distance(*surfaces) / float(np.ptp(original.vertices, axis=0).max())
