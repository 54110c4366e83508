"""Finding an installed Blender."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .failure import BAD_ARGUMENTS, StepFailed

USUAL_PLACES = (Path("/Applications/Blender.app/Contents/MacOS/Blender"),)


def find_blender() -> Path | None:
    """GEN3D_BLENDER, else `blender` on the PATH, else where its installer puts it; None where there is no Blender.

    Raises StepFailed when GEN3D_BLENDER is set to something that cannot be run.
    """
    if asked := os.environ.get("GEN3D_BLENDER"):
        if not (found := shutil.which(asked)):
            raise StepFailed(
                f"GEN3D_BLENDER is set to {asked}, which is no program: set it to Blender's own file or unset it.",
                BAD_ARGUMENTS,
            )
        return Path(found)
    if found := shutil.which("blender"):
        return Path(found)
    return next((place for place in USUAL_PLACES if place.is_file()), None)
