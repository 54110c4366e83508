"""Latent interpolation: the shapes between the selected objects, or the one shape with chosen weights."""

from __future__ import annotations

import time
from dataclasses import dataclass

import bpy

from .. import extension, properties, session
from ..backend.recipe import InputError, MachineError, Recipe
from ..partial_shape import in_order, save_each
from . import Answer
from .refusal import refuse

ONE_DRAG_SECONDS = 2.0
"""Changes of a slider that follow one another faster belong to one drag: the objects are written once for all."""


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


class GEN3D_OT_blend(bpy.types.Operator):
    """Make the one shape that has so much of each selected mesh as the sliders say"""

    bl_idname = "gen3d.blend"
    bl_label = "Make This Blend"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            target = extension.open_scene(context)
            meshes = [str(path) for path in save_each(context)]
            recipe = properties.blend_recipe(properties.interpolation_settings(target), meshes)
            session.current().queue.ask_preview(None)
            session.current().submit([recipe], target)
        except (InputError, MachineError) as error:
            return refuse(self, error)
        return {"FINISHED"}


class GEN3D_OT_hide_preview(bpy.types.Operator):
    """Take the preview of the blend away"""

    bl_idname = "gen3d.hide_preview"
    bl_label = "Hide Preview"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> Answer:
        session.current().hide_preview()
        return {"FINISHED"}


@dataclass
class _Drag:
    """The selected objects as they were written when a slider began to move."""

    selected: tuple[int, ...] = ()
    meshes: tuple[str, ...] = ()
    moved: float = float("-inf")


_drag = _Drag()


def preview_blend(context: bpy.types.Context) -> None:
    """A slider moved: ask for a preview of its blend. What is in the way stands in the panel."""
    try:
        session.current().ask_preview(_dragged_recipe(context))
        session.current().error = ""
    except (InputError, MachineError) as error:
        session.current().error = str(error)
        session.current().changed()


def _dragged_recipe(context: bpy.types.Context) -> Recipe:
    selected, now = tuple(item.session_uid for item in in_order(context)), time.monotonic()
    if selected != _drag.selected or now - _drag.moved > ONE_DRAG_SECONDS:
        _drag.selected, _drag.meshes = (), ()
        _drag.meshes = tuple(str(path) for path in save_each(context))
        _drag.selected = selected
    _drag.moved = time.monotonic()
    settings = properties.interpolation_settings(extension.open_scene(context))
    return properties.preview_recipe(settings, list(_drag.meshes))
