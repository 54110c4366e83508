"""Text to 3D: prompt → latent → field → mesh of real size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from ..mesh import Mesh
from ..meshing.surface import extract_surface
from ..progress import IsCancelled, Preview, Progress
from ..recipe import Recipe, Result
from ..representations.field import Field
from .finishing import check_weights, finish, version_notes
from .placement import standing_transform
from .real_size import real_size
from .stages import Stages

PREVIEW_DETAIL = 32


class Generator(Protocol):
    """What this task needs of a shape space."""

    @property
    def weights(self) -> dict[str, str]:
        """Weights file → sha256."""
        ...

    def sample(
        self,
        prompt: str,
        *,
        seed: int,
        steps: int,
        guidance_scale: float,
        step: Callable[[int, int], None] | None = None,
    ) -> torch.Tensor:
        """The latent (C, 8, 8, 8) float32 of a shape for the prompt; `step(done, total)` after every step."""
        ...

    def field(self, latent: torch.Tensor) -> Field: ...


def run(
    recipe: Recipe,
    *,
    load_shape_space: Callable[[], Generator],
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
) -> Result:
    """Make the mesh of a valid recipe of the method "latent prior".

    Raises InputError (the shape came out empty), MachineError (weights missing or others than the recipe's) or
    Cancelled; `cancelled` is asked at every denoising step and every piece of meshing.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    shape_space = load_shape_space()
    check_weights(recipe, shape_space.weights)
    prompt = str(recipe.inputs["prompt"])
    size, notes = real_size(prompt)
    notes += version_notes(recipe)

    stages("Sampling", 0.0)
    latent = shape_space.sample(
        prompt,
        seed=recipe.seed,
        steps=int(recipe.parameters["steps"]),
        guidance_scale=float(recipe.parameters["guidance_scale"]),
        step=lambda done, total: stages("Sampling", done / total),
    )
    field = shape_space.field(latent)

    stages("Extracting", 0.0)
    if preview is not None:
        _send_preview(field, size, preview, cancelled)
    return finish(
        field,
        recipe,
        place=lambda vertices: standing_transform(vertices, size),
        weights=shape_space.weights,
        notes=notes,
        stages=stages,
        cancelled=cancelled,
        close_holes=True,
    )


def _send_preview(field: Field, size: float, preview: Preview, cancelled: IsCancelled | None) -> None:
    vertices, faces = extract_surface(field, PREVIEW_DETAIL, cancelled=cancelled)
    colors = field.color(torch.as_tensor(vertices, dtype=torch.float32)).cpu().numpy()
    mesh = Mesh(vertices, faces, colors=colors)
    preview(mesh.transformed(standing_transform(mesh.vertices, size)))
