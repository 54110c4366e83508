"""What to make (`Recipe`) and what came of it (`Result`); methods.py has what can be asked for.

A recipe is the whole truth of a generation: the same recipe on the same device gives the same mesh. The panel, the
headless runs, the command line and scripts all build this one type. Standard library and NumPy only: Blender's Python
imports this module as well.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePath
from typing import Any

import numpy as np

from .errors import Cancelled, InputError, MachineError
from .mesh import Mesh
from .methods import BUNDLED, METHODS, Method, Parameter, Value, method, methods_of

__all__ = [
    "BUNDLED",
    "METHODS",
    "PROMPT_LIMIT",
    "SEED_LIMIT",
    "VERSION",
    "Cancelled",
    "InputError",
    "MachineError",
    "Method",
    "Parameter",
    "Recipe",
    "Result",
    "Viewpoint",
    "check_prompt",
    "method",
    "methods_of",
]

VERSION = "0.1.0"
PROMPT_LIMIT = 1_000
SEED_LIMIT = 2**31 - 1

MOST_MESHES = 8

Input = bool | int | float | str | tuple[float, ...] | tuple[str, ...]

SCAN = "scan"
"""The input "unknown" of a shape of which nothing is known but what is seen."""


def check_prompt(prompt: object) -> str:
    """Return the prompt without outer blanks, or raise InputError with the sentence that the user shall read."""
    if not isinstance(prompt, str):
        raise InputError(f"The prompt must be text, not {prompt!r}.")
    if not prompt.strip():
        raise InputError("The prompt is empty: describe an object, for example 'a wooden armchair'.")
    if len(prompt) > PROMPT_LIMIT:
        raise InputError(f"The prompt has {len(prompt):,} characters: shorten it to at most {PROMPT_LIMIT:,}.")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn") for character in prompt):
        raise InputError("The prompt has control characters such as line breaks or tabs: remove them.")
    # Compatibility forms (full-width letters, ligatures) are the same letters to the text encoder.
    letters = [character for character in unicodedata.normalize("NFKC", prompt) if character.isalpha()]
    if not letters:
        raise InputError("The prompt has no letters: describe an object in words.")
    for letter in letters:
        if not unicodedata.name(letter, "").startswith(("LATIN", "MODIFIER LETTER")):
            raise InputError(
                f"The text encoder does not know the letter '{letter}' in the prompt: describe the object in English."
            )
    return prompt.strip()


def check_unknown(value: object) -> Input:
    """Return "scan", or the six numbers x0 y0 z0 x1 y1 z1 of a box with a volume, or raise InputError."""
    if value == SCAN:
        return SCAN
    if not isinstance(value, (list, tuple)) or len(value) != 6:
        raise InputError(f"The unknown must be a box of six numbers, x0 y0 z0 x1 y1 z1, or '{SCAN}', not {value!r}.")
    if any(isinstance(entry, bool) or not isinstance(entry, (int, float)) for entry in value):
        raise InputError(f"The box of the unknown must be six numbers, not {list(value)}.")
    box = tuple(float(entry) for entry in value)
    if not all(math.isfinite(entry) for entry in box):
        raise InputError(f"The box of the unknown must be six finite numbers, not {list(box)}.")
    if any(low >= high for low, high in zip(box[:3], box[3:], strict=True)):
        raise InputError(
            f"The box of the unknown is empty: x1, y1 and z1 must be larger than x0, y0 and z0, not {list(box)}."
        )
    return box


def check_mesh_files(value: object) -> tuple[str, ...]:
    """Return the names of two or more mesh files, or raise InputError; whether they exist is seen when it is run."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) and name for name in value):
        raise InputError(f"The meshes must be a list of file names, not {value!r}.")
    if not 2 <= len(value) <= MOST_MESHES:
        raise InputError(f"There must be two to {MOST_MESHES} meshes to interpolate between, not {len(value)}.")
    return tuple(value)


_FILES = {
    "picture": "an image file",
    "mask": "an image file",
    "mask_model": "an ONNX file",
    "shape": "a mesh or point file",
    "checkpoint": "a file",
}


