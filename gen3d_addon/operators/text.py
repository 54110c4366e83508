"""Text to 3D: generate from the panel's settings, and roll a new seed."""

from __future__ import annotations

import random

import bpy

from .. import extension, properties, session
from ..backend.recipe import SEED_LIMIT, InputError
from . import Answer
from .refusal import refuse


class GEN3D_OT_generate_text(bpy.types.Operator):
    """Make a mesh from the prompt; it appears at the 3D cursor when it is done"""

    bl_idname = "gen3d.generate_text"
    bl_label = "Generate"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            scene = extension.open_scene(context)
            session.current().submit(properties.text_recipes(properties.text_settings(scene)), scene)
        except InputError as error:
            return refuse(self, error)
        return {"FINISHED"}


class GEN3D_OT_random_seed(bpy.types.Operator):
    """Roll a new seed"""

    bl_idname = "gen3d.random_seed"
    bl_label = "Random Seed"
    bl_options = {"UNDO", "INTERNAL"}

    task: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Task", description="Whose seed", default=properties.TEXT, options={"HIDDEN", "SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> Answer:
        properties.settings_of(self.task, extension.open_scene(context)).seed = random.randint(0, SEED_LIMIT)
        return {"FINISHED"}
