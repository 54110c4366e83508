"""Shape completion: whole shapes from the selected part, and keeping one of them."""

from __future__ import annotations

import bpy

from .. import extension, properties, scene, session
from ..backend.recipe import SCAN, InputError, MachineError
from ..partial_shape import box_corners, save_selection
from . import Answer
from .refusal import refuse


class GEN3D_OT_complete(bpy.types.Operator):
    """Make whole shapes that agree with the selected part; they appear in a row beside it"""

    bl_idname = "gen3d.complete"
    bl_label = "Complete"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            target = extension.open_scene(context)
            settings = properties.completion_settings(target)
            box = settings.box if settings.known == properties.BOX else None
            unknown = box_corners(box, context) if settings.known == properties.BOX else SCAN
            shape = save_selection(context, leave_out=box)
            session.current().submit(properties.completion_recipes(settings, str(shape), unknown), target)
        except (InputError, MachineError) as error:
            return refuse(self, error)
        return {"FINISHED"}


class GEN3D_OT_keep(bpy.types.Operator):
    """Keep the active object and remove the others that came of the same recipe with other seeds"""

    bl_idname = "gen3d.keep"
    bl_label = "Keep This One"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and bool(scene.siblings(context.active_object, extension.open_scene(context)))

    def execute(self, context: bpy.types.Context) -> Answer:
        for other in scene.siblings(context.active_object, extension.open_scene(context)):
            bpy.data.objects.remove(other)
        session.redraw()
        return {"FINISHED"}
