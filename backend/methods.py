"""The methods of the tasks with their inputs and parameters, from which panels, command lines and checks are made.

Standard library only: Blender's Python imports this module as well.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from .errors import InputError

Value = Any
"""Of a parameter: bool, int, float, str, or a tuple of floats."""

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "numbers": (list, tuple),
}
_KIND_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "numbers": "a list of numbers",
}


@dataclass(frozen=True)
class Parameter:
    """One setting of a method; panels and command lines are made from these.

    `minimum` and `maximum` are inclusive and stand for numbers only, in "numbers" for each of them; `choices` are the
    only values of a "str" that has any; `advanced` ones are shown folded away.
    """

    name: str
    label: str
    description: str
    kind: Literal["int", "float", "bool", "str", "numbers"]
    default: Value
    minimum: float | None = None
    maximum: float | None = None
    advanced: bool = False
    choices: tuple[str, ...] = ()

    def check(self, value: object) -> Value:
        """Return the value in this parameter's own type, or raise InputError."""
        is_right_type = isinstance(value, _PYTHON_TYPES[self.kind])
        if not is_right_type or (isinstance(value, bool) and self.kind != "bool"):
            raise InputError(f"{self.label} must be {_KIND_NAMES[self.kind]}, not {value!r}.")
        if self.kind == "numbers":
            each = dataclasses.replace(self, kind="float")
            return tuple(each.check(entry) for entry in value)  # type: ignore[attr-defined]
        if self.choices and value not in self.choices:
            raise InputError(f"{self.label} must be one of {', '.join(self.choices)}, not {value!r}.")
        if self.kind == "float":
            value = float(value)  # type: ignore[arg-type]
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{self.label} must be a finite number, not {value}.")
        if self.minimum is not None and self.maximum is not None and not self.minimum <= value <= self.maximum:  # type: ignore[operator]
            raise InputError(f"{self.label} must lie between {self.minimum:,} and {self.maximum:,}, not {value:,}.")
        return value


@dataclass(frozen=True)
class Method:
    """One way of doing a task: what it takes, what it may be told besides, and what can be set; `seeded` says whether
    another seed gives another result, `optimized` whether it works step by step, so that it can be stopped and kept."""

    task: str
    name: str
    label: str
    description: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    optional_inputs: tuple[str, ...] = ()
    seeded: bool = True
    optimized: bool = False


DETAIL = Parameter(
    "detail",
    "Detail",
    "Cells along the longest side of the grid that the surface is read from",
    "int",
    128,
    32,
    256,
)
FACE_COUNT = Parameter(
    "face_count",
    "Face Count",
    "Number of triangles that the mesh is simplified to",
    "int",
    20_000,
    100,
    100_000,
)

GUIDANCE_SCALE = Parameter(
    "guidance_scale",
    "Guidance Scale",
    "How strongly the shape follows the prompt, where there is one",
    "float",
    2.0,
    0.0,
    20.0,
    advanced=True,
)
STEPS = Parameter("steps", "Steps", "Number of denoising steps; more take longer", "int", 12, 1, 200, advanced=True)
ELEVATION = Parameter(
    "elevation",
    "Elevation",
    "How far above the object's middle the picture's camera is, in degrees: 0 looks level, 90 straight down",
    "float",
    15.0,
    -30.0,
    85.0,
)
PICTURE_GUIDANCE_SCALE = dataclasses.replace(
    GUIDANCE_SCALE, description="How strongly the shape follows the picture; low values vary more", default=3.0
)
CANDIDATES = Parameter(
    "candidates",
    "Candidates",
    "How many shapes are made, of which the one that is likeliest by the picture and the others is kept",
    "int",
    24,
    1,
    64,
    advanced=True,
)
ITERATIONS = Parameter(
    "iterations",
    "Iterations",
    "Steps of the optimisation: more are sharper, and take longer",
    "int",
    200,
    10,
    5_000,
)
DISTILLATION = Parameter(
    "distillation",
    "Distillation",
    "How much the diffusion model has to say on sides that no picture shows (score distillation); 0 turns it off",
    "float",
    1.0,
    0.0,
    10.0,
    advanced=True,
)

