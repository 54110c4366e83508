"""The Gen3D tab in the 3D viewport's sidebar. Drawing only: what is shown comes from the session and the scene."""

from __future__ import annotations

from typing import Any, Literal

import bpy

from . import scene, session
from .backend.recipe import MOST_MESHES
from .extension import open_scene
from .jobs import Job, JobState
from .panel_text import draw_health, draw_sentence, layout_of
from .partial_shape import in_order
from .properties import (
    BOX,
    COMPLETION_METHOD,
    INTERPOLATION_METHOD,
    TEXT_METHOD,
    completion_settings,
    interpolation_settings,
    session_state,
    shown,
    text_settings,
)
from .time_left import in_words

ICONS: dict[JobState, Any] = {
    JobState.QUEUED: "SORTTIME",
    JobState.RUNNING: "PLAY",
    JobState.DONE: "CHECKMARK",
    JobState.FAILED: "ERROR",
    JobState.CANCELLED: "X",
}


class Sidebar:
    """Where all panels of this add-on are."""

    bl_space_type: Literal["VIEW_3D"] = "VIEW_3D"
    bl_region_type: Literal["UI"] = "UI"
    bl_category = "Gen3D"


class GEN3D_PT_text(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_text"
    bl_label = "Text to 3D"

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(self)
        now = session.current()
        now.check_runtime_once()
        settings = text_settings(open_scene(context))
        layout.prop(settings, "prompt", text="", icon="TEXT")
        column = column_of(layout)
        row = column.row(align=True)
        row.prop(settings, "seed")
        row.operator("gen3d.random_seed", text="", icon="FILE_REFRESH")
        column.prop(settings, "variations")
        for parameter in TEXT_METHOD.parameters:
            if not parameter.advanced:
                column.prop(settings, parameter.name)
        row = layout.row()
        row.scale_y = 1.4
        row.operator("gen3d.generate_text", icon="MESH_MONKEY")
        draw_state(layout, context, now)


class GEN3D_PT_text_advanced(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_text_advanced"
    bl_parent_id = "GEN3D_PT_text"
    bl_label = "Advanced"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column = column_of(layout_of(self))
        for parameter in TEXT_METHOD.parameters:
            if parameter.advanced:
                column.prop(text_settings(open_scene(context)), parameter.name)


class GEN3D_PT_completion(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_completion"
    bl_label = "Shape Completion"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(self)
        now = session.current()
        now.check_runtime_once()
        settings = completion_settings(open_scene(context))
        layout.row().prop(settings, "known", expand=True)
        column = column_of(layout)
        if settings.known == BOX:
            column.prop(settings, "box")
        column.prop(settings, "prompt")
        column.prop(settings, "seed")
        column.prop(settings, "variations")
        for parameter in COMPLETION_METHOD.parameters:
            if not parameter.advanced:
                column.prop(settings, parameter.name)
        row = layout.row()
        row.scale_y = 1.4
        row.operator("gen3d.complete", icon="MOD_MIRROR")
        draw_state(layout, context, now)


class GEN3D_PT_completion_advanced(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_completion_advanced"
    bl_parent_id = "GEN3D_PT_completion"
    bl_label = "Advanced"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column = column_of(layout_of(self))
        for parameter in COMPLETION_METHOD.parameters:
            if parameter.advanced:
                column.prop(completion_settings(open_scene(context)), parameter.name)


class GEN3D_PT_interpolation(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_interpolation"
    bl_label = "Latent Interpolation"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(self)
        now = session.current()
        now.check_runtime_once()
        settings = interpolation_settings(open_scene(context))
        column = column_of(layout)
        for parameter in shown(INTERPOLATION_METHOD, advanced=False):
            column.prop(settings, parameter.name)
        row = layout.row()
        row.scale_y = 1.4
        row.operator("gen3d.interpolate", icon="MOD_ARRAY")
        draw_weights(layout, context, now)
        draw_state(layout, context, now)


class GEN3D_PT_interpolation_advanced(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_interpolation_advanced"
    bl_parent_id = "GEN3D_PT_interpolation"
    bl_label = "Advanced"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column = column_of(layout_of(self))
        for parameter in shown(INTERPOLATION_METHOD, advanced=True):
            column.prop(interpolation_settings(open_scene(context)), parameter.name)


class GEN3D_PT_active_object(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_active_object"
    bl_label = "Active Object"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return scene.recipe_of(context.active_object) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(self)
        recipe = scene.recipe_of(context.active_object)
        if recipe is None:
            return
        draw_sentence(layout, context, f"{recipe.title}, seed {recipe.seed}", "TEXT")
        row = layout.row(align=True)
        row.operator("gen3d.regenerate", icon="FILE_REFRESH")
        if recipe.found_method.seeded:
            row.operator("gen3d.variations", icon="DUPLICATE")
        if scene.siblings(context.active_object, open_scene(context)):
            layout.operator("gen3d.keep", icon="CHECKMARK")


class GEN3D_UL_history(bpy.types.UIList):
    """Jobs, newest first."""

    def draw_item(
        self,
        _context: bpy.types.Context,
        layout: bpy.types.UILayout,
        _data: Any,
        item: Any,
        _icon: int,
        _active_data: Any,
        _active_property: str,
    ) -> None:
        job = session.current().queue.find(item.job)
        if job is None:
            return
        row = layout.split(factor=0.8)
        row.label(text=job.title, icon=ICONS[job.state])
        right = row.row()
        right.alignment = "RIGHT"
        if job.state.over:
            right.label(text=in_words(job.seconds) if job.seconds else "")
        else:
            right.operator("gen3d.cancel", text="", icon="X", emboss=False).job = job.number


class GEN3D_PT_history(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_history"
    bl_label = "History"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(self)
        shown = session_state(context)
        layout.template_list("GEN3D_UL_history", "", shown, "history", shown, "history_index", rows=4)
        index = shown.history_index
        job = session.current().queue.find(shown.history[index].job) if 0 <= index < len(shown.history) else None
        if job is not None:
            draw_job(layout, context, job)
        layout.operator("gen3d.clear_history", icon="TRASH")


class GEN3D_PT_worker(Sidebar, bpy.types.Panel):
    bl_idname = "GEN3D_PT_worker"
    bl_label = "Worker"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(self)
        draw_health(layout, context, session.current().health)
        row = layout.row(align=True)
        row.operator("gen3d.open_preferences", icon="PREFERENCES")
        row.operator("gen3d.free_memory", icon="X")


def column_of(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A column in which properties stand as Blender's own do: name on the left, value on the right."""
    column = layout.column(align=True)
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def draw_weights(layout: bpy.types.UILayout, context: bpy.types.Context, now: session.Session) -> None:
    """How much of each selected mesh the blend has: one slider for two, one for each of more."""
    settings = interpolation_settings(open_scene(context))
    meshes = [item for item in in_order(context) if item.type == "MESH"]
    if len(meshes) == 2:
        layout.prop(settings, "share", text=f"{meshes[0].name} – {meshes[1].name}", slider=True)
    elif 2 < len(meshes) <= MOST_MESHES:
        column = column_of(layout)
        for index, item in enumerate(meshes):
            column.prop(settings, "shares", index=index, text=item.name, slider=True)
    else:
        return
    layout.operator("gen3d.blend", icon="MOD_DISPLACE")
    if now.previews:
        layout.operator("gen3d.hide_preview", icon="X")


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context, now: session.Session) -> None:
    """What goes on, and what the user should know."""
    if now.queue.busy:
        draw_progress(layout, now)
    draw_messages(layout, context, now)


def draw_progress(layout: bpy.types.UILayout, now: session.Session) -> None:
    """The running job's bar with its stage and time left, how many wait, and Cancel."""
    queue = now.queue
    job, waiting = queue.running, len(queue.waiting)
    time_left = queue.time_left
    if job is not None and job.cancelling:
        text = "Cancelling …"
    elif job is None or not time_left.stage:
        text = "Starting the worker …"
    else:
        text = f"{time_left.stage} · {in_words(time_left.seconds_left(queue.elapsed()))} left"
    layout.progress(factor=time_left.overall() if job is not None else 0.0, type="BAR", text=text)
    layout.operator("gen3d.cancel", text="Cancel All" if waiting else "Cancel", icon="X")
    if waiting:
        layout.label(text=f"{waiting} more waiting", icon="SORTTIME")


def draw_messages(layout: bpy.types.UILayout, context: bpy.types.Context, now: session.Session) -> None:
    """What went wrong, what the user should know, and what keeps the worker from starting."""
    health = now.health.health
    if health is not None and not health.ok:
        box = layout.box()
        draw_health(box, context, now.health)
        box.operator("gen3d.open_preferences", icon="PREFERENCES")
    if now.placing:
        draw_sentence(
            layout, context, "A result is ready: it appears when you are in Object Mode and nothing renders.", "INFO"
        )
    if now.error or now.notes:
        box = layout.box()
        if now.error:
            draw_sentence(box, context, now.error, "ERROR")
        for note in now.notes:
            draw_sentence(box, context, note, "INFO")
        box.operator("gen3d.dismiss", text="Dismiss", icon="X")


def draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """What can be done with the chosen job of the history."""
    if job.message:
        draw_sentence(layout, context, job.message, "ERROR")
    if job.result is not None:
        layout.operator("gen3d.add_to_scene", icon="ADD").job = job.number
    row = layout.row(align=True)
    row.operator("gen3d.regenerate", icon="FILE_REFRESH").job = job.number
    if job.recipe.found_method.seeded:
        row.operator("gen3d.variations", icon="DUPLICATE").job = job.number
