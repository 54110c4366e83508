"""The command line: results on stdout, progress and errors on stderr.

    python -m backend text "a wooden armchair" --seed 0 --out chair.glb
    python -m backend encode chair.glb --out chair.safetensors
    python -m backend decode chair.safetensors --out again.glb

Exit codes: 0 done, 2 bad input, 3 the machine cannot, 130 cancelled with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from . import generate
from .data.mesh_files import WRITABLE, write_mesh
from .errors import Cancelled, InputError, MachineError
from .recipe import Parameter, Recipe, method

LATENT_SUFFIXES = (".safetensors",)
_TYPES = {"int": int, "float": float, "bool": bool, "str": str}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}; '{self.prog} --help' shows how it is used.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m backend", description="Gen3D without Blender.")
    commands = parser.add_subparsers(dest="command", required=True)

    text = commands.add_parser("text", help="make a mesh from a description")
    text.add_argument("prompt", help="what to make, in English: 'a wooden armchair'")
    text.add_argument("--seed", type=int, default=0, help="another number gives another shape (default: %(default)s)")
    for parameter in method("text_to_3d", "latent prior").parameters:
        _add_parameter(text, parameter)
    text.add_argument("--json", action="store_true", help="print recipe, transform, timings and notes as JSON")

    encode = commands.add_parser("encode", help="write the latent that a mesh has in the bundled shape space")
    encode.add_argument("source", type=Path, help="a mesh: .glb, .gltf, .obj, .ply or .stl")
    decode = commands.add_parser("decode", help="make the mesh, in model space, that a latent stands for")
    decode.add_argument("source", type=Path, help="a latent that 'encode' wrote")
    for parameter in method("text_to_3d", "latent prior").parameters:
        if parameter.name in ("detail", "face_count"):
            _add_parameter(decode, parameter)

    for command, suffixes in ((text, WRITABLE), (encode, LATENT_SUFFIXES), (decode, WRITABLE)):
        command.add_argument("--out", type=Path, required=True, help=f"the file to write ({' or '.join(suffixes)})")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")
    return parser


def _add_parameter(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    parser.add_argument(
        "--" + parameter.name.replace("_", "-"),
        type=_TYPES[parameter.kind],
        default=parameter.default,
        help=f"{parameter.description} ({parameter.minimum} to {parameter.maximum}, default: %(default)s)",
    )


def _check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse now what would fail after the work is done."""
    if path.suffix.lower() not in suffixes:
        raise InputError(f"The output file '{path}' must end in {' or '.join(suffixes)}.")
    if path.is_dir():
        raise InputError(f"The output '{path}' is a folder: name a file in it.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no folder '{path.absolute().parent}': make it first, or choose another.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise MachineError(f"The folder '{path.absolute().parent}' cannot be written to: choose another.")


class _ProgressBar:
    """One line on stderr for each stage; a context, so that an error starts on a line of its own."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __call__(self, stage: str, fraction: float, /) -> None:
        if self._bar is None or stage != self._stage:
            if self._bar is not None:
                self._bar.update(100 - self._bar.n)
                self._bar.close()
            self._stage = stage
            layout = "{desc} {percentage:3.0f}% |{bar}| {elapsed}"
            self._bar = tqdm(total=100, desc=f"{stage:<11}", bar_format=layout, file=sys.stderr)
        self._bar.update(max(0.0, 100 * fraction - self._bar.n))

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _text(arguments: argparse.Namespace) -> None:
    names = [parameter.name for parameter in method("text_to_3d", "latent prior").parameters]
    recipe = Recipe.create(
        prompt=arguments.prompt, seed=arguments.seed, **{name: getattr(arguments, name) for name in names}
    )
    _check_output(arguments.out, WRITABLE)
    with _ProgressBar() as progress:
        result = generate(recipe, progress=progress, device=arguments.device)
        progress("Texturing", 1.0)
    write_mesh(arguments.out, result.mesh, result.transform)
    for note in result.notes:
        print(note, file=sys.stderr)
    if arguments.json:
        document = {
            "out": str(arguments.out),
            "recipe": result.recipe.to_dict(),
            "transform": result.transform.tolist(),
            "timings": result.timings,
            "notes": result.notes,
            "vertices": len(result.mesh.vertices),
            "faces": len(result.mesh.faces),
        }
        print(json.dumps(document, ensure_ascii=False))
    else:
        print(arguments.out)


def _encode(arguments: argparse.Namespace) -> None:
    _check_output(arguments.out, LATENT_SUFFIXES)
    from .data.mesh_reading import read_mesh
    from .models.stored_latent import save_latent
    from .tasks.loaded_models import choose_device, shape_space
    from .tasks.placement import model_transform

    mesh = read_mesh(arguments.source)
    space = shape_space(choose_device(arguments.device))
    save_latent(arguments.out, space.encode(mesh.transformed(model_transform(mesh.vertices))), space.weights)
    print(arguments.out)


def _decode(arguments: argparse.Namespace) -> None:
    # The same ranges as a recipe's, checked in the same place.
    Recipe.create(prompt="anything", detail=arguments.detail, face_count=arguments.face_count)
    _check_output(arguments.out, WRITABLE)
    from .models.stored_latent import load_latent
    from .tasks.loaded_models import choose_device, shape_space

    space = shape_space(choose_device(arguments.device))
    latent = load_latent(arguments.source, space.weights)
    write_mesh(arguments.out, space.decode(latent, arguments.detail, face_count=arguments.face_count), np.eye(4))
    print(arguments.out)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        parsed = _parser().parse_args(arguments)
        {"text": _text, "encode": _encode, "decode": _decode}[parsed.command](parsed)
    except (InputError, MachineError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, Cancelled):
        print("Cancelled.", file=sys.stderr)
        return Cancelled.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
