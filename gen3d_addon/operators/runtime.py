"""The worker's interpreter: check it, choose it, and give the worker's memory back."""

from __future__ import annotations

import bpy

from .. import extension, session
from . import Answer


class GEN3D_OT_check_runtime(bpy.types.Operator):
    """Ask the worker's Python whether it has all that it needs"""

    bl_idname = "gen3d.check_runtime"
    bl_label = "Check Python"

    def execute(self, context: bpy.types.Context) -> Answer:
        session.current().check_runtime()
        return {"FINISHED"}


class GEN3D_OT_open_preferences(bpy.types.Operator):
    """Choose the worker's Python in the add-on's preferences"""

    bl_idname = "gen3d.open_preferences"
    bl_label = "Preferences"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return extension.PACKAGE in context.preferences.addons

    def execute(self, context: bpy.types.Context) -> Answer:
        return bpy.ops.preferences.addon_show(module=extension.PACKAGE)


class GEN3D_OT_free_memory(bpy.types.Operator):
    """End the idle worker, which holds the model in memory; the next job starts cold"""

    bl_idname = "gen3d.free_memory"
    bl_label = "Free Memory"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        queue = session.current().queue
        return queue.worker_alive and not queue.busy

    def execute(self, context: bpy.types.Context) -> Answer:
        session.current().queue.stop_worker()
        session.current().changed()
        return {"FINISHED"}
