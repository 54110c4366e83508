"""A partial shape, read and looked at once for all samples of it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from functools import cached_property

import fast_simplification
import numpy as np
from scipy.spatial import cKDTree

from ..data.shape_reading import read_shape
from ..errors import InputError
from ..mesh import Mesh
from ..meshing.mirror_images import Mirror
from ..models.observation import Observation, UnknownBox, observe
from ..models.placements import SCAN_SCALE
from ..models.symmetry import MirrorPlane, mirror_plane, used_by, with_mirror_image
from .loaded_models import observed_inputs
from .placement import model_transform

MOST_FACES = 200_000
"""Of more faces, points are all that is looked at."""
FARTHEST = 0.1
"""How far, in sizes of the shape, a box may be from it before it cannot be meant."""
ROUNDING = 1e-9
"""In sizes of the box. A mirror so near to a side of it is on that side: a slit between them would get two walls."""
LARGEST = 4.0
"""How large, in sizes of what is known, known and unknown may be together."""


@dataclass(frozen=True, eq=False)
class PartialShape:
    """shape and box: what is known and, but for a scan, the box of what is not, in the file's frame; to_model (4, 4)
    float64: into model space; observation: what is known there; notes for the user."""

    shape: Mesh
    box: UnknownBox | None
    to_model: np.ndarray
    observation: Observation
    notes: tuple[str, ...]

    @classmethod
    def of(cls, shape: Mesh, box: UnknownBox | None) -> PartialShape:
        """Raises InputError for a shape without extent, and for a box that cannot be meant."""
        to_model = frame(shape, box)
        part = shape.transformed(to_model)
        notes: tuple[str, ...] = ()
        if len(part.faces) > MOST_FACES:
            lost = "it was looked at with fewer, so the finest detail is lost."
            notes = (f"The mesh has {len(part.faces):,} faces: {lost}",)
            part = _with_fewer_faces(part)
        return cls(shape, box, to_model, observe(part, None if box is None else box.transformed(to_model)), notes)

    @classmethod
    def read(cls, name: str, box: UnknownBox | None) -> PartialShape:
        """That of a file; as it was last time when the file has not changed, since samples come one after the other.

        Raises InputError for a file that cannot be read, and as `of` does.
        """
        try:
            state = os.stat(name)
        except OSError:
            return cls.of(read_shape(name), box)  # which says what is wrong
        corners = None if box is None else (*box.low.tolist(), *box.high.tolist())
        key = (os.path.abspath(name), state.st_mtime_ns, state.st_size, corners)
        return observed_inputs.get(key, lambda: cls.of(read_shape(name), box))

    def seen_by(self, seed: int, *, mirror: bool) -> tuple[Observation, Mirror | None]:
        """What a sample with this seed is told, and the mirror in the file's frame that told it of the box, if any did:
        with `mirror` symmetry of what is known is evidence."""
        if not mirror or self._plane is None or not used_by(self._plane, seed):
            return self.observation, None
        return self._mirrored, self._mirror(self._plane)

    @cached_property
    def _plane(self) -> MirrorPlane | None:
        return mirror_plane(self.observation)

    @cached_property
    def _mirrored(self) -> Observation:
        assert self._plane is not None
        return with_mirror_image(self.observation, self._plane)

    def _mirror(self, plane: MirrorPlane) -> Mirror:
        """A plane of model space as the mirror that shows the inside of the box, in the file's frame."""
        box, placed = self.box, plane.transformed(np.linalg.inv(self.to_model))
        assert box is not None  # scans have no plane
        sides = np.array([box.low[placed.axis], box.high[placed.axis]])
        side = float(sides[np.argmin(np.abs(sides - placed.at))])
        if abs(side - placed.at) < ROUNDING * np.ptp(np.stack([box.low, box.high])):
            placed = dataclasses.replace(placed, at=side)
        left = placed.left_of(box)
        return Mirror(placed.axis, placed.at, left.low, left.high)


def told_by_symmetry(observation: Observation) -> bool:
    """Whether nothing is left that a model would have to make."""
    return observation.known is not None and observation.unknown is not None and observation.unknown.empty


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
