"""The settings that the panels show, one PropertyGroup a task, made from the recipe's own Parameters.

A Parameter's name, label, range and default become the property's, so panel, headless and Python cannot disagree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import bpy

from .backend.recipe import BUNDLED, MOST_MESHES, SEED_LIMIT, Method, Parameter, Recipe, method, methods_of

TEXT, IMAGE, COMPLETION, INTERPOLATION = "text_to_3d", "image_to_3d", "shape_completion", "latent_interpolation"
SCENE_PROPERTIES = {
    TEXT: "gen3d_text",
    IMAGE: "gen3d_image",
    COMPLETION: "gen3d_completion",
    INTERPOLATION: "gen3d_interpolation",
}
TEXT_METHOD = method(TEXT, "latent prior")
INTERPOLATION_METHOD = method(INTERPOLATION, "latent interpolation")
BOX = "BOX"
MOST_VARIATIONS = 16
PREVIEW = {"detail": 32, "face_count": 3_000, "texture": False}


def blender_property(parameter: Parameter) -> Any:
    """A Parameter as the annotation of a PropertyGroup."""
    common: dict[str, Any] = {"name": parameter.label, "description": parameter.description}
    if parameter.choices:
        items = [(choice, choice.capitalize(), "") for choice in parameter.choices]
        return bpy.props.EnumProperty(items=items, default=parameter.default, **common)
    makers: dict[str, Callable[..., Any]] = {
        "int": bpy.props.IntProperty,
        "float": bpy.props.FloatProperty,
        "bool": bpy.props.BoolProperty,
        "str": bpy.props.StringProperty,
    }
    if parameter.kind in ("int", "float"):
        common |= {"min": parameter.minimum, "max": parameter.maximum}
    if parameter.kind == "float":
        common |= {"step": 10, "precision": 2}
    return makers[parameter.kind](default=parameter.default, **common)


def shown(of: Method, *, advanced: bool | None = None) -> list[Parameter]:
    """The parameters of a method that panels show: all, or only those that are, or are not, advanced."""
    return [
        parameter
        for parameter in of.parameters
        if parameter.kind != "numbers" and advanced in (None, parameter.advanced)
    ]


def settings_class(name: str, task: str, own: dict[str, Any] | None = None) -> type[bpy.types.PropertyGroup]:
    """The PropertyGroup of one task: the parameters of all its methods, which of them it is where there are several,
    and the prompt, the seed and how many variations to make; `own` are properties of this task alone, or in the place
    of those."""
    methods = methods_of(task)
    annotations: dict[str, Any] = {
        "prompt": bpy.props.StringProperty(name="Prompt", description="What to make, in a few English words"),
        "seed": bpy.props.IntProperty(
            name="Seed",
            description="Same seed and settings, same mesh; another seed, another mesh",
            default=0,
            min=0,
            max=SEED_LIMIT,
        ),
        "variations": bpy.props.IntProperty(
            name="Variations",
            description="How many meshes to make, each with the next seed",
            default=1,
            min=1,
            max=MOST_VARIATIONS,
        ),
    }
    if len(methods) > 1:
        items = [(found.name, found.label, found.description) for found in methods]
        annotations["method"] = bpy.props.EnumProperty(name="Method", description="How it is made", items=items)
    for found in reversed(methods):  # where two differ, the first method's default is shown
        annotations |= {parameter.name: blender_property(parameter) for parameter in shown(found)}
    annotations |= own or {}
    return type(name, (bpy.types.PropertyGroup,), {"__annotations__": annotations, "__doc__": methods[0].description})


def chosen_method(settings: Any, task: str) -> Method:
    """The method of a task that its settings choose."""
    methods = methods_of(task)
    return methods[0] if len(methods) == 1 else method(task, settings.method)


CHECKPOINT: Any = bpy.props.StringProperty(
    name="Files",
    description="Where the published model is, if it was not fetched with 'python -m backend download'; may stay empty",
    subtype="FILE_PATH",
)
TextSettings: Any = settings_class("GEN3D_PG_text_settings", TEXT, {"checkpoint": CHECKPOINT})
ImageSettings: Any = settings_class(
    "GEN3D_PG_image_settings",
    IMAGE,
    {
        "prompt": bpy.props.StringProperty(
            name="Prompt", description="What the object is, in a few English words: it tells its size; may stay empty"
        ),
        "picture": bpy.props.PointerProperty(
            name="Picture",
            description="A picture of one object, on a plain or transparent ground",
            type=bpy.types.Image,
        ),
        "checkpoint": CHECKPOINT,
        "mask_model": bpy.props.StringProperty(
            name="Mask Model",
            description="An ONNX file of U²-Net or IS-Net that finds the object where there is no mask; may stay empty",
            subtype="FILE_PATH",
        ),
        "mask": bpy.props.PointerProperty(
            name="Mask",
            description="A picture of the same proportions, white where the object is; may stay empty",
            type=bpy.types.Image,
        ),
    },
)
CompletionSettings: Any = settings_class(
    "GEN3D_PG_completion_settings",
    COMPLETION,
    {
        "checkpoint": bpy.props.StringProperty(
            name="Checkpoint",
            description="A published checkpoint of PoinTr to use instead of the bundled weights; may stay empty",
            subtype="FILE_PATH",
        ),
        "prompt": bpy.props.StringProperty(
            name="Prompt", description="What the object is, in a few English words; may stay empty"
        ),
        "variations": bpy.props.IntProperty(
            name="Samples",
            description="How many whole shapes to make, each with the next seed",
            default=4,
            min=1,
            max=MOST_VARIATIONS,
        ),
        "known": bpy.props.EnumProperty(
            name="Known",
            description="What the selection tells",
            items=(
                (BOX, "Box", "All is known but what lies in the box of an object"),
                ("SCAN", "Scan", "Nothing is known but the surface that is there"),
            ),
        ),
        "box": bpy.props.PointerProperty(
            name="Unknown",
            description="An empty or any other object: what lies in its box, along the world's axes, is unknown",
            type=bpy.types.Object,
        ),
    },
)


def _preview_blend(_settings: Any, context: bpy.types.Context) -> None:
    from .operators.interpolation import preview_blend  # which needs the settings

    preview_blend(context)


InterpolationSettings: Any = type(
    "GEN3D_PG_interpolation_settings",
    (bpy.types.PropertyGroup,),
    {
        "__annotations__": {parameter.name: blender_property(parameter) for parameter in shown(INTERPOLATION_METHOD)}
        | {
            "share": bpy.props.FloatProperty(
                name="Blend",
                description="How much of the active object there is in the shape; dragging it shows a coarse preview",
                default=0.5,
                min=0.0,
                max=1.0,
                subtype="FACTOR",
                update=_preview_blend,
            ),
            "shares": bpy.props.FloatVectorProperty(
                name="Weights",
                description="How much of each selected object there is in the shape; dragging shows a coarse preview",
                size=MOST_MESHES,
                default=(1.0,) * MOST_MESHES,
                min=0.0,
                max=1.0,
                update=_preview_blend,
            ),
        },
        "__doc__": INTERPOLATION_METHOD.description,
    },
)


class GEN3D_PG_history_item(bpy.types.PropertyGroup):
    """One row of the history list; the job itself lives in the queue."""

    job: bpy.props.IntProperty(options={"SKIP_SAVE"})  # type: ignore[valid-type]


class GEN3D_PG_session(bpy.types.PropertyGroup):
    """What the history list needs while Blender runs. It hangs on the window manager, so undo does not touch it."""

    history: bpy.props.CollectionProperty(type=GEN3D_PG_history_item)  # type: ignore[valid-type]
    history_index: bpy.props.IntProperty(name="Job", options={"SKIP_SAVE"})  # type: ignore[valid-type]


def settings_of(task: str, scene: bpy.types.Scene) -> Any:
    """The scene's settings for a task."""
    return getattr(scene, SCENE_PROPERTIES[task])