def _check_input(name: str, value: object) -> Input:
    if name == "prompt":
        return check_prompt(value)
    if name == "unknown":
        return check_unknown(value)
    if name == "meshes":
        return check_mesh_files(value)
    if name in _FILES and not (isinstance(value, str) and value):
        raise InputError(f"The {name.replace('_', ' ')} must be the name of {_FILES[name]}, not {value!r}.")
    if not isinstance(value, (str, bool, int, float)):
        raise InputError(f"The input {name!r} must be text or a number, not {value!r}.")
    return value


def _check_names(
    what: str, given: Mapping[str, object], wanted: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    unknown = sorted(set(given) - set(wanted) - set(optional))
    missing = [name for name in wanted if name not in given]
    if unknown:
        raise InputError(f"The recipe has an unknown {what} {unknown[0]!r}; known are: {', '.join(wanted + optional)}.")
    if missing:
        raise InputError(f"The recipe lacks the {what} {missing[0]!r}.")


@dataclass(frozen=True)
class Recipe:
    """What to make.

    task, method   one of METHODS
    inputs         what the method takes: {"prompt": "a chair"}, {"shape": "part.ply", "unknown": (0, 0, 0, 1, 1, 1)},
                   {"picture": "photo.png", "mask": "mask.png"}
    parameters     every parameter of the method, in its range
    seed           0 … SEED_LIMIT
    weights        file name → sha256 of the weights that made the mesh; empty until it is made ("whatever is bundled")
    version        of Gen3D that wrote the recipe
    """

    task: str
    method: str
    inputs: dict[str, Input]
    parameters: dict[str, Value]
    seed: int
    weights: dict[str, str] = field(default_factory=dict)
    version: str = VERSION

    @classmethod
    def create(
        cls,
        task: str = "text_to_3d",
        method: str = "latent prior",
        *,
        seed: int = 0,
        weights: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Recipe:
        """A valid recipe from inputs and parameters by name; parameters left out take their defaults."""
        found = _method_of(task, method)
        taken = found.inputs + found.optional_inputs
        inputs = {name: value for name, value in values.items() if name in taken}
        parameters = {name: value for name, value in values.items() if name not in taken}
        return cls.from_dict(
            {
                "task": task,
                "method": method,
                "inputs": inputs,
                "parameters": parameters,
                "seed": seed,
                "weights": dict(weights or {}),
            }
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Recipe:
        """A valid recipe from plain data; parameters, seed, weights and version may be left out.

        Unknown fields, wrong types and values out of range raise InputError. A whole number is taken for a
        fractional parameter, outer blanks of the prompt are dropped; nothing else is bent.
        """
        if not isinstance(document, Mapping):
            raise InputError(
                "A recipe must be a JSON object with the fields task, method, inputs, parameters and seed."
            )
        known = tuple(entry.name for entry in fields(cls))
        optional = {"parameters": {}, "seed": 0, "weights": {}, "version": VERSION}
        document = {**optional, **document}
        _check_names("field", document, known)
        for name in ("inputs", "parameters", "weights"):
            if not isinstance(document[name], Mapping):
                raise InputError(f"The recipe's {name} must be a JSON object, not {document[name]!r}.")
        for name in ("task", "method", "version"):
            if not isinstance(document[name], str):
                raise InputError(f"The recipe's {name} must be text, not {document[name]!r}.")
        found = _method_of(document["task"], document["method"])
        _check_names("input", document["inputs"], found.inputs, found.optional_inputs)
        defaults = {parameter.name: parameter.default for parameter in found.parameters}
        parameters = {**defaults, **document["parameters"]}
        _check_names("parameter", parameters, tuple(defaults))
        seed = document["seed"]
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"The seed must be a whole number, not {seed!r}.")
        if not 0 <= seed <= SEED_LIMIT:
            raise InputError(f"The seed must lie between 0 and {SEED_LIMIT:,}, not {seed:,}.")
        for name, digest in document["weights"].items():
            if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
                raise InputError(f"The recipe's hash of the weights {name!r} is not a SHA-256: remove or correct it.")
        return cls(
            task=found.task,
            method=found.name,
            inputs={
                name: _check_input(name, document["inputs"][name])
                for name in found.inputs + found.optional_inputs
                if name in document["inputs"]
            },
            parameters={parameter.name: parameter.check(parameters[parameter.name]) for parameter in found.parameters},
            seed=seed,
            weights=dict(document["weights"]),
            version=document["version"],
        )

    def validate(self) -> None:
        """Raise InputError with one sentence when anything in the recipe is not as it must be."""
        found = _method_of(self.task, self.method)
        _check_names("parameter", self.parameters, tuple(parameter.name for parameter in found.parameters))
        Recipe.from_dict(self.to_dict())

    @property
    def found_method(self) -> Method:
        """The Method that the recipe asks for. Raises InputError when there is none."""
        return _method_of(self.task, self.method)

    @property
    def title(self) -> str:
        """What a person calls it: the prompt, the names of shapes, or the method where there is neither."""
        if "meshes" in self.inputs:
            return " to ".join(PurePath(name).stem for name in self.inputs["meshes"])  # type: ignore[arg-type]
        for name in ("shape", "picture"):
            if "prompt" not in self.inputs and name in self.inputs:
                return PurePath(str(self.inputs[name])).stem
        return str(self.inputs.get("prompt", self.method))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a copy."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe that `to_json` wrote, or one written by hand; raises InputError."""
        try:
            document = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"The recipe is not valid JSON: {error}.") from error
        return cls.from_dict(document)


# `Recipe.create` has a parameter named method, which hides the function there.
_method_of = method


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """The camera that reproduces a picture: a pinhole camera with a square picture.

    matrix          (4, 4) float64, from the camera's frame (x to the right, y up, looking along −z) to model space
    field_of_view   radians from edge to edge
    shift           how far the picture's middle lies off the camera's axis, to the right and up, in picture sides
    """

    matrix: np.ndarray
    field_of_view: float
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError("The viewpoint's matrix must be a finite matrix of 4 × 4 numbers.")
        if not 0 < self.field_of_view < math.pi or not all(math.isfinite(value) for value in self.shift):
            raise InputError("The viewpoint's field of view and shift are out of range.")
        object.__setattr__(self, "matrix", matrix)


@dataclass(frozen=True, eq=False)
class Result:
    """What came of a recipe.

    mesh        in model space
    transform   (4, 4) float64, model space → scene metres: upright, front to −Y, standing on z = 0, centred in x and y
    recipe      the recipe with the weights' hashes filled in
    timings     stage → seconds
    notes       sentences that the user should read ("The size is unknown, so …")
    following   further meshes of a series whose first is `mesh`, in the same space
    shape_keys  (K, V, 3) float32: where the vertices of `mesh` are in each step of a morph, in the same space; the
                first step is `mesh` itself; or None
    viewpoint   the camera that reproduces the picture which the shape was made from, in model space; or None
    views       (N, S, S, 4) uint8, sRGB and alpha: pictures that were made on the way, where asked for; or None
    """

    mesh: Mesh
    transform: np.ndarray
    recipe: Recipe
    timings: dict[str, float]
    notes: list[str]
    following: tuple[Mesh, ...] = ()
    shape_keys: np.ndarray | None = None
    viewpoint: Viewpoint | None = None
    views: np.ndarray | None = None

    @property
    def meshes(self) -> tuple[Mesh, ...]:
        """All meshes of the series; one where there is no series."""
        return (self.mesh, *self.following)

    def __post_init__(self) -> None:
        if self.shape_keys is not None:
            keys = np.ascontiguousarray(self.shape_keys, dtype=np.float32)
            if keys.ndim != 3 or keys.shape[1:] != self.mesh.vertices.shape or not np.isfinite(keys).all():
                raise InputError("The result's shape keys must be finite places for each vertex of its mesh.")
            object.__setattr__(self, "shape_keys", keys)
        if self.views is not None and (
            self.views.ndim != 4 or self.views.shape[3] != 4 or self.views.dtype != np.uint8
        ):
            raise InputError("The result's views must be pictures of red, green, blue and alpha in bytes.")
        transform = np.asarray(self.transform, dtype=np.float64)
        if transform.shape != (4, 4) or not np.isfinite(transform).all():
            raise InputError("The result's transform must be a finite matrix of 4 × 4 numbers.")
        object.__setattr__(self, "transform", transform)
