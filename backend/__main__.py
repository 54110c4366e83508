"""The command line: results on stdout, progress and errors on stderr.

    python -m backend text "a wooden armchair" --seed 0 --out chair.glb
    python -m backend image photo.png --method multiview --elevation 15 --out chair.glb
    python -m backend complete part.ply --unknown 0 -1 0 1 1 2 --samples 4 --out folder/
    python -m backend interpolate chair.glb sofa.glb --steps 9 --out folder/
    python -m backend encode chair.glb --out chair.safetensors
    python -m backend decode chair.safetensors --out again.glb
    python -m backend download zero123-xl --accept-licence

Exit codes: 0 done, 2 bad input, 3 the machine cannot, 130 cancelled with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from . import generate
from .data.mesh_encodings import png_bytes
from .data.mesh_files import WRITABLE, named_views, write_files, write_mesh
from .errors import Cancelled, InputError, MachineError
from .recipe import SCAN, SEED_LIMIT, Method, Parameter, Recipe, Result, method, methods_of
from .weights.hub import download, models_folder
from .weights.published import PUBLISHED

LATENT_SUFFIXES = (".safetensors",)
MOST_SAMPLES = 64
OFFLINE_VARIABLE = "HF_HUB_OFFLINE"
"""As the hub's own tools have it: 1 keeps `download` off the network."""
_TYPES = {"int": int, "float": float, "str": str}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}; '{self.prog} --help' shows how it is used.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m backend", description="Gen3D without Blender.")
    commands = parser.add_subparsers(dest="command", required=True)

    text = commands.add_parser("text", help="make a mesh from a description")
    text.add_argument("prompt", help="what to make, in English: 'a wooden armchair'")
    text.add_argument("--seed", type=int, default=0, help="another number gives another shape (default: %(default)s)")
    _add_methods(text, "text_to_3d")
    text.add_argument("--checkpoint", type=Path, help="the folder of a published text prior, if it was not downloaded")
    text.add_argument("--json", action="store_true", help="print recipe, transform, timings and notes as JSON")

    image = commands.add_parser("image", help="make a mesh from a picture of one object")
    image.add_argument("picture", type=Path, help="a picture: PNG, JPEG, WebP, TIFF or BMP")
    image.add_argument("--mask", type=Path, help="a picture of the same proportions, white where the object is")
    image.add_argument("--mask-model", type=Path, help="an ONNX file of U²-Net or IS-Net that finds the object")
    image.add_argument("--prompt", help="what it is, in English, where you know: 'a wooden armchair'")
    image.add_argument("--seed", type=int, default=0, help="another number gives another shape (default: %(default)s)")
    _add_methods(image, "image_to_3d")
    image.add_argument("--checkpoint", type=Path, help="the file of a published view model, if it was not downloaded")
    image.add_argument("--mask-preview", type=Path, help="a PNG to write that shows what is taken of the picture")
    image.add_argument("--json", action="store_true", help="print recipe, transform, timings and notes as JSON")

    complete = commands.add_parser("complete", help="make whole shapes that agree with a partial one")
    complete.add_argument("source", type=Path, help="a mesh or points: .glb, .gltf, .obj, .ply, .stl or .pcd")
    region = complete.add_mutually_exclusive_group(required=True)
    region.add_argument(
        "--unknown",
        type=float,
        nargs=6,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="the box in which the shape is not known, in the file's unit, Z up: its low and its high corner",
    )
    region.add_argument("--scan", action="store_true", help="nothing is known but the surface that is there")
    complete.add_argument("--prompt", help="what it is, in English, where you know: 'a wooden armchair'")
    complete.add_argument("--samples", type=int, default=1, help="how many to make (default: %(default)s)")
    complete.add_argument(
        "--seed", type=int, default=0, help="of the first; each takes the next (default: %(default)s)"
    )
    complete.add_argument(
        "--format", choices=("glb", "obj", "ply"), default="glb", help="of the files that are written"
    )
    _add_methods(complete, "shape_completion")
    complete.add_argument("--checkpoint", type=Path, help="a published checkpoint of PoinTr, for the method points")
    complete.add_argument("--json", action="store_true", help="print a line of JSON for each file")
    complete.add_argument("--out", type=Path, required=True, help="the folder to write to; it is made where it is not")
    complete.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")

    interpolate = commands.add_parser("interpolate", help="make the shapes between two or more meshes")
    interpolate.add_argument("sources", nargs="+", metavar="source", help="meshes: .glb, .gltf, .obj, .ply or .stl")
    for parameter in method("latent_interpolation", "latent interpolation").parameters:
        _add_parameter(interpolate, parameter)
    interpolate.add_argument("--json", action="store_true", help="print recipe, transform, timings and notes as JSON")
    interpolate.add_argument(
        "--out", type=Path, required=True, help="the folder to write to; it is made where it is not"
    )
    interpolate.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")

    encode = commands.add_parser("encode", help="write the latent that a mesh has in the bundled shape space")
    encode.add_argument("source", type=Path, help="a mesh: .glb, .gltf, .obj, .ply or .stl")
    decode = commands.add_parser("decode", help="make the mesh, in model space, that a latent stands for")
    decode.add_argument("source", type=Path, help="a latent that 'encode' wrote")
    for parameter in method("text_to_3d", "latent prior").parameters:
        if parameter.name in ("detail", "face_count"):
            _add_parameter(decode, parameter)

    fetch = commands.add_parser("download", help="fetch a published model, once")
    fetch.add_argument("name", choices=list(PUBLISHED), help="which; without --accept-licence its licence is shown")
    fetch.add_argument("--accept-licence", action="store_true", help="the licence was read, and is accepted")

    for command, suffixes in ((text, WRITABLE), (image, WRITABLE), (encode, LATENT_SUFFIXES), (decode, WRITABLE)):
        command.add_argument("--out", type=Path, required=True, help=f"the file to write ({' or '.join(suffixes)})")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")
    return parser


