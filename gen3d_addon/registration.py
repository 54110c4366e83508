"""Everything that Blender has to be told about, in one place and in order; unregistering goes backwards."""

from __future__ import annotations

import bpy

from . import headless, panels, preferences, properties, session
from .operators import completion, interpolation, jobs, runtime, text

COMMAND = "gen3d"

CLASSES: tuple[type, ...] = (
    properties.TextSettings,
    properties.CompletionSettings,
    properties.InterpolationSettings,
    properties.GEN3D_PG_history_item,
    properties.GEN3D_PG_session,
    preferences.GEN3D_AP_preferences,
    text.GEN3D_OT_generate_text,
    text.GEN3D_OT_random_seed,
    completion.GEN3D_OT_complete,
    completion.GEN3D_OT_keep,
    interpolation.GEN3D_OT_interpolate,
    interpolation.GEN3D_OT_blend,
    interpolation.GEN3D_OT_hide_preview,
    jobs.GEN3D_OT_cancel,
    jobs.GEN3D_OT_regenerate,
    jobs.GEN3D_OT_variations,
    jobs.GEN3D_OT_add_to_scene,
    jobs.GEN3D_OT_clear_history,
    jobs.GEN3D_OT_dismiss,
    runtime.GEN3D_OT_check_runtime,
    runtime.GEN3D_OT_open_preferences,
    runtime.GEN3D_OT_free_memory,
    panels.GEN3D_UL_history,
    panels.GEN3D_PT_text,
    panels.GEN3D_PT_text_advanced,
    panels.GEN3D_PT_completion,
    panels.GEN3D_PT_completion_advanced,
    panels.GEN3D_PT_interpolation,
    panels.GEN3D_PT_interpolation_advanced,
    panels.GEN3D_PT_active_object,
    panels.GEN3D_PT_history,
    panels.GEN3D_PT_worker,
)

_commands: list[object] = []


def register() -> None:
    for entry in CLASSES:
        bpy.utils.register_class(entry)
    bpy.types.Scene.gen3d_text = bpy.props.PointerProperty(type=properties.TextSettings)
    bpy.types.Scene.gen3d_completion = bpy.props.PointerProperty(type=properties.CompletionSettings)
    bpy.types.Scene.gen3d_interpolation = bpy.props.PointerProperty(type=properties.InterpolationSettings)
    bpy.types.WindowManager.gen3d = bpy.props.PointerProperty(type=properties.GEN3D_PG_session)
    bpy.app.handlers.load_post.append(session.after_load)
    _commands.append(bpy.utils.register_cli_command(COMMAND, headless.main))
    session.begin()


def unregister() -> None:
    session.end()
    while _commands:
        bpy.utils.unregister_cli_command(_commands.pop())
    bpy.app.handlers.load_post.remove(session.after_load)
    del bpy.types.WindowManager.gen3d
    del bpy.types.Scene.gen3d_interpolation
    del bpy.types.Scene.gen3d_completion
    del bpy.types.Scene.gen3d_text
    for entry in reversed(CLASSES):
        bpy.utils.unregister_class(entry)
