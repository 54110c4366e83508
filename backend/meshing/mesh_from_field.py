"""From a field to a mesh that a scene can use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InputError
from ..mesh import Mesh
from ..progress import IsCancelled, Progress, check_cancelled
from ..representations.field import Field
from .bake import bake_texture, field_colors
from .bridging import bridged
from .normals import vertex_normals
from .repair import make_manifold
from .simplify import simplify
from .solids import SMALLEST_SHARE, keep_solids
from .sparse_grid import sample_distance_grid
from .surface import EMPTY, coarse_surface, surface_of
from .thickening import thickened
from .unwrap import unwrap

TEXTURE_SIZE = 1024


def mesh_from_field(
    field: Field,
    *,
    detail: int,
    face_count: int,
    texture_size: int | None = TEXTURE_SIZE,
    most_parts: int | None = None,
    smallest_share: float = SMALLEST_SHARE,
    close_holes: bool = False,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Mesh:
    """The field's surface as one finished mesh in model space.

    Watertight, manifold (edges and vertices), facing outwards, without floaters and inner walls, with parts joined that
    a hair separates (see `bridging`), of about `face_count` faces or fewer, with smooth normals, linear vertex colours,
    UVs and a texture of `texture_size` texels a side; without these two where that is None.
    detail is the number of cells along each side of model space; parts with less than `smallest_share` of the largest
    one's volume are floaters; of more than `most_parts` parts the largest are kept, where it is given. With
    `close_holes` the shape may become thicker by a hair, where that leaves fewer holes (see `thickening`): for shapes
    that are to be sound, not those that are to be true to something. progress hears the stages "Extracting",
    "Simplifying" and "Texturing". Raises InputError when the field has no surface, Cancelled, and MachineError when the
    field answers with something that is no number.
    """

    surface = surface_from_field(
        field,
        detail=detail,
        face_count=face_count,
        most_parts=most_parts,
        smallest_share=smallest_share,
        close_holes=close_holes,
        progress=progress,
        cancelled=cancelled,
    )
    return dressed(field, *surface, texture_size=texture_size, progress=progress, cancelled=cancelled)


def coarse_mesh(field: Field, cells: int) -> Mesh | None:
    """The field at a glance: its surface from a grid of few cells, in model space with vertex colours, neither repaired
    nor simplified; None where it is empty."""
    vertices, faces = coarse_surface(field, cells)
    return Mesh(vertices, faces, field_colors(field, vertices)) if len(faces) else None


def surface_from_field(
    field: Field,
    *,
    detail: int,
    face_count: int,
    most_parts: int | None = None,
    smallest_share: float = SMALLEST_SHARE,
    close_holes: bool = False,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The surface alone, without colours: vertices (V, 3) float32 and faces (F, 3) int32; as `mesh_from_field`."""
    report = _reporter(progress, cancelled)
    report("Extracting", 0.0)
    grid = sample_distance_grid(field, detail, cancelled=cancelled, progress=lambda done: report("Extracting", done))
    if close_holes:
        grid = thickened(grid)
    surface = surface_of(bridged(grid, smallest_share))
    vertices, faces = _not_empty(*keep_solids(*make_manifold(*surface), smallest_share, most_parts))
    report("Extracting", 1.0)

    report("Simplifying", 0.0)
    vertices, faces = _not_empty(*simplify(vertices, faces, face_count))
    report("Simplifying", 1.0)
    return vertices, faces


def dressed(
    field: Field,
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    texture_size: int | None = TEXTURE_SIZE,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Mesh:
    """A surface near the field's, in model space, with normals, the field's colours, UVs and a texture; as
    `mesh_from_field`."""
    report = _reporter(progress, cancelled)
    report("Texturing", 0.0)
    uvs = texture = None
    if texture_size is not None:
        uvs = unwrap(vertices, faces, texture_size)
        report("Texturing", 0.5)
        texture = bake_texture(field, vertices, faces, uvs, texture_size, cancelled=cancelled)
    colors = field_colors(field, vertices, cancelled=cancelled)
    report("Texturing", 1.0)
    return Mesh(vertices, faces, colors, vertex_normals(vertices, faces), uvs, texture)


def _reporter(progress: Progress | None, cancelled: IsCancelled | None) -> Callable[[str, float], None]:
    def report(stage: str, fraction: float) -> None:
        check_cancelled(cancelled)
        if progress is not None:
            progress(stage, fraction)

    return report


def _not_empty(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(faces):
        raise InputError(EMPTY)
    return vertices, faces
