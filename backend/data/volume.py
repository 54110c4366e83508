"""The volume that a mesh stands for: solid where its faces enclose something, a thin plate around every sheet.

Few meshes are watertight, and fewer are free of faces within the solid. Three kinds of places on a mesh are told apart
by what lies on their two sides: a wall has the inside on one side, a buried place on both, a sheet on none. The signed
distance is that of the walls, whose sign is the generalised winding number's (Jacobson et al., "Robust inside-outside
segmentation", 2013), united with plates of SHEET_HALF_THICKNESS around the sheets and around solids thinner than such
a plate. Buried places are no surface.

The winding number alone would fill bowls, pipes and lamp shades up to their rims: half of the sphere around a place in
them is covered. So a connected part counts as solid only where what it covers, seen from just inside of it, is ENCLOSED
of the sphere on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..kernels import Grid, mesh_to_distance, mesh_to_sdf, point_to_mesh_distance, winding_number
from ..kernels.face_orientation import orient_faces
from .surface import sample_surface

SHEET_HALF_THICKNESS = 0.006
"""How far from a sheet places are still inside (model units)."""
ENCLOSED = 0.8
"""A closed part covers all of the sphere around a place in it, a cube without one side 0.87, a hemisphere and a long
half-pipe about 0.75, a flat sheet half."""
INSIDE = 0.5
PROBES = 4096
"""Places on the surface whose sides are looked at; every other place is of the kind of the one most like it."""
SIDE = 0.002
"""How far to the side of the surface is looked (model units)."""
PIECE = 0.08
"""The longest side of the pieces that faces are cut into, since a face can be half buried (model units)."""
NORMAL_WEIGHT = 0.1
"""How far apart two places count that differ in their normals by one, so that a thin wall's sides are (model units)."""
FAR = 2.0
"""A coarse sum is enough: only whether the winding number is nearer to 0 or to 1 matters."""


