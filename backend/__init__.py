"""Gen3D's backend: recipes in, meshes out. Plain Python, no Blender; importing it needs NumPy alone."""

from __future__ import annotations

from .errors import Cancelled, InputError, MachineError
from .progress import Glimpse, IsCancelled, IsEnough, Preview, Progress
from .recipe import Recipe, Result

__all__ = ["Cancelled", "InputError", "MachineError", "Recipe", "Result", "generate"]


def generate(
    recipe: Recipe,
    *,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
    glimpse: Glimpse | None = None,
    enough: IsEnough | None = None,
    device: str = "auto",
) -> Result:
    """Make what the recipe says.

    progress    called with (stage, fraction) as the work goes on
    cancelled   asked at every step; when it answers True, Cancelled is raised
    preview     given coarse meshes, in scene metres, before the fine one is made
    glimpse     given pictures of what goes on
    enough      asked at every step of an optimisation; when it answers True, what is there is finished and returned
    device      "auto" (CUDA where there is one, else the CPU) or a torch device name such as "cpu"

    Raises InputError (the recipe), MachineError (weights, memory, device) or Cancelled.
    """
    recipe.validate()
    from .tasks import run  # imports torch, which recipes and Blender's own Python do without

    return run(
        recipe,
        progress=progress,
        cancelled=cancelled,
        preview=preview,
        glimpse=glimpse,
        enough=enough,
        device=device,
    )
