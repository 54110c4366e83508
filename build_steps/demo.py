"""`build.py demo`: one sentence → a mesh → a Blender scene, with a picture of it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import environment
from .blender import find_blender
from .failure import StepFailed
from .paths import REPOSITORY
from .processes import run, run_quietly

HEADLESS = REPOSITORY / "gen3d_addon" / "headless.py"
SAMPLES = 24


def demo(prompt: str, seed: int, out: Path) -> int:
    """Generate the prompt's model and write .blend, .glb and .png to the folder `out`; returns the exit code."""
    started = time.monotonic()
    python = environment.prepare(environment.DEMO)
    program = scene_program(python)
    prepared = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
        # The files are made in a folder of their own and moved when all are whole.
        with tempfile.TemporaryDirectory(dir=out, prefix=".unfinished-") as name:
            unfinished = Path(name).absolute()
            jobs = unfinished / "jobs.jsonl"
            jobs.write_text(json.dumps({"prompt": prompt, "seed": seed}) + "\n", encoding="utf-8")
            arguments = [str(jobs), "--out", str(unfinished), "--format", "blend", "glb", "--render"]
            command = [*program, "--", *arguments, "--samples", str(SAMPLES)]
            code = run(command, settings={"GEN3D_PYTHON": str(python)}, silent=True)
            if code < 0:
                raise StepFailed(
                    f"Blender was ended by signal {-code}, perhaps because the memory ran out: close other programs "
                    "and run this again."
                )
            if code > 0:
                return code
            entry = json.loads((unfinished / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[-1])
            files = move_files(unfinished, entry["outputs"], out)
    except OSError as error:
        raise StepFailed(
            f"The folder {out} cannot be written ({error.strerror}): make room there or choose another one with --out."
        ) from error
    report(entry, files, prepared - started, time.monotonic() - prepared)
    return 0


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


def move_files(source: Path, outputs: dict[str, str], target: Path) -> list[Path]:
    """Move the finished files (ending → name) to `target`, and return where they are now.

    A headless run's names end in a hash of the recipe; here the last demo of a prompt and seed takes the place of the
    one before.
    """
    moved = []
    for kind, name in outputs.items():
        path = target / f"{name.rpartition('-')[0]}.{kind}"
        os.replace(source / name, path)
        moved.append(path)
    return moved


def report(entry: dict[str, Any], files: list[Path], preparing: float, making: float) -> None:
    """Print where the files are, and how long each stage took; seconds of `preparing` and of all of the `making`."""
    stages: dict[str, float] = entry["seconds"]
    around = making - sum(stages.values())
    for stage, seconds in {"Environment": preparing, **stages, "Scene and picture": around}.items():
        print(f"{stage:<20}{seconds:8.1f} s")
    for note in entry["notes"]:
        print(note)
    for path in files:
        print(path)
    sys.stdout.flush()
