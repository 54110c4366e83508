"""build.py's arguments and exit codes: 0 done, 1 a check failed, 2 bad input, 3 the machine cannot, 130 cancelled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import demo, extension, modules, test
from .failure import CANCELLED, StepFailed
from .processes import end_on_terminate


def parser() -> argparse.ArgumentParser:
    """The commands. What follows the name of a test, training or benchmark is handed on as it stands."""
    result = argparse.ArgumentParser(
        prog="build.py", description="Each command sets up what it needs in .venv/, once, and then does its work."
    )
    commands = result.add_subparsers(dest="command", required=True, metavar="demo|test|build|train|bench")

    command = commands.add_parser("demo", help="make a model from a sentence, and a scene and a picture of it")
    command.add_argument("prompt", help='what to make, for example "a wooden armchair"')
    command.add_argument("--seed", type=int, default=0, help="another seed gives another model (default: 0)")
    command.add_argument("--out", type=Path, default=Path("output"), help="folder for the files (default: output)")

    command = commands.add_parser("test", help="lint, types and every test that this machine can run")
    command.add_argument("pytest", nargs=argparse.REMAINDER, help="arguments for pytest; then only pytest runs")

    commands.add_parser("build", help="write the extension's zip, and check it where there is a Blender")

    for name, what in (("train", "train the shape space, or the model named"), ("bench", "measure one part")):
        command = commands.add_parser(name, help=what, add_help=False)
        command.add_argument("name", help="which one")
        command.add_argument("arguments", nargs=argparse.REMAINDER, help="its own arguments")
    return result


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments, read. Options in front of pytest's first file or name are pytest's too, and a training without a
    name is that of the shape space."""
    arguments = list(arguments)
    if arguments[:1] == ["train"] and arguments[1:2] and arguments[1].startswith("-"):
        arguments.insert(1, modules.SHAPE_SPACE)
    read, unknown = parser().parse_known_args(arguments)
    if unknown and read.command != "test":
        parser().error(f"unrecognized arguments: {' '.join(unknown)}")
    if unknown:
        read.pytest = [*unknown, *read.pytest]
    return read


def run_command(arguments: argparse.Namespace) -> int:
    """Do what the arguments ask for; returns the exit code."""
    match arguments.command:
        case "demo":
            return demo.demo(arguments.prompt, arguments.seed, arguments.out)
        case "test":
            return test.test(arguments.pytest)
        case "build":
            return extension.build()
        case "train":
            return modules.train(arguments.name, arguments.arguments)
        case command:
            assert command == "bench"
            return modules.bench(arguments.name, arguments.arguments)


def main(arguments: Sequence[str]) -> int:
    """What build.py does; returns its exit code. Errors go to standard error in one sentence."""
    end_on_terminate()
    try:
        return run_command(parse(arguments))
    except StepFailed as failure:
        print(f"build.py: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        print("\nbuild.py: cancelled.", file=sys.stderr)
        return CANCELLED
