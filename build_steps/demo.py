"""`build.py demo`: one sentence → a mesh → a Blender scene, with a picture of it."""

from __future__ import annotations

import json
from pathlib import Path

from . import environment
from .blender import find_blender
from .environment import explain_os_error
from .failure import StepFailed
from .paths import OUTPUT, REPOSITORY
from .processes import run, run_quietly

HEADLESS = REPOSITORY / "gen3d_addon" / "headless.py"


def demo(prompt: str, seed: int, out: Path) -> int:
    """Generate the prompt's model and write .blend, .glb and .png to the folder `out`; returns the exit code."""
    python = environment.prepare(environment.DEMO)
    jobs = OUTPUT / "demo.jsonl"
    recipe = {"task": "text_to_3d", "method": "latent prior", "inputs": {"prompt": prompt}, "seed": seed}
    try:
        jobs.write_text(json.dumps(recipe) + "\n", encoding="utf-8")
    except OSError as error:
        raise StepFailed(explain_os_error(error)) from error
    arguments = ["--", str(jobs), "--out", str(out.absolute()), "--format", "blend", "--format", "glb", "--render"]
    return run([*scene_program(python), *arguments], settings={"GEN3D_PYTHON": str(python)})


def scene_program(python: Path) -> list[str]:
    """The command that runs headless.py with Blender: Blender as a module where it is published, else as a program.

    Raises StepFailed where there is neither.
    """
    code, output = run_quietly([python, "-c", "import bpy"], "Starting Blender")
    if code == 0:
        return [str(python), str(HEADLESS)]
    if blender := find_blender():
        return [str(blender), "-b", "--factory-startup", "--python-exit-code", "3", "--python", str(HEADLESS)]
    cause = output.strip().splitlines()[-1] if output.strip() else f"code {code}"
    raise StepFailed(
        f"There is no Blender for the scene ({cause}): install Blender 4.2 or later, set GEN3D_BLENDER to "
        "its program, and run this again."
    )
