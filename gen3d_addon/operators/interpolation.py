"""Latent interpolation: the shapes between the selected objects."""

from __future__ import annotations

import bpy

from .. import extension, properties, session
from ..backend.recipe import InputError, MachineError
from ..partial_shape import save_each
from . import Answer
from .refusal import refuse


class GEN3D_OT_interpolate(bpy.types.Operator):
    """Make the shapes between the selected meshes; the active one comes last"""

    bl_idname = "gen3d.interpolate"
    bl_label = "Interpolate"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            target = extension.open_scene(context)
            meshes = [str(path) for path in save_each(context)]
            recipe = properties.interpolation_recipe(properties.interpolation_settings(target), meshes)
            session.current().submit([recipe], target)
        except (InputError, MachineError) as error:
            return refuse(self, error)
        return {"FINISHED"}
