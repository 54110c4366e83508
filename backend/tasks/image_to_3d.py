"""Image to 3D: a picture → its object, cut out → a shape and from where the picture shows it → mesh of real size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.background import object_mask
from ..data.cut_out import CutOut, cut_out, mask_preview
from ..data.mask_network import MaskNetwork
from ..data.pictures import read_mask, read_picture
from ..mesh import Mesh
from ..meshing.bake import field_colors
from ..meshing.mesh_from_field import dressed, surface_from_field
from ..meshing.solids import SMALLEST_SHARE
from ..models.shape_space import MEANT_SHARE
from ..progress import Glimpse, IsCancelled, IsEnough, Preview, Progress
from ..recipe import Recipe, Result
from ..representations.cameras import Cameras
from ..representations.field import Field
from ..representations.pictured_field import PicturedField
from .diffusion_models import ViewModel
from .feed_forward import CandidateMaker, PicturedShape, shape_of_picture
from .finishing import check_weights, result_of, version_notes
from .multiview import fit_to_views, other_sides, refined, settled
from .picture_pose import Pose
from .placement import standing_transform
from .real_size import UNKNOWN_SIZE, real_size
from .stages import Stages
from .unseen_sides import SideMaker
from .watched_fit import WatchedFit, surface_of

SHARE_OF_CANDIDATES = 0.4
"""Of the stage "Sampling", where views are sampled as well."""
GLIMPSE_SIZE = 192
"""Pixels on the longer side of what is shown on the way."""


def run(
    recipe: Recipe,
    *,
    load_shape_space: Callable[[], CandidateMaker],
    load_sides: Callable[[], SideMaker],
    load_view_model: Callable[[], ViewModel] | None = None,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
    glimpse: Glimpse | None = None,
    enough: IsEnough | None = None,
) -> Result:
    """Make the mesh of a valid recipe: of the method "multiview" with a view model, of "feed-forward" without.

    What `load_sides` gives judges the prior's candidates, for both.

    `cancelled` is asked at every denoising step, candidate, step of the fit and piece of meshing; `enough` at every
    step of the fit. Raises InputError (the picture, the mask, an empty shape), MachineError (weights, memory) or
    Cancelled.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    cut = cut_out_of(recipe, glimpse)
    shape_space, sides = load_shape_space(), load_sides()
    weights = shape_space.weights | sides.weights
    view_model = None if load_view_model is None else load_view_model()
    if view_model is not None:
        weights |= view_model.weights
    check_weights(recipe, weights)
    size, size_notes = size_of(recipe)
    notes = cut.notes + size_notes + version_notes(recipe)

    stages("Sampling", 0.0)
    first_share = 1.0 if view_model is None else SHARE_OF_CANDIDATES
    shape = pictured_shape(recipe, shape_space, sides, cut, lambda done: stages("Sampling", first_share * done))
    if preview is not None:
        preview(shape.coarse.transformed(standing_transform(shape.coarse.vertices, size)))
    field, pose, fitted = shape.field, shape.pose, None
    if view_model is not None:
        fitted = _fitted(
            recipe, view_model, shape, cut.pixels, size, stages, preview=preview, glimpse=glimpse, enough=enough
        )
        field, pose = fitted.field, fitted.pose
        notes += fitted.notes

    stages("Extracting", 0.0)
    vertices, faces = surface_from_field(
        field,
        detail=int(recipe.parameters["detail"]),
        face_count=int(recipe.parameters["face_count"]),
        # A fit can tear thin things apart, and what hangs on them is small.
        smallest_share=SMALLEST_SHARE if fitted is None else MEANT_SHARE,
        close_holes=True,
        progress=stages,
        cancelled=cancelled,
    )
    surface = Mesh(vertices, faces, field_colors(field, vertices, cancelled=cancelled))
    if fitted is not None and recipe.parameters["mesh_steps"]:
        vertices = refined(
            surface,
            pose,
            cut.pixels,
            fitted.views,
            fitted.cameras,
            steps=int(recipe.parameters["mesh_steps"]),
            seed=recipe.seed,
            step=lambda _: stages("Simplifying", 1.0),
        )
        surface = Mesh(vertices, faces, surface.colors)
    pose = pose.framing(vertices)
    painted = PicturedField(field, surface, pose.cameras, pose.window, cut.pixels)
    mesh = dressed(painted, vertices, faces, progress=stages, cancelled=cancelled)
    return result_of(
        mesh,
        standing_transform(mesh.vertices, size),
        recipe,
        weights=weights,
        notes=notes,
        stages=stages,
        viewpoint=pose.viewpoint,
        views=fitted.views_in_bytes if fitted is not None and recipe.parameters["keep_views"] else None,
    )