BUNDLED = "bundled"
VIEW_MODEL = Parameter(
    "view_model",
    "View Model",
    "What makes the pictures of other sides: the bundled model, or a published one that was fetched",
    "str",
    BUNDLED,
    advanced=True,
    choices=(BUNDLED, "zero123-xl", "stable-zero123"),
)
TEXT_PRIOR = Parameter(
    "text_prior",
    "Text Prior",
    "Which diffusion model is to like the pictures: the bundled one, or a published one that was fetched",
    "str",
    BUNDLED,
    advanced=True,
    choices=(BUNDLED, "stable-diffusion-1.5", "stable-diffusion-2.1"),
)
SAVING = Parameter(
    "saving",
    "Save Memory",
    "How a published model is run where memory is short: in half precision, with its attention in parts as well, or "
    "with its layers in main memory as well; each is slower",
    "str",
    "none",
    advanced=True,
    choices=("none", "half precision", "sliced attention", "offloaded"),
)

KEEP_ORIGINAL = Parameter(
    "keep_original",
    "Keep Original Surface",
    "Keep the faces of the known part as they are, and join the new ones to them along the box of the unknown",
    "bool",
    False,
)

MIRROR = Parameter(
    "mirror",
    "Mirror",
    "Where what is known is symmetric, or one side of a thing is unknown, take the mirror image for what is unknown; "
    "where that is doubtful, every fourth sample does without",
    "bool",
    True,
)
METHODS: tuple[Method, ...] = (
    Method(
        task="text_to_3d",
        name="latent prior",
        label="Latent prior",
        description="The bundled model: denoises a latent shape towards the prompt; seconds on a CPU, no download",
        inputs=("prompt",),
        parameters=(
            DETAIL,
            FACE_COUNT,
            dataclasses.replace(
                GUIDANCE_SCALE, description="How strongly the shape follows the prompt; low values vary more"
            ),
            STEPS,
        ),
    ),
    Method(
        task="text_to_3d",
        name="sds",
        label="Score distillation",
        description="Changes a shape until a diffusion model likes its pictures; minutes on a CPU, no download",
        inputs=("prompt",),
        parameters=(
            DETAIL,
            FACE_COUNT,
            ITERATIONS,
            Parameter(
                "start",
                "Start",
                "What is changed: a shape of the latent prior for the same prompt, or a ball",
                "str",
                "latent prior",
                choices=("latent prior", "ball"),
            ),
            Parameter(
                "distillation_guidance",
                "Guidance Scale",
                "How strongly the pictures follow the prompt",
                "float",
                7.5,
                1.0,
                100.0,
                advanced=True,
            ),
            TEXT_PRIOR,
            SAVING,
        ),
        optional_inputs=("checkpoint",),
        optimized=True,
    ),
    Method(
        task="image_to_3d",
        name="feed-forward",
        label="Feed-forward",
        description="The bundled model: denoises a latent shape towards the picture; seconds on a CPU, no download",
        inputs=("picture",),
        parameters=(
            DETAIL,
            FACE_COUNT,
            ELEVATION,
            PICTURE_GUIDANCE_SCALE,
            STEPS,
            CANDIDATES,
        ),
        optional_inputs=("mask", "mask_model", "prompt"),
    ),
    Method(
        task="image_to_3d",
        name="multiview",
        label="Multi-view",
        description="Makes pictures of the other sides and fits a surface to all; minutes on a CPU, no download",
        inputs=("picture",),
        parameters=(
            DETAIL,
            FACE_COUNT,
            ELEVATION,
            ITERATIONS,
            DISTILLATION,
            Parameter(
                "mesh_steps",
                "Mesh Steps",
                "Steps in which the extracted mesh itself is moved to look like the pictures; 0 leaves it as it is",
                "int",
                0,
                0,
                1_000,
                advanced=True,
            ),
            Parameter(
                "view_count", "Views", "How many pictures of other sides are made", "int", 12, 4, 32, advanced=True
            ),
            Parameter(
                "keep_views",
                "Keep Views",
                "Keep the pictures of the other sides beside the mesh",
                "bool",
                False,
                advanced=True,
            ),
            VIEW_MODEL,
            SAVING,
            PICTURE_GUIDANCE_SCALE,
            STEPS,
            CANDIDATES,
        ),
        optional_inputs=("mask", "mask_model", "prompt", "checkpoint"),
        optimized=True,
    ),
    Method(
        task="shape_completion",
        name="latent prior",
        label="Latent prior",
        description="The bundled model: denoises a latent shape towards the part that is known; seconds on a CPU",
        inputs=("shape", "unknown"),
        parameters=(
            DETAIL,
            FACE_COUNT,
            KEEP_ORIGINAL,
            MIRROR,
            GUIDANCE_SCALE,
            STEPS,
        ),
        optional_inputs=("prompt",),
    ),
    Method(
        task="shape_completion",
        name="autoregressive",
        label="Autoregressive",
        description="Draws what is unknown patch by patch, in any order, given what is known, as AutoSDF does",
        inputs=("shape", "unknown"),
        parameters=(
            DETAIL,
            FACE_COUNT,
            KEEP_ORIGINAL,
            MIRROR,
            dataclasses.replace(STEPS, description="In how many steps the patches are drawn; more agree better"),
            Parameter(
                "temperature",
                "Temperature",
                "How freely patches are drawn: 0 takes the likeliest, 1 draws them as they are in training shapes",
                "float",
                0.9,
                0.0,
                2.0,
                advanced=True,
            ),
        ),
    ),
    Method(
        task="shape_completion",
        name="points",
        label="Points",
        description="Completes the cloud of the known points, as PoinTr does, and puts a surface on it",
        inputs=("shape", "unknown"),
        parameters=(DETAIL, FACE_COUNT, KEEP_ORIGINAL, MIRROR),
        optional_inputs=("checkpoint",),
    ),
    Method(
        task="latent_interpolation",
        name="latent interpolation",
        label="Latent interpolation",
        description="The shapes between two or more meshes, from the bundled model; seconds on a CPU, no download",
        inputs=("meshes",),
        parameters=(
            Parameter("steps", "Steps", "Number of shapes from the first to the last, both included", "int", 9, 2, 64),
            Parameter(
                "path",
                "Path",
                "Straight through the space of shapes, or along a sphere on which shapes lie",
                "str",
                "linear",
                choices=("linear", "spherical"),
            ),
            Parameter(
                "output",
                "Output",
                "A mesh for each step, or one mesh that morphs through them all: with shape keys to set by hand, or "
                "with keyframes, ready to play",
                "str",
                "meshes",
                choices=("meshes", "shape keys", "keyframes"),
            ),
            dataclasses.replace(DETAIL, default=64),
            dataclasses.replace(FACE_COUNT, default=10_000),
            Parameter(
                "texture",
                "Texture",
                "Bake a texture for each mesh; without, colours are kept at the vertices, in half the time",
                "bool",
                False,
                advanced=True,
            ),
            Parameter(
                "blend",
                "Blend",
                "One weight for each mesh: makes the one shape with that share of each, instead of steps",
                "numbers",
                (),
                -10.0,
                10.0,
                advanced=True,
            ),
        ),
        seeded=False,
    ),
)


def method(task: str, name: str) -> Method:
    """The method of that name for that task; raises InputError when there is none."""
    for candidate in METHODS:
        if (candidate.task, candidate.name) == (task, name):
            return candidate
    known = ", ".join(f"{candidate.task} / {candidate.name}" for candidate in METHODS)
    raise InputError(f"There is no method {name!r} for the task {task!r}; choose one of: {known}.")


def methods_of(task: str) -> tuple[Method, ...]:
    """The methods of a task, its default first."""
    return tuple(entry for entry in METHODS if entry.task == task)
