"""What every task's panel says of the work that goes on: progress, pictures of it, and what the user should know."""

from __future__ import annotations

import math

import bpy

from . import glimpses, session
from .backend.progress import FITTING
from .panel_text import draw_health, draw_sentence
from .time_left import in_words
from .worker_client import Glimpsed


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context, now: session.Session, task: str) -> None:
    """What goes on, and what the user should know; pictures of the work in the panel of its own task."""
    if now.queue.busy:
        draw_progress(layout, now, task)
    draw_messages(layout, context, now)


def draw_progress(layout: bpy.types.UILayout, now: session.Session, task: str) -> None:
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
    if job is not None and job.recipe.task == task and job.glimpse is not None:
        draw_glimpse(layout, job.glimpse)
    row = layout.row(align=True)
    if job is not None and job.recipe.found_method.optimized:
        keep = row.row(align=True)
        keep.enabled = time_left.stage == FITTING and not job.keeping
        keep.operator("gen3d.stop_and_keep", icon="CHECKMARK")
    row.operator("gen3d.cancel", text="Cancel All" if waiting else "Cancel", icon="X")
    if waiting:
        layout.label(text=f"{waiting} more waiting", icon="SORTTIME")


def draw_glimpse(layout: bpy.types.UILayout, glimpse: Glimpsed) -> None:
    """The picture that the running job has shown last, and the loss where there is one."""
    box = layout.box()
    if (icon := glimpses.icon_of(glimpse)) is not None:
        box.template_icon(icon_value=icon, scale=8.0)
    loss = "" if math.isnan(glimpse.loss) else f" · loss {glimpse.loss:.4f}"
    box.label(text=glimpse.caption + loss)


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