@dataclass(frozen=True, eq=False)
class FittedShape:
    """field: the shape after the fit. pose: where the view model takes the picture to be seen from. views: what it made
    of the other sides, (N, S, S, 4) float32, sRGB and the probability that the object is there, seen by cameras.
    notes: sentences for the user."""

    field: Field
    pose: Pose
    views: np.ndarray
    cameras: Cameras
    notes: list[str]

    @property
    def views_in_bytes(self) -> np.ndarray:
        """(N, S, S, 4) uint8, with silhouettes for what is likely to be there."""
        pictures = np.concatenate([self.views[..., :3], settled(self.views[..., 3:])], axis=-1)
        return np.rint(pictures * 255).astype(np.uint8)


def _fitted(
    recipe: Recipe,
    model: ViewModel,
    shape: PicturedShape,
    picture: np.ndarray,
    size: float,
    stages: Stages,
    *,
    preview: Preview | None,
    glimpse: Glimpse | None,
    enough: IsEnough | None,
) -> FittedShape:
    """The feed-forward shape, fitted to the picture and to what the model makes of the other sides."""
    pose = model.placed(picture, shape.pose)
    cameras = other_sides(pose, int(recipe.parameters["view_count"]))
    made = model.views(
        picture,
        pose,
        cameras,
        seed=recipe.seed,
        step=lambda done: stages("Sampling", SHARE_OF_CANDIDATES + (1 - SHARE_OF_CANDIDATES) * done),
    )
    watch = WatchedFit(stages, glimpse, preview, size=size, azimuth=pose.azimuth, elevation=pose.elevation)
    fitting = fit_to_views(
        shape.field,
        pose,
        model,
        picture,
        made,
        cameras,
        iterations=int(recipe.parameters["iterations"]),
        distillation=float(recipe.parameters["distillation"]),
        seed=recipe.seed,
        watch=watch,
        stop=enough,
    )
    return FittedShape(surface_of(fitting), pose, made, cameras, fitting.notes)


def cut_out_of(recipe: Recipe, glimpse: Glimpse | None) -> CutOut:
    """The object of the recipe's picture, by its mask where it has one; what was found is shown. Raises InputError."""
    picture = read_picture(str(recipe.inputs["picture"]))
    mask = recipe.inputs.get("mask")
    network = recipe.inputs.get("mask_model")
    cut = cut_out(
        picture,
        None if mask is None else read_mask(str(mask), picture),
        find=object_mask if network is None else MaskNetwork.load(Path(str(network))),
    )
    if glimpse is not None:
        glimpse(mask_preview(picture, cut, GLIMPSE_SIZE), "What is taken of the picture", math.nan)
    return cut


def look(recipe: Recipe) -> np.ndarray:
    """What would be taken of the recipe's picture: (H, W, 3) uint8 sRGB, all else paled. Raises InputError."""
    shown: list[np.ndarray] = []
    cut_out_of(recipe, lambda picture, _caption, _loss: shown.append(picture))
    return shown[0]


def size_of(recipe: Recipe) -> tuple[float, list[str]]:
    """Largest extent in metres of what the recipe's prompt says that it is, and notes for the user."""
    prompt = recipe.inputs.get("prompt")
    if prompt is not None:
        return real_size(str(prompt))
    return UNKNOWN_SIZE, [
        "A picture does not tell sizes, so the object is 1 m at its longest: say what it is, or scale it."
    ]


def pictured_shape(
    recipe: Recipe, shape_space: CandidateMaker, sides: SideMaker, cut: CutOut, step: Callable[[float], None]
) -> PicturedShape:
    """The shape that the prior makes of the recipe's picture; `step(share done)` may raise to stop."""
    prompt = recipe.inputs.get("prompt")
    return shape_of_picture(
        shape_space,
        sides,
        cut.pixels,
        elevation=math.radians(recipe.parameters["elevation"]),
        prompt=None if prompt is None else str(prompt),
        seed=recipe.seed,
        steps=int(recipe.parameters["steps"]),
        guidance_scale=float(recipe.parameters["guidance_scale"]),
        candidates=int(recipe.parameters["candidates"]),
        step=step,
    )
