"""The add-on's preferences: which Python runs the worker, and how long an idle worker keeps the model in memory."""

from __future__ import annotations

import bpy

from . import extension, panel_text, session


def _python_changed(_preferences: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    session.current().check_runtime()


class GEN3D_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = extension.PACKAGE

    python_path: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Python",
        description="The Python with torch that runs the worker: the interpreter, or its environment's folder",
        subtype="FILE_PATH",
        update=_python_changed,
    )
    idle_minutes: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Keep Model (Minutes)",
        description="How long an idle worker keeps the model in memory; the next job after that starts cold",
        default=extension.DEFAULT_IDLE_MINUTES,
        min=1,
        max=24 * 60,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = panel_text.layout_of(self)
        layout.prop(self, "python_path")
        panel_text.draw_health(layout, context, session.current().health)
        layout.prop(self, "idle_minutes")
