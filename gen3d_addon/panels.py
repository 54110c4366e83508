"""The Gen3D tab in the 3D viewport's sidebar. Drawing only: what is shown comes from the session and the scene."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import bpy

from . import scene, session
from .backend.recipe import BUNDLED, MOST_MESHES
from .extension import open_scene
from .jobs import Job, JobState
from .panel_state import draw_glimpse, draw_state
from .panel_text import draw_health, draw_sentence, layout_of
from .partial_shape import in_order
from .properties import (
    BOX,
    COMPLETION,
    IMAGE,
    INTERPOLATION,
    TEXT,
    chosen_method,
    interpolation_settings,
    session_state,
    settings_of,
    shown,
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


class TaskPanel(Sidebar):
    """What the panels of all tasks share: what it is made from, which method, its settings, the button, what goes on.

    Subclasses say which task it is, which operator starts it with which icon, and draw what is the task's own.
    """

    task: str
    operator: str
    icon: Any

    def draw(self, context: bpy.types.Context) -> None:
        layout = layout_of(cast("bpy.types.Panel", self))
        now = session.current()
        now.check_runtime_once()
        settings = self.settings(context)
        self.draw_inputs(layout, settings)
        column = column_of(layout)
        method = chosen_method(settings, self.task)
        if hasattr(settings, "method"):
            column.prop(settings, "method")
        if method.seeded:
            row = column.row(align=True)
            row.prop(settings, "seed")
            row.operator("gen3d.random_seed", text="", icon="FILE_REFRESH").task = self.task
            column.prop(settings, "variations")
        for parameter in shown(method, advanced=False):
            column.prop(settings, parameter.name)
        row = layout.row()
        row.scale_y = 1.4
        row.operator(self.operator, icon=self.icon)
        self.draw_more(layout, context, now)
        draw_state(layout, context, now, self.task)

    def settings(self, context: bpy.types.Context) -> Any:
        """The scene's settings of this task."""
        return settings_of(self.task, open_scene(context))

    def draw_inputs(self, layout: bpy.types.UILayout, settings: Any) -> None:
        """What it is made from."""

    def draw_more(self, layout: bpy.types.UILayout, context: bpy.types.Context, now: session.Session) -> None:
        """What else can be done, below the button."""


class AdvancedPanel(Sidebar):
    """The settings of a task's method that are folded away."""

    bl_label = "Advanced"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}
    task: str
    published_by = ""
    """The setting that chooses a published model, where there is one: then it is asked where that model's files are."""

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(self.task, open_scene(context))
        column = column_of(layout_of(cast("bpy.types.Panel", self)))
        method = chosen_method(settings, self.task)
        for parameter in shown(method, advanced=True):
            column.prop(settings, parameter.name)
        if self.published_by and "checkpoint" in method.optional_inputs:
            files = column.row()
            files.enabled = getattr(settings, self.published_by) != BUNDLED
            files.prop(settings, "checkpoint")


class GEN3D_PT_text(TaskPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_text"
    bl_label = "Text to 3D"
    task, operator, icon = TEXT, "gen3d.generate_text", "MESH_MONKEY"

    def draw_inputs(self, layout: bpy.types.UILayout, settings: Any) -> None:
        layout.prop(settings, "prompt", text="", icon="TEXT")


class GEN3D_PT_text_advanced(AdvancedPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_text_advanced"
    bl_parent_id = "GEN3D_PT_text"
    task = TEXT
    published_by = "text_prior"


class GEN3D_PT_image(TaskPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_image"
    bl_label = "Image to 3D"
    bl_options = {"DEFAULT_CLOSED"}
    task, operator, icon = IMAGE, "gen3d.generate_image", "IMAGE_DATA"

    def draw_inputs(self, layout: bpy.types.UILayout, settings: Any) -> None:
        layout.template_ID(settings, "picture", open="image.open")
        row = layout.row(align=True)
        row.operator("gen3d.paste_picture", icon="PASTEDOWN")
        row.operator("gen3d.render_picture", icon="RENDER_STILL")
        if settings.picture is not None:
            layout.template_icon(icon_value=settings.picture.preview_ensure().icon_id, scale=6.0)
        column = column_of(layout)
        column.template_ID(settings, "mask", open="image.open", text="Mask")
        column.prop(settings, "mask_model")
        layout.operator("gen3d.preview_mask", icon="IMAGE_ALPHA")
        if (seen := session.current().look_at(settings.picture)) is not None:
            draw_glimpse(layout, seen)
        column_of(layout).prop(settings, "prompt")


class GEN3D_PT_image_advanced(AdvancedPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_image_advanced"
    bl_parent_id = "GEN3D_PT_image"
    task = IMAGE
    published_by = "view_model"


class GEN3D_PT_completion(TaskPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_completion"
    bl_label = "Shape Completion"
    bl_options = {"DEFAULT_CLOSED"}
    task, operator, icon = COMPLETION, "gen3d.complete", "MOD_MIRROR"

    def draw_inputs(self, layout: bpy.types.UILayout, settings: Any) -> None:
        layout.row().prop(settings, "known", expand=True)
        column = column_of(layout)
        if settings.known == BOX:
            column.prop(settings, "box")
        for name in chosen_method(settings, self.task).optional_inputs:
            column.prop(settings, name)


class GEN3D_PT_completion_advanced(AdvancedPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_completion_advanced"
    bl_parent_id = "GEN3D_PT_completion"
    task = COMPLETION


class GEN3D_PT_interpolation(TaskPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_interpolation"
    bl_label = "Latent Interpolation"
    bl_options = {"DEFAULT_CLOSED"}
    task, operator, icon = INTERPOLATION, "gen3d.interpolate", "MOD_ARRAY"

    def draw_more(self, layout: bpy.types.UILayout, context: bpy.types.Context, now: session.Session) -> None:
        draw_weights(layout, context, now)


class GEN3D_PT_interpolation_advanced(AdvancedPanel, bpy.types.Panel):
    bl_idname = "GEN3D_PT_interpolation_advanced"
    bl_parent_id = "GEN3D_PT_interpolation"
    task = INTERPOLATION


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
        if scene.viewpoint_of(context.active_object) is not None:
            layout.operator("gen3d.add_camera", icon="CAMERA_DATA")
        if scene.views_of(context.active_object):
            layout.operator("gen3d.save_views", icon="FILE_FOLDER")
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
