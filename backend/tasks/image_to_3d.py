"""Image to 3D: a picture → its object, cut out → a shape and from where the picture shows it → mesh of real size."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..data.cut_out import CutOut, cut_out, mask_preview
from ..data.pictures import read_mask, read_picture
from ..mesh import Mesh
from ..meshing.bake import field_colors
from ..meshing.mesh_from_field import dressed, surface_from_field
from ..progress import Glimpse, IsCancelled, IsEnough, Preview, Progress
from ..recipe import Recipe, Result
from ..representations.pictured_field import PicturedField
from .feed_forward import CandidateMaker, PicturedShape, shape_of_picture
from .finishing import check_weights, result_of, version_notes
from .placement import standing_transform
from .real_size import UNKNOWN_SIZE, real_size
from .stages import Stages

GLIMPSE_SIZE = 192
"""Pixels on the longer side of what is shown on the way."""


def run(
    recipe: Recipe,
    *,
    load_shape_space: Callable[[], CandidateMaker],
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
    glimpse: Glimpse | None = None,
    enough: IsEnough | None = None,
) -> Result:
    """Make the mesh of a valid recipe of the method "feed-forward".

    Raises InputError (the picture, the mask, an empty shape), MachineError (weights) or Cancelled; `cancelled` is asked
    at every denoising step, candidate and piece of meshing.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    cut = cut_out_of(recipe, glimpse)
    shape_space = load_shape_space()
    check_weights(recipe, shape_space.weights)
    size, size_notes = size_of(recipe)
    notes = cut.notes + size_notes + version_notes(recipe)

    stages("Sampling", 0.0)
    shape = pictured_shape(recipe, shape_space, cut, lambda done: stages("Sampling", done))
    stages("Extracting", 0.0)
    if preview is not None:
        preview(shape.coarse.transformed(standing_transform(shape.coarse.vertices, size)))
    vertices, faces = surface_from_field(
        shape.field,
        detail=int(recipe.parameters["detail"]),
        face_count=int(recipe.parameters["face_count"]),
        progress=stages,
        cancelled=cancelled,
    )
    surface = Mesh(vertices, faces, field_colors(shape.field, vertices, cancelled=cancelled))
    painted = PicturedField(shape.field, surface, shape.pose.cameras, shape.pose.window, cut.pixels)
    mesh = dressed(painted, vertices, faces, progress=stages, cancelled=cancelled)
    return result_of(
        mesh,
        standing_transform(mesh.vertices, size),
        recipe,
        weights=shape_space.weights,
        notes=notes,
        stages=stages,
        viewpoint=shape.pose.viewpoint,
    )


def cut_out_of(recipe: Recipe, glimpse: Glimpse | None) -> CutOut:
    """The object of the recipe's picture, by its mask where it has one; what was found is shown. Raises InputError."""
    picture = read_picture(str(recipe.inputs["picture"]))
    mask = recipe.inputs.get("mask")
    cut = cut_out(picture, None if mask is None else read_mask(str(mask), picture))
    if glimpse is not None:
        glimpse(mask_preview(picture, cut, GLIMPSE_SIZE), "What is taken of the picture", math.nan)
    return cut


def size_of(recipe: Recipe) -> tuple[float, list[str]]:
    """Largest extent in metres of what the recipe's prompt says that it is, and notes for the user."""
    prompt = recipe.inputs.get("prompt")
    if prompt is not None:
        return real_size(str(prompt))
    return UNKNOWN_SIZE, [
        "A picture does not tell sizes, so the object is 1 m at its longest: say what it is, or scale it."
    ]


def pictured_shape(
    recipe: Recipe, shape_space: CandidateMaker, cut: CutOut, step: Callable[[float], None]
) -> PicturedShape:
    """The shape that the prior makes of the recipe's picture; `step(share done)` may raise to stop."""
    prompt = recipe.inputs.get("prompt")
    return shape_of_picture(
        shape_space,
        cut.pixels,
        elevation=math.radians(recipe.parameters["elevation"]),
        prompt=None if prompt is None else str(prompt),
        seed=recipe.seed,
        steps=int(recipe.parameters["steps"]),
        guidance_scale=float(recipe.parameters["guidance_scale"]),
        candidates=int(recipe.parameters["candidates"]),
        step=step,
    )