def text_settings(scene: bpy.types.Scene) -> Any:
    """The scene's settings for text to 3D (a `TextSettings`)."""
    return settings_of(TEXT, scene)


def image_settings(scene: bpy.types.Scene) -> Any:
    """The scene's settings for image to 3D (an `ImageSettings`)."""
    return settings_of(IMAGE, scene)


def completion_settings(scene: bpy.types.Scene) -> Any:
    """The scene's settings for shape completion (a `CompletionSettings`)."""
    return settings_of(COMPLETION, scene)


def interpolation_settings(scene: bpy.types.Scene) -> Any:
    """The scene's settings for latent interpolation (an `InterpolationSettings`)."""
    return settings_of(INTERPOLATION, scene)


def session_state(context: bpy.types.Context) -> Any:
    """What the panels keep for as long as Blender runs (a `GEN3D_PG_session`)."""
    return context.window_manager.gen3d


def text_recipes(settings: Any) -> list[Recipe]:
    """The recipes that the text settings ask for, one a variation. Raises `InputError` with a sentence."""
    return _recipes(TEXT, settings, {"prompt": settings.prompt, **_checkpoint(settings, TEXT, "text_prior")})


def image_recipes(settings: Any, picture: str, mask: str | None) -> list[Recipe]:
    """The recipes that the image settings ask for, one a variation, from image files. Raises `InputError` with a
    sentence."""
    inputs = (
        {"picture": picture} | ({} if mask is None else {"mask": mask}) | _checkpoint(settings, IMAGE, "view_model")
    )
    if settings.mask_model.strip():
        inputs["mask_model"] = bpy.path.abspath(settings.mask_model)
    return _recipes(IMAGE, settings, inputs | _optional_prompt(settings))


