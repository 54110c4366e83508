"""Generate without a window: one recipe a line in, meshes and pictures out.

    blender -b --python gen3d_addon/headless.py -- jobs.jsonl --out folder/ [--format glb blend] [--render] [--size 600]
    blender -c gen3d jobs.jsonl --out folder/ …            once the extension is installed
    python gen3d_addon/headless.py jobs.jsonl --out folder/ …            with the bpy module

A line is a recipe as `Recipe.to_json()` writes it, or only what differs from the defaults:

    {"prompt": "a wooden armchair", "seed": 4, "detail": 96}

The folder gets the files and manifest.jsonl, which tells for every job what became of it. A job whose files are there
already, from the same recipe, is skipped, so a run that was stopped goes on where it was. A bad line does not stop the
others. Paths of finished files go to stdout, progress and errors to stderr.

Exit codes: 0 done, 2 bad input, 3 the machine cannot, 130 cancelled.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

PACKAGE = "gen3d"


def load_addon() -> ModuleType:
    """The add-on's package from a checkout: `gen3d`, made of this folder, with `backend/` beside it inside.

    In the installed extension both are one folder already. `sys.path` is left alone; a second call gives the same
    module.
    """
    if PACKAGE in sys.modules:
        return sys.modules[PACKAGE]
    folder = Path(__file__).resolve().parent
    places = [str(folder), str(folder.parent)]
    spec = importlib.util.spec_from_file_location(PACKAGE, folder / "__init__.py", submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is not the add-on's folder.")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    try:
        spec.loader.exec_module(package)
    except BaseException:
        del sys.modules[PACKAGE]
        raise
    return package


def main(arguments: Sequence[str]) -> int:
    """Run the jobs that the command line asks for and return the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # argparse has printed help or what is wrong
        return stop.code if isinstance(stop.code, int) else 2
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender's own waits for the end of the script
    batch = importlib.import_module(f"{__package__ or load_addon().__name__}.batch")
    return batch.main(
        options.jobs,
        batch.Options(
            folder=options.out,
            formats=tuple(dict.fromkeys(options.format)),
            render=options.render,
            size=options.size,
            samples=options.samples,
            threads=options.threads,
        ),
    )


def script_arguments(argv: Sequence[str]) -> list[str]:
    """What is meant for this script: all after "--" when Blender runs it, all after its own name when Python does."""
    if "--" in argv:
        return list(argv[argv.index("--") + 1 :])
    run_by_python = Path(argv[0]).name == Path(__file__).name
    return list(argv[1:]) if run_by_python else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PACKAGE, description="Generate 3D models from recipes, one JSON object a line."
    )
    parser.add_argument("jobs", type=Path, help="the recipes: a JSONL file")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the results go")
    parser.add_argument("--format", nargs="+", choices=("glb", "blend"), default=["glb"], help="files for each job")
    parser.add_argument("--render", action="store_true", help="also render a picture (PNG) of each object")
    parser.add_argument("--size", type=_within(16, 8192), default=600, help="pixels along the picture's sides")
    parser.add_argument("--samples", type=_within(1, 4096), default=16, help="samples for each pixel")
    parser.add_argument("--threads", type=_within(0, 1024), default=0, help="for rendering; 0 takes all cores")
    return parser


def _within(low: int, high: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must lie between {low} and {high}, not {value}")
        return value

    return whole_number


if __name__ == "__main__":
    sys.exit(main(script_arguments(sys.argv)))
