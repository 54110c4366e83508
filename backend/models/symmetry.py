"""Mirror symmetry of what is known of a shape, as evidence of what is not (Thrun and Wegbreit, "Shape from Symmetry",
2005).

A plane across x or y is proved where much of the known part has a mirror image that is known as well, and has it right.
It is likely where a box hides the left or the right half: things face −Y and are mostly made alike on both sides. Then
the cut tells how likely: what is made alike on both sides crosses the plane between them at right angles, or there is a
crease.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..mesh import Mesh
from ..representations.known_shape import KnownShape, MirroredShape
from .observation import Observation, UnknownBox

OFF_CENTRE = 0.06
"""How far a plane may be from the middle of known and unknown together (model units): boxes have room to spare."""
STEPS = 6
ENOUGH = 0.25
"""Share of the known points whose mirror image must be among what is known, to prove anything."""
CLOSE = 0.025
PROVED = 0.9
MOSTLY = 0.45
"""Shares of these images that must be close, to prove a plane, or to speak for one across x."""
HELPFUL = 0.7
"""Share of the box's volume, at most, that a helpful plane leaves unknown."""
ON_PLANE = 1e-5
"""How far from a plane (model units) the corners of a cut along it may be."""
SNAP = 0.006
"""How near to a side of the box (model units) a plane is taken to be meant to lie on it."""
LOOKED_AT = 2048
CREASED = 0.4
"""Mean sine of the angle by which the surface misses a right angle at a plane, above which that is doubtful: of 260
training shapes cut in half, 12 of the 14 above it are not alike on both sides, and a quarter of the others."""
FACING = 0.98
"""Faces along the plane, as between two cushions, make no crease."""
OFF_PLANE = 0.1
"""Nearer to the plane than this (model units) any surface is close to its own mirror image, which proves nothing."""
WITHOUT_EVERY = 4
"""Of the samples that a doubtful plane is used for, one in so many does without it."""


@dataclass(frozen=True)
class MirrorPlane:
    """The plane on which coordinate `axis` is `at`; `doubtful` where it is neither proved nor does the cut agree."""

    axis: int
    at: float
    doubtful: bool

    def reflect(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) → their mirror images."""
        moved = points.copy()
        moved[..., self.axis] = 2 * self.at - moved[..., self.axis]
        return moved

    def transformed(self, matrix: np.ndarray) -> MirrorPlane:
        """The plane after a (4, 4) matrix that scales evenly and moves."""
        return replace(self, at=float(matrix[self.axis, self.axis] * self.at + matrix[self.axis, 3]))

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
    tried = [found for axis in (0, 1) if (found := _best(points, unknown, axis, middle[axis])) is not None]
    if proved := [found for found in tried if found.close >= PROVED]:
        return min(proved, key=lambda found: (_volume(found.plane.left_of(unknown)), found.distance)).plane
    if mostly := [found for found in tried if found.plane.axis == 0 and found.close >= MOSTLY]:
        return replace(mostly[0].plane, doubtful=True)
    sides = (unknown.low[0], unknown.high[0])
    likely = [MirrorPlane(0, float(side), True) for side in sides if abs(side - middle[0]) <= OFF_CENTRE]
    helpful = [plane for plane in likely if _helps(plane, unknown) and _fit(points, unknown, plane) is None]
    if not helpful:
        return None
    return replace(helpful[0], doubtful=observation.known is None or _crease(observation.known, helpful[0]) > CREASED)


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


def used_by(plane: MirrorPlane, seed: int) -> bool:
    """Whether a sample with this seed uses a plane."""
    return not (plane.doubtful and seed % WITHOUT_EVERY == WITHOUT_EVERY - 1)


class _Fit(NamedTuple):
    """A plane, how far images in it are from what is known on average, and the share of them that is close."""

    plane: MirrorPlane
    distance: float
    close: float


def _best(points: np.ndarray, unknown: UnknownBox, axis: int, middle: float) -> _Fit | None:
    """The plane across an axis whose images fit best, looked for in two rounds of ever finer steps."""
    reach, best = OFF_CENTRE, middle
    for _ in range(2):
        planes = [MirrorPlane(axis, float(at), False) for at in np.linspace(best - reach, best + reach, 2 * STEPS + 1)]
        fits = [fit for plane in planes if _helps(plane, unknown) and (fit := _fit(points, unknown, plane))]
        if not fits:
            return None
        found = min(fits, key=lambda fit: fit.distance)
        best, reach = found.plane.at, reach / STEPS
    # Parts are cut through the middle, so that no sliver of the box need be left.
    sides = (unknown.low[axis], unknown.high[axis])
    at = next((side for side in sides if abs(side - best) < SNAP), best)
    return found._replace(plane=replace(found.plane, at=float(at)))


def _fit(points: np.ndarray, unknown: UnknownBox, plane: MirrorPlane) -> _Fit | None:
    """How the mirror images outside of the box and off the plane fit; None where they are too few to tell."""
    images = plane.reflect(points[np.abs(points[:, plane.axis] - plane.at) > OFF_PLANE])
    images = images[~unknown.contains(images)]
    if len(images) < ENOUGH * len(points):
        return None
    # Points are as far apart as they are dense: what is close is measured beyond that.
    tree = cKDTree(points)
    spacing = float(np.median(tree.query(points, k=[2])[0]))
    apart = tree.query(images)[0]
    return _Fit(plane, float(apart.mean()), float((apart < CLOSE + spacing).mean()))


def _crease(known: KnownShape, plane: MirrorPlane) -> float:
    """The mean sine, along the cut at the plane, of the angle by which the surface misses a right angle with it."""
    corners = known.vertices[known.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1).clip(1e-15)
    sine = np.abs(normals[:, plane.axis]) / areas
    on_plane = np.abs(corners[:, :, plane.axis] - plane.at) < ON_PLANE
    edges = np.roll(corners, -1, axis=1) - corners
    length = (np.linalg.norm(edges, axis=2) * (on_plane & np.roll(on_plane, -1, axis=1))).sum(axis=1) * (sine < FACING)
    return float((length * sine).sum() / length.sum().clip(1e-15))


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
