"""Headless runs: read recipes, have the worker make them, write meshes, .blend files and pictures.

GLB files are written by the backend's own `write_mesh`, not by Blender's exporter: so the file holds what
`python -m backend` writes from the same recipe, whatever the version of Blender and its exporter's settings. (That
module needs NumPy alone, as all that the add-on imports of the backend.) A .blend holds the object as the panel would
have added it; with a picture asked for, the studio is in it too.

Meant for a process of its own: the open scene is replaced by an empty one for each job that needs one.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from . import scene, session, studio
from .backend.data.mesh_files import named_views, write_files, write_mesh
from .backend.recipe import Cancelled, InputError, MachineError, Recipe, Result
from .files import replacing
from .jobs import JobQueue
from .manifest import Manifest, file_names
from .progress_line import ProgressLine


@dataclass(frozen=True)
class Options:
    """What to make of each recipe, and where. `size` in pixels; `threads` 0 takes all cores."""

    folder: Path
    formats: tuple[str, ...] = ("glb",)
    render: bool = False
    size: int = 600
    samples: int = 16
    threads: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of files that a finished job has."""
        return (*self.formats, "png") if self.render else self.formats


@dataclass(frozen=True)
class Request:
    """One line of the jobs file: its recipe, or one sentence on why it is none."""

    line: int
    recipe: Recipe | None
    error: str = ""


def main(jobs: Path, options: Options) -> int:
    """Run a jobs file with a worker of its own; errors go to stderr in one sentence each. Returns the exit code."""
    queue = JobQueue(session.start_worker)
    try:
        return run(read_requests(jobs), options, queue)
    except (InputError, MachineError, Cancelled) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        return Cancelled.exit_code
    finally:
        queue.stop_worker()


def read_requests(jobs: Path) -> list[Request]:
    """The requests of a JSONL file, empty lines passed over.

    Raises:
        InputError: the file cannot be read or asks for nothing.
    """
    try:
        lines = jobs.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"The jobs file {jobs} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The jobs file {jobs} is not UTF-8 text: save it as such.") from error
    requests = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            requests.append(Request(number, read_recipe(line)))
        except InputError as error:
            requests.append(Request(number, None, str(error)))
    if not requests:
        raise InputError(f"The jobs file {jobs} is empty: write one recipe a line.")
    return requests


def read_recipe(line: str) -> Recipe:
    """A recipe from one line: whole (with "inputs", maybe "weights"), or only the values that differ from the defaults.

    Raises:
        InputError: the line is no recipe.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict) and not {"inputs", "weights"} & set(fields):
        return Recipe.create(**fields)
    return Recipe.from_json(line)


def run(requests: list[Request], options: Options, queue: JobQueue) -> int:
    """Make every request that is not made yet; returns the gravest exit code of all.

    Bad lines and failed jobs do not stop the others, but the same failure of the machine twice in a row does: the next
    job would meet it too.

    Raises:
        MachineError: the folder cannot be written to.
        Cancelled: Ctrl-C; what is finished stays, and the next run goes on from there.
    """
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"The folder {options.folder} cannot be made: {error.strerror or error}.") from error
    manifest = Manifest(options.folder)
    exit_code = 0
    failure_before = ""
    for position, request in enumerate(requests, start=1):
        if request.recipe is None:
            exit_code = max(exit_code, _report(manifest, request, InputError(request.error)))
            continue
        if manifest.is_finished(request.recipe, options.kinds):
            print(f"[{position}/{len(requests)}] Made before: {file_stem(request.recipe)}", file=sys.stderr)
            continue
        line = ProgressLine(
            f"[{position}/{len(requests)}] {scene.object_name(request.recipe)}, seed {request.recipe.seed}"
        )
        try:
            entry = make(request.recipe, options, queue, line)
        except (InputError, MachineError) as error:
            line.end()
            exit_code = max(exit_code, _report(manifest, request, error))
            if isinstance(error, MachineError) and str(error) == failure_before:
                break
            failure_before = str(error)
            continue
        line.end()
        failure_before = ""
        manifest.add(entry)
        for names in entry["outputs"].values():
            for name in file_names(names):
                print(options.folder / name, flush=True)
    return exit_code


def make(request: Recipe, options: Options, queue: JobQueue, progress: ProgressLine) -> dict[str, Any]:
    """Generate one recipe and write its files; returns its entry for the manifest. Raises as `JobQueue.run` does."""
    result = queue.run(request, progress=progress)
    outputs: dict[str, Any] = {kind: f"{file_stem(request)}.{kind}" for kind in options.kinds}
    if "glb" in outputs and result.following:
        outputs["glb"] = [f"{file_stem(request)}-{number:02}.glb" for number in range(1, len(result.meshes) + 1)]
        for name, mesh in zip(outputs["glb"], result.meshes, strict=True):
            write_mesh(options.folder / name, mesh, result.transform)
    elif "glb" in outputs:
        write_mesh(options.folder / outputs["glb"], result.mesh, result.transform, result.shape_keys)
    if result.views is not None:
        files = named_views(options.folder / file_stem(request), result.views)
        write_files(files)
        outputs["views"] = [path.name for path in files]
    if "blend" in outputs or "png" in outputs:
        _write_scene(result, options, outputs, progress)
    return {
        "request": request.to_dict(),
        "status": "done",
        "outputs": outputs,
        "recipe": result.recipe.to_dict(),
        "seconds": result.timings,
        "notes": result.notes,
    }


def file_stem(request: Recipe) -> str:
    """A name for the files of a recipe: readable, the same in every run, and different for different recipes."""
    words = re.sub(r"[^a-z0-9]+", "-", scene.object_name(request).lower()).strip("-")
    digest = hashlib.sha256(request.to_json().encode()).hexdigest()
    return f"{words[:48]}-seed{request.seed}-{digest[:8]}"


def _write_scene(result: Result, options: Options, outputs: dict[str, str], progress: ProgressLine) -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    target = bpy.context.scene
    items = scene.add_results(target, result)
    if "png" in outputs:
        progress("Rendering", 0.0)
        studio.build(target, items)
        studio.render(
            target, options.folder / outputs["png"], size=options.size, samples=options.samples, threads=options.threads
        )
    if "blend" in outputs:
        with replacing(options.folder / outputs["blend"]) as unfinished:
            try:
                bpy.ops.wm.save_as_mainfile(filepath=str(unfinished), copy=True, compress=True)
            except RuntimeError as error:
                raise MachineError(f"{outputs['blend']} could not be saved: {str(error).strip()}") from error


def _report(manifest: Manifest, request: Request, error: InputError | MachineError) -> int:
    """Tell stderr and the manifest why a request failed; returns its exit code."""
    print(f"Line {request.line}: {error}", file=sys.stderr)
    entry = {"status": "failed", "line": request.line, "error": str(error), "exit_code": error.exit_code}
    if request.recipe is not None:
        entry["request"] = request.recipe.to_dict()
    manifest.add(entry)
    return error.exit_code