def _add_methods(parser: argparse.ArgumentParser, task: str) -> None:
    """Options for the choice of a task's method, and for the parameters of all of them."""
    methods = methods_of(task)
    parser.add_argument(
        "--method",
        choices=[found.name for found in methods],
        default=methods[0].name,
        help="; ".join(f"{found.name}: {found.description}" for found in methods) + " (default: %(default)s)",
    )
    for parameter in {parameter.name: parameter for found in methods[::-1] for parameter in found.parameters}.values():
        _add_parameter(parser, parameter, default=argparse.SUPPRESS)


def _values_given(arguments: argparse.Namespace, chosen: Method) -> dict[str, Any]:
    """The parameters and the optional inputs that were given, also those that only other methods of the task have: a
    recipe refuses these."""
    given = vars(arguments)
    found = methods_of(chosen.task)
    values = {parameter.name for entry in found for parameter in entry.parameters} & set(given)
    inputs = {name for entry in found for name in entry.optional_inputs if given.get(name) is not None}
    return {name: given[name] for name in values} | {name: str(given[name]) for name in inputs}


def _add_parameter(parser: argparse.ArgumentParser, parameter: Parameter, **options: Any) -> None:
    """An option for a parameter; with `default=argparse.SUPPRESS` it is known afterwards whether it was given."""
    name = "--" + parameter.name.replace("_", "-")
    default = {"default": parameter.default} | options
    if parameter.kind == "bool":
        parser.add_argument(name, action=argparse.BooleanOptionalAction, help=parameter.description, **default)
    elif parameter.kind == "numbers":
        parser.add_argument(name, type=float, nargs="+", help=parameter.description, **default)
    elif parameter.choices:
        choices = " or ".join(f"'{choice}'" for choice in parameter.choices)
        parser.add_argument(
            name, help=f"{parameter.description} ({choices}, default: '{parameter.default}')", **default
        )
    else:
        limits = f"{parameter.minimum} to {parameter.maximum}"
        help_text = f"{parameter.description} ({limits}, default: {parameter.default})"
        parser.add_argument(name, type=_TYPES[parameter.kind], help=help_text, **default)


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
    values = _values_given(arguments, method("text_to_3d", arguments.method))
    recipe = Recipe.create("text_to_3d", arguments.method, prompt=arguments.prompt, seed=arguments.seed, **values)
    _check_output(arguments.out, WRITABLE)
    with _ProgressBar() as progress:
        result = generate(recipe, progress=progress, device=arguments.device)
        progress("Texturing", 1.0)
    _write_result(arguments.out, result, as_json=arguments.json)


