"""Views of a data set's objects from cameras on orbits, for models that turn one picture into another view.

Every object has targets, in the standard framing of `representations.cameras`, and inputs: what is left of such a view
when a square about the object is cut out, as a photo is, so that its place and scale must be inferred.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..representations.cameras import FIELD_OF_VIEW, Cameras
from .archive import Archive, DataObject
from .model_folder import open_data
from .object_pool import object_pool
from .rendering import Camera, Light, corner_normals_of, random_light, render

SIZE = 64
TARGETS = 12
INPUTS = 6
LOWEST, HIGHEST = np.radians([-10, 45])
FRONT_SHARE = 0.5
FRONT_AZIMUTH = np.radians(75)
FILLED = 0.85
"""The share of an input's side that the object's box takes."""
FILLED_DEVIATION = 0.02
AMBIENT = 0.55
"""The least share of ambient in the light, which stands still about an object."""
QUANTITIES = ("targets", "target_angles", "inputs", "input_angles", "windows")


@dataclass(frozen=True)
class OrbitViews:
    """First axis the n objects, all memory-mapped.

    targets (n, T, 64, 64, 4), inputs (n, I, 64, 64, 4): uint8, sRGB and alpha as `render` gives them. target_angles
    (n, T, 2), input_angles (n, I, 2): float32 azimuth and elevation, radians. windows (n, I, 3): float32, the square
    that was cut out of the standard framing, as in `rendering.Camera`. records: the objects'.
    """

    targets: np.ndarray
    target_angles: np.ndarray
    inputs: np.ndarray
    input_angles: np.ndarray
    windows: np.ndarray
    records: list[dict]

    def __len__(self) -> int:
        return len(self.records)


def orbit_camera(azimuth: float, elevation: float) -> Camera:
    """The camera of the standard framing at these angles (radians)."""
    cameras = Cameras.framing(torch.tensor([azimuth]), torch.tensor([elevation]))
    return Camera(cameras.origins[0].double().numpy(), cameras.rotations[0].double().numpy(), FIELD_OF_VIEW)


def around(vertices: np.ndarray, camera: Camera, filled: float = FILLED) -> Camera:
    """`camera` with the square window about `vertices` (V, 3) whose side their box fills to the share `filled`."""
    places, _ = camera.project(vertices)
    low, high = places.min(0), places.max(0)
    across, up = (low + high) / 2
    return Camera(camera.position, camera.rotation, FIELD_OF_VIEW, (across, up, (high - low).max() / (2 * filled)))


def soft_light(generator: np.random.Generator) -> Light:
    """A lamp as other pictures of the data have, never harsh."""
    light = random_light(generator)
    ambient = max(light.ambient, AMBIENT)
    return Light(light.direction, light.sun + light.ambient - ambient, ambient)


def _angles(generator: np.random.Generator, count: int, front_share: float) -> np.ndarray:
    reach = np.where(generator.random(count) < front_share, FRONT_AZIMUTH, np.pi)
    return np.stack([generator.uniform(-reach, reach), generator.uniform(LOWEST, HIGHEST, count)], 1).astype(np.float32)


def orbit_views(shape: DataObject, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One object's QUANTITIES; the same state of the generator gives the same views."""
    mesh = (shape.vertices, shape.faces, corner_normals_of(shape.vertices, shape.faces), shape.face_colors)
    used = shape.vertices[np.unique(shape.faces)]
    light = soft_light(generator)
    target_angles = _angles(generator, TARGETS, 0)
    input_angles = _angles(generator, INPUTS, FRONT_SHARE)
    filled = generator.normal(FILLED, FILLED_DEVIATION, INPUTS)
    cut = [around(used, orbit_camera(*angles), share) for angles, share in zip(input_angles, filled, strict=True)]
    targets = np.stack([render(*mesh, orbit_camera(*angles), light, SIZE) for angles in target_angles])
    inputs = np.stack([render(*mesh, camera, light, SIZE) for camera in cut])
    windows = np.array([camera.window for camera in cut], np.float32)
    return targets, target_angles, inputs, input_angles, windows


def _views(archive: Archive, seed: int, index: int) -> tuple[np.ndarray, ...]:
    return orbit_views(archive[index], np.random.default_rng([seed, index]))


def pack_orbits(source: Path, folder: Path, *, seed: int = 6, processes: int | None = None) -> OrbitViews:
    """Renders the objects of the data `source` into `folder`, or opens what a former call finished there.

    Every object has a random generator of its own, so the pictures do not depend on the number of processes. A call
    that was cut off leaves no orbits.json, and the next one begins anew. Raises InputError when there is no such data.
    """
    done = folder / "orbits.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = open_data(source, folder)
        arrays: dict[str, np.memmap] = {}
        with object_pool(processes) as pool:
            work = pool.map(partial(_views, archive, seed), range(len(archive)), chunksize=4)
            for index, parts in enumerate(tqdm(work, "Rendering", len(archive), unit="object", mininterval=10)):
                for name, part in zip(QUANTITIES, parts, strict=True):
                    if name not in arrays:
                        shape = (len(archive), *part.shape)
                        path = folder / f"orbit_{name}.npy"
                        arrays[name] = np.lib.format.open_memmap(path, "w+", part.dtype, shape)
                    arrays[name][index] = part
        for array in arrays.values():
            array.flush()
        # Written last and in one step: its presence says that the arrays are whole.
        unfinished = done.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(archive.records), encoding="utf-8")
        os.replace(unfinished, done)
    return open_orbits(folder)


def open_orbits(folder: Path) -> OrbitViews:
    """Opens what `pack_orbits` made. Raises InputError when it is not whole."""
    try:
        records = json.loads((folder / "orbits.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"orbit_{name}.npy", mmap_mode="r") for name in QUANTITIES}
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no views of its objects ({error}); delete it and pack again.") from error
    if arrays["targets"].shape != (len(records), TARGETS, SIZE, SIZE, 4):
        raise InputError(f"{folder}/orbit_targets.npy has another layout than this version packs; delete the folder.")
    return OrbitViews(**arrays, records=records)
