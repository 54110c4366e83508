"""Text to 3D by score distillation: a field is changed until its pictures look like what a diffusion model expects of
the prompt, from all sides (Poole et al., "DreamFusion", 2022), coarse to fine (Lin et al., "Magic3D", 2023).

The bundled model is told each picture's camera, which says more than the words "side view" that those papers add to the
prompt; Stable Diffusion is told those words.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..guidance.camera_samplers import orbits
from ..guidance.score_distillation import ScoreDistillation
from ..progress import Glimpse, IsCancelled, IsEnough, Preview, Progress
from ..recipe import Recipe, Result
from ..representations.initial_fields import ball, field_of_shape
from ..representations.radiance_fitting import Critic, FitSettings, fit
from .diffusion_models import PictureModel
from .finishing import check_weights, finish, version_notes
from .placement import standing_transform
from .real_size import real_size
from .stages import Stages
from .text_to_3d import Generator
from .watched_fit import WatchedFit, surface_of

CELLS = 64
"""As fine as pictures of 64 pixels can tell."""
BATCH = 4
"""Pictures that the model is shown in a step."""
WEIGHT = 2.4e-4
"""Makes the gradient, a sum over pixels, the size of a mean's over the rays of a fit to pictures."""
SAMPLING_STEPS = 12
SAMPLING_GUIDANCE = 2.0
SEEN_FROM = math.radians(30), math.radians(20)


def run(
    recipe: Recipe,
    *,
    load_shape_space: Callable[[], Generator],
    load_picture_model: Callable[[], PictureModel],
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    preview: Preview | None = None,
    glimpse: Glimpse | None = None,
    enough: IsEnough | None = None,
) -> Result:
    """Make the mesh of a valid recipe of the method "sds".

    Raises InputError (the shape came out empty), MachineError (weights, memory) or Cancelled; `cancelled` and `enough`
    are asked at every step.
    """
    stages = Stages(progress, cancelled)
    stages("Loading", 0.0)
    model = load_picture_model()
    weights = dict(model.weights)
    from_prior = recipe.parameters["start"] == "latent prior"
    if from_prior:
        shape_space = load_shape_space()
        weights |= shape_space.weights
    check_weights(recipe, weights)
    prompt = str(recipe.inputs["prompt"])
    size, notes = real_size(prompt)
    notes += version_notes(recipe)

    stages("Sampling", 0.0)
    if from_prior:
        latent = shape_space.sample(
            prompt,
            seed=recipe.seed,
            steps=SAMPLING_STEPS,
            guidance_scale=SAMPLING_GUIDANCE,
            step=lambda done, total: stages("Sampling", done / total),
        )
        start = field_of_shape(shape_space.field(latent), CELLS, device=model.device)
    else:
        start = ball(CELLS, device=model.device)

    stages("Fitting", 0.0)
    settings = model.settings(float(recipe.parameters["distillation_guidance"]))
    fitting = fit(
        start,
        None,
        critic=Critic(ScoreDistillation(model.prior(prompt), settings), orbits(BATCH), weight=WEIGHT),
        settings=FitSettings(steps=int(recipe.parameters["iterations"]), cells=CELLS),
        seed=recipe.seed,
        watch=WatchedFit(stages, glimpse, preview, size=size, azimuth=SEEN_FROM[0], elevation=SEEN_FROM[1]),
        stop=enough,
    )
    return finish(
        surface_of(fitting),
        recipe,
        place=lambda vertices: standing_transform(vertices, size),
        weights=weights,
        notes=notes + fitting.notes,
        stages=stages,
        cancelled=cancelled,
    )
