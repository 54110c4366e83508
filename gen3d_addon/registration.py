"""Everything that Blender has to be told about, in one place and in order; unregistering goes backwards."""

from __future__ import annotations

from typing import Any

import bpy

from . import glimpses, headless, panels, preferences, properties, session
from .operators import completion, image, interpolation, jobs, runtime, text

COMMAND = "gen3d"

CLASSES: tuple[type, ...] = (
    properties.TextSettings,
    properties.ImageSettings,
    properties.CompletionSettings,
    properties.InterpolationSettings,
    properties.GEN3D_PG_history_item,
    properties.GEN3D_PG_session,
    preferences.GEN3D_AP_preferences,
    text.GEN3D_OT_generate_text,
    text.GEN3D_OT_random_seed,
    image.GEN3D_OT_generate_image,
    image.GEN3D_OT_paste_picture,
    image.GEN3D_OT_render_picture,
    image.GEN3D_OT_preview_mask,
    image.GEN3D_OT_save_views,
    image.GEN3D_OT_add_camera,
    completion.GEN3D_OT_complete,
    completion.GEN3D_OT_keep,
    interpolation.GEN3D_OT_interpolate,
    interpolation.GEN3D_OT_blend,
    interpolation.GEN3D_OT_hide_preview,
    jobs.GEN3D_OT_cancel,
    jobs.GEN3D_OT_stop_and_keep,
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
    panels.GEN3D_PT_image,
    panels.GEN3D_PT_image_advanced,
    panels.GEN3D_PT_completion,
    panels.GEN3D_PT_completion_advanced,
    panels.GEN3D_PT_interpolation,
    panels.GEN3D_PT_interpolation_advanced,
    panels.GEN3D_PT_active_object,
    panels.GEN3D_PT_history,
    panels.GEN3D_PT_worker,
)

SETTINGS: dict[str, Any] = {
    properties.TEXT: properties.TextSettings,
    properties.IMAGE: properties.ImageSettings,
    properties.COMPLETION: properties.CompletionSettings,
    properties.INTERPOLATION: properties.InterpolationSettings,
}
_commands: list[object] = []


def register() -> None:
    for entry in CLASSES:
        bpy.utils.register_class(entry)
    for task, name in properties.SCENE_PROPERTIES.items():
        setattr(bpy.types.Scene, name, bpy.props.PointerProperty(type=SETTINGS[task]))
    bpy.types.WindowManager.gen3d = bpy.props.PointerProperty(type=properties.GEN3D_PG_session)
    bpy.app.handlers.load_post.append(session.after_load)
    _commands.append(bpy.utils.register_cli_command(COMMAND, headless.main))
    session.begin()


def unregister() -> None:
    session.end()
    glimpses.forget()
    while _commands:
        bpy.utils.unregister_cli_command(_commands.pop())
    bpy.app.handlers.load_post.remove(session.after_load)
    del bpy.types.WindowManager.gen3d
    for name in properties.SCENE_PROPERTIES.values():
        delattr(bpy.types.Scene, name)
    for entry in reversed(CLASSES):
        bpy.utils.unregister_class(entry)
