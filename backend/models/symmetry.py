"""Mirror symmetry of what is known of a shape, as evidence of what is not (Thrun and Wegbreit, "Shape from Symmetry",
2005).

A plane across x or y is proved where much of the known part has a mirror image that is known as well, and has it right.
It is likely where a box hides the left or the right half: things face −Y and are mostly made alike on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from ..mesh import Mesh
from ..representations.known_shape import MirroredShape
from .observation import Observation, UnknownBox

OFF_CENTRE = 0.06
"""How far a plane may be from the middle of known and unknown together (model units): boxes have room to spare."""
STEPS = 6
ENOUGH = 0.25
"""Share of the known points whose mirror image must be among what is known, to prove anything."""
CLOSE = 0.025
PROVED = 0.9
HELPFUL = 0.7
"""Share of the box's volume, at most, that a helpful plane leaves unknown."""
SNAP = 0.006
"""How near to a side of the box (model units) a plane is taken to be meant to lie on it."""
LOOKED_AT = 2048
WITHOUT_EVERY = 4
"""Of the samples that a likely plane is used for, one in so many does without it."""


@dataclass(frozen=True)
class MirrorPlane:
    """The plane on which coordinate `axis` is `at`; `proved`, or only likely."""

    axis: int
    at: float
    proved: bool

    def reflect(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) → their mirror images."""
        moved = points.copy()
        moved[..., self.axis] = 2 * self.at - moved[..., self.axis]
        return moved

    def left_of(self, box: UnknownBox) -> UnknownBox:
        """The part of a box that is in its own mirror image too; low is above high where there is none."""
        ends = self.reflect(np.stack([box.low, box.high]))
        return UnknownBox(np.maximum(box.low, ends.min(axis=0)), np.minimum(box.high, ends.max(axis=0)))


def mirror_plane(observation: Observation) -> MirrorPlane | None:
    """The plane that tells most of what is unknown, or None. Looks at meshes and points with a box."""
    unknown = observation.unknown
    if unknown is None:
        return None
    points = observation.surface[:: max(len(observation.surface) // LOOKED_AT, 1)].astype(np.float64)
    whole = np.stack([points.min(axis=0), points.max(axis=0), unknown.low, unknown.high])
    middle = (whole.min(axis=0) + whole.max(axis=0)) / 2
    proved = [plane for axis in (0, 1) if (plane := _proved(points, unknown, axis, middle[axis])) is not None]
    if proved:
        return min(proved, key=lambda plane: _volume(plane.left_of(unknown)))
    sides = (unknown.low[0], unknown.high[0])
    likely = [MirrorPlane(0, side, False) for side in sides if abs(side - middle[0]) <= OFF_CENTRE]
    helpful = [plane for plane in likely if _helps(plane, unknown) and _fit(points, unknown, plane) is None]
    return helpful[0] if helpful else None


def with_mirror_image(observation: Observation, plane: MirrorPlane) -> Observation:
    """The observation, with what the mirror shows of the box taken for known."""
    known, unknown = observation.known, observation.unknown
    assert unknown is not None
    surface, queries = plane.reflect(observation.surface), plane.reflect(observation.queries)
    shown, asked = unknown.contains(surface), unknown.contains(queries)
    normals = observation.normals
    if normals is not None:
        turned = normals[shown].copy()
        turned[:, plane.axis] *= -1
        normals = np.concatenate([normals, turned])
    colors = observation.colors
    return replace(
        observation,
        surface=np.concatenate([observation.surface, surface[shown]]),
        colors=None if colors is None else np.concatenate([colors, colors[shown]]),
        normals=normals,
        queries=np.concatenate([observation.queries, queries[asked]]),
        distances=np.concatenate([observation.distances, observation.distances[asked]]),
        known=None if known is None else MirroredShape(known, plane.axis, plane.at),
        painted=None if observation.painted is None else _with_image(observation.painted, plane),
        unknown=plane.left_of(unknown),
    )


def completed_by_symmetry(observation: Observation, seed: int) -> Observation:
    """The observation with its mirror image, where there is a plane that this seed uses."""
    plane = mirror_plane(observation)
    if plane is None or (not plane.proved and seed % WITHOUT_EVERY == WITHOUT_EVERY - 1):
        return observation
    return with_mirror_image(observation, plane)


def _proved(points: np.ndarray, unknown: UnknownBox, axis: int, middle: float) -> MirrorPlane | None:
    """The plane across an axis whose images fit best, when they fit; looked for in two rounds of ever finer steps."""
    reach, best, fitting = OFF_CENTRE, middle, 0.0
    for _ in range(2):
        planes = [MirrorPlane(axis, float(at), True) for at in np.linspace(best - reach, best + reach, 2 * STEPS + 1)]
        fits = [(fit, plane) for plane in planes if _helps(plane, unknown) and (fit := _fit(points, unknown, plane))]
        if not fits:
            return None
        (_, fitting), plane = min(fits, key=lambda entry: entry[0][0])
        best, reach = plane.at, reach / STEPS
    if fitting < PROVED:
        return None
    # Parts are cut through the middle, so that no sliver of the box need be left.
    sides = (unknown.low[axis], unknown.high[axis])
    at = next((side for side in sides if abs(side - best) < SNAP), best)
    return replace(plane, at=float(at))


def _fit(points: np.ndarray, unknown: UnknownBox, plane: MirrorPlane) -> tuple[float, float] | None:
    """Of the mirror images outside of the box: their mean distance from what is known, and the share that is close;
    None where they are too few to tell."""
    images = plane.reflect(points)
    images = images[~unknown.contains(images)]
    if len(images) < ENOUGH * len(points):
        return None
    # Points are as far apart as they are dense: what is close is measured beyond that.
    tree = cKDTree(points)
    spacing = float(np.median(tree.query(points, k=[2])[0]))
    apart = tree.query(images)[0]
    return float(apart.mean()), float((apart < CLOSE + spacing).mean())


def _helps(plane: MirrorPlane, unknown: UnknownBox) -> bool:
    return _volume(plane.left_of(unknown)) <= HELPFUL * _volume(unknown)


def _volume(box: UnknownBox) -> float:
    return float((box.high - box.low).clip(0).prod())


def _with_image(mesh: Mesh, plane: MirrorPlane) -> Mesh:
    """A painted mesh and its mirror image."""
    count = len(mesh.vertices)
    return Mesh(
        np.concatenate([mesh.vertices, plane.reflect(mesh.vertices)]),
        np.concatenate([mesh.faces, mesh.faces[:, ::-1] + count]),
        None if mesh.colors is None else np.concatenate([mesh.colors, mesh.colors]),
        None,
        None if mesh.uvs is None else np.concatenate([mesh.uvs, mesh.uvs[:, ::-1]]),
        mesh.texture,
    )