@dataclass(frozen=True)
class Volume:
    """See the module's words. vertices (V, 3) float32; solid (F, 3) int32: the faces whose winding number says what is
    inside; walls and sheets (W, 3, 3) and (S, 3, 3) float32: corners of the pieces of surface, those of thin solids in
    both."""

    vertices: torch.Tensor
    solid: torch.Tensor
    walls: torch.Tensor
    sheets: torch.Tensor

    @classmethod
    def of(cls, vertices: np.ndarray, faces: np.ndarray) -> Volume:
        """The volume of a mesh in model space; vertices (V, 3) float, faces (F, 3) int.

        Raises InputError when the mesh has no area.
        """
        surface = orient_faces(np.asarray(vertices, np.float64), np.asarray(faces, np.int32))
        probes = sample_surface(surface.vertices, surface.faces, PROBES, np.random.default_rng(0))
        positions, oriented = torch.from_numpy(surface.vertices.astype(np.float32)), torch.from_numpy(surface.faces)
        corners, face = cut(surface.vertices[surface.faces], PIECE)
        normals, areas = normals_and_areas(corners)
        places = cKDTree(np.hstack([probes.positions, NORMAL_WEIGHT * probes.normals]))
        alike = places.query(np.hstack([corners.mean(axis=1), NORMAL_WEIGHT * normals]))[1]

        def covered(by: torch.Tensor, side: float = SIDE) -> np.ndarray:
            """The share of the sphere that faces cover, seen from either side of every piece, the lesser first."""
            aside = side * probes.normals
            asked = torch.from_numpy(np.concatenate([probes.positions + aside, probes.positions - aside]))
            winding = winding_number(asked, positions, by, far=FAR).abs().numpy() if len(by) else np.zeros(len(asked))
            return np.sort(winding.reshape(2, -1), axis=0)[:, alike]

        lesser, greater = covered(oriented)
        part = connected_parts(surface.faces)[face]
        # What covers a buried place is not its own part.
        weights = np.where(lesser <= INSIDE, areas, 0)
        enclosed = np.bincount(part, weights * greater) >= ENCLOSED * np.bincount(part, weights)
        is_solid = enclosed[part]
        solid = oriented[torch.from_numpy(np.unique(face[is_solid]))]
        if not is_solid.all():
            lesser, greater = covered(solid)
        triangles = torch.from_numpy(corners.astype(np.float32))
        wall = is_solid & (lesser <= INSIDE) & (greater > INSIDE)
        # What is solid less deep than a plate is a plate as well: grids and networks would lose it.
        thin = wall & (covered(solid, 2 * SHEET_HALF_THICKNESS)[1] <= INSIDE)
        sheet = (greater <= INSIDE) | thin
        return cls(positions, solid, triangles[torch.from_numpy(wall)], triangles[torch.from_numpy(sheet)])

    @property
    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        """Walls and sheets as one mesh, whose faces share no vertices: (V, 3) float32 and (F, 3) int32."""
        vertices, faces = _mesh(torch.cat([self.walls, self.sheets]))
        return vertices.numpy(), faces.numpy()

    def at_points(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance (N,) float32 at points (N, 3) float32, negative inside, model units."""
        distance = torch.full((len(points),), torch.inf)
        if len(self.walls):
            inside = winding_number(points, self.vertices, self.solid, far=FAR).abs() > INSIDE
            from_walls = point_to_mesh_distance(points, *_mesh(self.walls))[0].sqrt()
            distance = torch.where(inside, -from_walls, from_walls)
        if len(self.sheets):
            from_sheets = point_to_mesh_distance(points, *_mesh(self.sheets))[0].sqrt()
            distance = torch.minimum(distance, from_sheets - SHEET_HALF_THICKNESS)
        return distance

    def on_grid(self, grid: Grid, *, band: float | None) -> torch.Tensor:
        """The same at a grid's nodes, (X, Y, Z) float32; farther from the surface than `band` cells only the sign is
        exact, unless `band` is None."""
        distance = torch.full(grid.shape, torch.inf)
        if len(self.walls):
            inside = mesh_to_sdf(self.vertices, self.solid, grid, band=1.0) < 0
            from_walls = mesh_to_distance(*_mesh(self.walls), grid, band=band)
            distance = torch.where(inside, -from_walls, from_walls)
        if len(self.sheets):
            from_sheets = mesh_to_distance(*_mesh(self.sheets), grid, band=band)
            distance = torch.minimum(distance, from_sheets - SHEET_HALF_THICKNESS)
        return distance


def _mesh(triangles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return triangles.reshape(-1, 3), torch.arange(3 * len(triangles), dtype=torch.int32).reshape(-1, 3)


def connected_parts(faces: np.ndarray) -> np.ndarray:
    """(F,) int: which part each face (F, 3) belongs to; faces with a vertex in common are of one."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    count = int(faces.max()) + 1
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1][faces[:, 0]]


def normals_and_areas(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of triangles (N, 3, 3): unit normals (N, 3), 0 where there is no area, and areas (N,)."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = np.linalg.norm(cross, axis=1)
    return cross / double_area[:, None].clip(1e-30), double_area / 2


def cut(corners: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (F, 3, 3) cut at the middle of their longest side until none is longer than `limit`: the pieces
    (N, 3, 3), and the triangle (N,) that each is a piece of."""
    face = np.arange(len(corners))
    done: list[tuple[np.ndarray, np.ndarray]] = []
    while len(corners):
        sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        longest = sides.argmax(axis=1)
        rows = np.arange(len(corners))
        long = sides[rows, longest] > limit
        done.append((corners[~long], face[~long]))
        first, second, third = (corners[rows, (longest + turn) % 3][long] for turn in range(3))
        middle = (first + second) / 2
        halves = np.stack([first, middle, third], axis=1), np.stack([middle, second, third], axis=1)
        corners, face = np.concatenate(halves), np.tile(face[long], 2)
    return np.concatenate([part for part, _ in done]), np.concatenate([part for _, part in done])
