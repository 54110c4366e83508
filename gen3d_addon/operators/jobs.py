"""Jobs: cancel, make again, vary, add a kept result to the scene, forget."""

from __future__ import annotations

import dataclasses

import bpy

from .. import extension, properties, scene, session
from ..backend.recipe import InputError, Recipe
from . import Answer
from .refusal import refuse

JOB = {
    "name": "Job",
    "description": "Number of the job in the history; 0 stands for the active object",
    "options": {"HIDDEN", "SKIP_SAVE"},
}


def recipe_from(job: int, context: bpy.types.Context) -> Recipe:
    """The recipe of a job of the history or, when `job` is 0, of the active object. Raises `InputError`."""
    if job == 0:
        recipe = scene.recipe_of(context.active_object)
        if recipe is None:
            raise InputError("The active object carries no recipe: select an object that Gen3D made.")
        return recipe
    found = session.current().queue.find(job)
    if found is None:
        raise InputError("That job is no longer in the history: choose another one.")
    return found.recipe


class GEN3D_OT_cancel(bpy.types.Operator):
    """Stop the generation; nothing is added to the scene"""

    bl_idname = "gen3d.cancel"
    bl_label = "Cancel"

    job: bpy.props.IntProperty(**JOB)  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> Answer:
        queue = session.current().queue
        if self.job == 0:
            queue.cancel_all()
        elif (job := queue.find(self.job)) is not None:
            queue.cancel(job)
        session.current().changed()
        return {"FINISHED"}


class GEN3D_OT_stop_and_keep(bpy.types.Operator):
    """Stop the optimisation here and finish the mesh with what has come of it"""

    bl_idname = "gen3d.stop_and_keep"
    bl_label = "Stop and Keep"

    def execute(self, context: bpy.types.Context) -> Answer:
        queue = session.current().queue
        if (job := queue.running) is not None:
            queue.keep(job)
        session.current().changed()
        return {"FINISHED"}


class GEN3D_OT_regenerate(bpy.types.Operator):
    """Make the same mesh again from its recipe: same prompt, settings and seed"""

    bl_idname = "gen3d.regenerate"
    bl_label = "Regenerate"

    job: bpy.props.IntProperty(**JOB)  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            session.current().submit([recipe_from(self.job, context)], extension.open_scene(context))
        except InputError as error:
            return refuse(self, error)
        return {"FINISHED"}


class GEN3D_OT_variations(bpy.types.Operator):
    """Make more meshes from the recipe, each with another seed"""

    bl_idname = "gen3d.variations"
    bl_label = "Variations"

    job: bpy.props.IntProperty(**JOB)  # type: ignore[valid-type]
    count: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Count",
        description="How many to make; each takes the next seed that this scene has not used",
        default=3,
        min=1,
        max=properties.MOST_VARIATIONS,
    )

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            recipe, where = recipe_from(self.job, context), extension.open_scene(context)
            session.current().submit(self._varied(recipe, where), where)
        except InputError as error:
            return refuse(self, error)
        return {"FINISHED"}

    def _varied(self, recipe: Recipe, where: bpy.types.Scene) -> list[Recipe]:
        known = [found for found in map(scene.recipe_of, where.objects) if found is not None]
        known += [job.recipe for job in session.current().queue.jobs]
        used = {recipe.seed} | {found.seed for found in known if scene.is_variation(found, recipe)}
        following = properties.following_seeds(recipe.seed, self.count + len(used))
        seeds = [seed for seed in following if seed not in used][: self.count]
        # A variation need not come from the weights of the first one, so an older recipe can still be varied.
        return [dataclasses.replace(recipe, seed=seed, weights={}) for seed in seeds]


class GEN3D_OT_add_to_scene(bpy.types.Operator):
    """Add the result to this scene, because the scene that it was made for is gone"""

    bl_idname = "gen3d.add_to_scene"
    bl_label = "Add to Scene"

    job: bpy.props.IntProperty(**JOB)  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT"

    def execute(self, context: bpy.types.Context) -> Answer:
        job = session.current().queue.find(self.job)
        if job is None or job.result is None:
            return refuse(self, InputError("That job has no result to add: choose another one."))
        session.current().dismiss()
        session.current().place(job, extension.open_scene(context))
        session.current().changed()
        return {"FINISHED"}


class GEN3D_OT_clear_history(bpy.types.Operator):
    """Forget the jobs that are over; objects in the scene stay"""

    bl_idname = "gen3d.clear_history"
    bl_label = "Clear History"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return any(job.state.over for job in session.current().queue.jobs)

    def execute(self, context: bpy.types.Context) -> Answer:
        session.current().queue.clear_history()
        session.current().changed()
        return {"FINISHED"}


class GEN3D_OT_dismiss(bpy.types.Operator):
    """Hide this message"""

    bl_idname = "gen3d.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> Answer:
        session.current().dismiss()
        session.current().changed()
        return {"FINISHED"}
