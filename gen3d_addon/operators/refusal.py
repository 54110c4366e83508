"""How an operator says no."""

from __future__ import annotations

import bpy

from .. import session
from ..backend.recipe import InputError, MachineError
from . import Answer


def refuse(operator: bpy.types.Operator, error: InputError | MachineError) -> Answer:
    """The answer to bad input: its sentence stands in the panel, and nothing else changes.

    Without a window there is no panel: a script hears of it as an exception (RuntimeError).
    """
    now = session.current()
    now.dismiss()
    now.error = str(error)
    now.changed()
    if bpy.app.background:
        operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}
