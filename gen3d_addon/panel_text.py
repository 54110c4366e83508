"""Sentences in a panel: wrapped to its width, with an icon before the first line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import blf
import bpy

from .runtime import HealthCheck

BESIDE_TEXT = 96  # pixels at scale 1 that the text does not have: icon, margins, a box around it, the sidebar's tabs
DEFAULT_WIDTH = 280  # pixels, where there is no region to ask
DEFAULT_POINTS = 11.0


def wrap(sentence: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Breaks `sentence` into lines no wider than `width`, as `measure` tells; a word that is wider by itself (a path)
    is broken where it must be."""
    lines: list[str] = []
    line = ""
    for word in sentence.split():
        longer = f"{line} {word}" if line else word
        if measure(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while measure(line) > width and len(line) > 1:
            fits = next((end for end in range(len(line) - 1, 1, -1) if measure(line[:end]) <= width), 1)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


def layout_of(panel: bpy.types.Panel | bpy.types.AddonPreferences) -> bpy.types.UILayout:
    """Where a panel draws: the stubs call it optional, but while it draws it is there."""
    assert panel.layout is not None
    return panel.layout


def draw_sentence(layout: bpy.types.UILayout, context: bpy.types.Context, sentence: str, icon: Any) -> None:
    """Draws the sentence as a narrow column of labels."""
    region = context.region
    scale = context.preferences.system.ui_scale or 1.0
    width = (region.width if region is not None else DEFAULT_WIDTH * scale) - BESIDE_TEXT * scale
    styles = context.preferences.ui_styles
    blf.size(0, (styles[0].widget.points if styles else DEFAULT_POINTS) * scale)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(wrap(sentence, width, lambda text: blf.dimensions(0, text)[0])):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


def draw_health(layout: bpy.types.UILayout, context: bpy.types.Context, check: HealthCheck) -> None:
    """What is known of the worker's interpreter, and a button that asks it again."""
    row = layout.row()
    if check.running:
        row.label(text="Checking the worker's Python …", icon="SORTTIME")
    elif check.health is None:
        row.label(text="The worker's Python is not checked yet", icon="QUESTION")
    else:
        draw_sentence(row, context, check.health.sentence, "CHECKMARK" if check.health.ok else "ERROR")
    row.operator("gen3d.check_runtime", text="", icon="FILE_REFRESH")