def _checkpoint(settings: Any, task: str, chosen_by: str) -> dict[str, str]:
    """The files of the published model that the settings choose, where they name any."""
    takes = "checkpoint" in chosen_method(settings, task).optional_inputs
    if not takes or getattr(settings, chosen_by) == BUNDLED or not settings.checkpoint.strip():
        return {}
    return {"checkpoint": bpy.path.abspath(settings.checkpoint)}


def completion_recipes(settings: Any, shape: str, unknown: str | tuple[float, ...]) -> list[Recipe]:
    """The recipes that the completion settings ask for, one a sample. Raises `InputError` with a sentence."""
    chosen = chosen_method(settings, COMPLETION)
    told = {name: getattr(settings, name) for name in chosen.optional_inputs if getattr(settings, name).strip()}
    if "checkpoint" in told:
        told["checkpoint"] = bpy.path.abspath(told["checkpoint"])
    return _recipes(COMPLETION, settings, {"shape": shape, "unknown": unknown, **told})


def _optional_prompt(settings: Any) -> dict[str, str]:
    return {"prompt": settings.prompt} if settings.prompt.strip() else {}


def interpolation_recipe(settings: Any, meshes: list[str], **changes: Any) -> Recipe:
    """The recipe that the interpolation settings ask for, some of its parameters changed. Raises `InputError` with a
    sentence."""
    values = {parameter.name: _exact(getattr(settings, parameter.name)) for parameter in shown(INTERPOLATION_METHOD)}
    values |= changes
    return Recipe.create(INTERPOLATION_METHOD.task, INTERPOLATION_METHOD.name, meshes=tuple(meshes), **values)


def blend_recipe(settings: Any, meshes: list[str]) -> Recipe:
    """The recipe of the one shape that the weights in the panel ask for. Raises `InputError` with a sentence."""
    if len(meshes) == 2:
        share = _exact(settings.share)
        return interpolation_recipe(settings, meshes, output="meshes", blend=(_exact(1 - share), share))
    weights = tuple(_exact(weight) for weight in settings.shares[: len(meshes)])
    return interpolation_recipe(settings, meshes, output="meshes", blend=weights)


def preview_recipe(settings: Any, meshes: list[str]) -> Recipe:
    """The same, as coarsely as a preview needs it."""
    recipe = blend_recipe(settings, meshes)
    return dataclasses.replace(recipe, parameters=recipe.parameters | PREVIEW)


def _recipes(task: str, settings: Any, inputs: dict[str, Any]) -> list[Recipe]:
    of = chosen_method(settings, task)
    values = {parameter.name: _exact(getattr(settings, parameter.name)) for parameter in shown(of)}
    return [
        Recipe.create(of.task, of.name, seed=seed, **inputs, **values)
        for seed in following_seeds(settings.seed, settings.variations)
    ]


def following_seeds(first: int, count: int) -> list[int]:
    """`count` seeds from `first` on; after the largest comes 0."""
    return [(first + offset) % (SEED_LIMIT + 1) for offset in range(count)]


def _exact(value: Any) -> Any:
    """Blender keeps 2.7 in single precision, as 2.7000000477; the recipe shall have the number that the user typed."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
