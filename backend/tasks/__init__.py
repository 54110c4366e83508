"""The tasks: each takes a recipe through models and meshing to a result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import MachineError, is_out_of_memory
from ..progress import Glimpse, IsCancelled, IsEnough, Preview, Progress
from ..recipe import BUNDLED, Recipe, Result
from . import image_to_3d, latent_interpolation, shape_completion, text_distillation, text_to_3d
from .loaded_models import choose_device, completer, novel_views, picture_model, release_models, shape_space, view_model

__all__ = ["release_models", "run"]

_TASKS: dict[str, Callable[..., Result]] = {
    "text_to_3d": text_to_3d.run,
    "image_to_3d": image_to_3d.run,
    "shape_completion": shape_completion.run,
    "latent_interpolation": latent_interpolation.run,
}
_METHODS: dict[tuple[str, str], Callable[..., Result]] = {("text_to_3d", "sds"): text_distillation.run}
"""Methods that have a module of their own."""


def run(
    recipe: Recipe,
    *,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
    glimpse: Glimpse | None = None,
    enough: IsEnough | None = None,
    device: str = "auto",
) -> Result:
    """Do the recipe's task on a device; see `backend.generate`. The recipe must be valid."""
    task = _METHODS.get((recipe.task, recipe.method), _TASKS[recipe.task])
    chosen = choose_device(device)
    given = recipe.inputs.get("checkpoint")
    checkpoint = None if given is None else str(given)
    loader: dict[str, Callable[[], Any]] = {"load_shape_space": lambda: shape_space(chosen)}
    if recipe.task == "shape_completion":
        loader = {"load_completer": lambda: completer(recipe.method, chosen, checkpoint)}
    if recipe.task == "image_to_3d":
        loader["load_sides"] = lambda: novel_views(chosen)
    if recipe.method == "multiview":
        views = _diffusion_model(recipe, "view_model", checkpoint)
        loader["load_view_model"] = lambda: view_model(chosen, *views)
    elif recipe.method == "sds":
        prior = _diffusion_model(recipe, "text_prior", checkpoint)
        loader["load_picture_model"] = lambda: picture_model(chosen, *prior)
    if recipe.task == "image_to_3d" or recipe.method == "sds":
        task = partial(task, glimpse=glimpse, enough=enough)
    try:
        return task(
            recipe,
            **loader,
            progress=progress,
            cancelled=cancelled,
            preview=preview,
        )
    except (MemoryError, RuntimeError, OSError) as error:
        if isinstance(error, MachineError) or not is_out_of_memory(error):
            raise
        release_models()
        raise MachineError(
            f"The memory of the device '{chosen}' is not enough: {_saving(recipe)}lower the detail, or close other "
            "programs."
        ) from error


def _diffusion_model(recipe: Recipe, name: str, checkpoint: str | None) -> tuple[str, str | None, str]:
    """Which model, from which files, saving memory how."""
    return str(recipe.parameters[name]), checkpoint, str(recipe.parameters["saving"])


def _saving(recipe: Recipe) -> str:
    """What else a user of a published model can do where memory is short, the beginning of a list."""
    parameters = recipe.parameters
    model = parameters.get("view_model", parameters.get("text_prior", BUNDLED))
    return "" if model == BUNDLED else f"save that of {model} in another way than '{parameters['saving']}', "