def _image(arguments: argparse.Namespace) -> None:
    chosen = method("image_to_3d", arguments.method)
    values = _values_given(arguments, chosen)
    recipe = Recipe.create(chosen.task, chosen.name, picture=str(arguments.picture), seed=arguments.seed, **values)
    _check_output(arguments.out, WRITABLE)
    if arguments.mask_preview is not None:
        _check_output(arguments.mask_preview, (".png",))
    shown: list[np.ndarray] = []
    with _ProgressBar() as progress:
        result = generate(
            recipe,
            progress=progress,
            glimpse=lambda picture, _caption, _loss: shown.append(picture) if not shown else None,
            device=arguments.device,
        )
        progress("Texturing", 1.0)
    if arguments.mask_preview is not None:
        write_files({arguments.mask_preview: png_bytes(shown[0])})
    if result.views is not None:
        write_files(named_views(arguments.out, result.views))
    _write_result(arguments.out, result, as_json=arguments.json)


def _write_result(path: Path, result: Result, *, as_json: bool) -> None:
    write_mesh(path, result.mesh, result.transform, result.shape_keys)
    _report(result, [path], as_json=as_json)


def _report(result: Result, written: list[Path], *, as_json: bool) -> None:
    """Notes on stderr; on stdout the files, or all that is known of the result as JSON."""
    for note in result.notes:
        print(note, file=sys.stderr)
    if not as_json:
        for path in written:
            print(path)
        return
    document = {
        "out": str(written[0]) if len(written) == 1 else [str(path) for path in written],
        "recipe": result.recipe.to_dict(),
        "transform": result.transform.tolist(),
        "timings": result.timings,
        "notes": result.notes,
        "vertices": len(result.mesh.vertices),
        "faces": len(result.mesh.faces),
    }
    print(json.dumps(document, ensure_ascii=False))


def _interpolate(arguments: argparse.Namespace) -> None:
    parameters = method("latent_interpolation", "latent interpolation").parameters
    values = {parameter.name: getattr(arguments, parameter.name) for parameter in parameters}
    recipe = Recipe.create("latent_interpolation", "latent interpolation", meshes=tuple(arguments.sources), **values)
    _make_folder(arguments.out)
    with _ProgressBar() as progress:
        result = generate(recipe, progress=progress, device=arguments.device)
    if result.shape_keys is not None:
        _write_result(arguments.out / "shape-keys.glb", result, as_json=arguments.json)
        return
    written = [arguments.out / f"step-{number:02}.glb" for number in range(1, len(result.meshes) + 1)]
    for path, mesh in zip(written, result.meshes, strict=True):
        write_mesh(path, mesh, result.transform)
    _report(result, written, as_json=arguments.json)


def _complete(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.samples <= MOST_SAMPLES:
        raise InputError(f"The number of samples must lie between 1 and {MOST_SAMPLES}, not {arguments.samples}.")
    chosen = method("shape_completion", arguments.method)
    values = _values_given(arguments, chosen)
    recipes = [
        Recipe.create(
            chosen.task,
            chosen.name,
            shape=str(arguments.source),
            unknown=SCAN if arguments.scan else tuple(arguments.unknown),
            seed=seed if seed <= SEED_LIMIT else seed - SEED_LIMIT - 1,
            **values,
        )
        for seed in range(arguments.seed, arguments.seed + arguments.samples)
    ]
    _make_folder(arguments.out)
    for recipe in recipes:
        with _ProgressBar() as progress:
            result = generate(recipe, progress=progress, device=arguments.device)
            progress("Texturing", 1.0)
        name = f"{arguments.source.stem}-seed{recipe.seed}.{arguments.format}"
        _write_result(arguments.out / name, result, as_json=arguments.json)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"The output '{path}' is a file: name a folder.") from error
    except OSError as error:
        raise MachineError(f"The folder '{path}' cannot be made: {error.strerror or error}.") from error
    if not os.access(path, os.W_OK):
        raise MachineError(f"The folder '{path}' cannot be written to: choose another.")


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


def _download(arguments: argparse.Namespace) -> None:
    with _ProgressBar() as progress:
        place = download(
            PUBLISHED[arguments.name],
            models_folder(),
            licence_accepted=arguments.accept_licence,
            online=os.environ.get(OFFLINE_VARIABLE, "0").lower() not in ("1", "true", "yes", "on"),
            progress=lambda file, done, total: progress(file, done / total),
        )
    print(place)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        parsed = _parser().parse_args(arguments)
        {
            "text": _text,
            "image": _image,
            "complete": _complete,
            "interpolate": _interpolate,
            "encode": _encode,
            "decode": _decode,
            "download": _download,
        }[parsed.command](parsed)
    except (InputError, MachineError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, Cancelled):
        print("Cancelled.", file=sys.stderr)
        return Cancelled.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
