"""Novel views from one picture: the bundled view model against what costs nothing.

    python3 build.py bench novel_views --dev dev.zip --data train_lite.zip [--every 4] [--sheet docs/novel_views.jpg]

Of every object one picture, cut out as a photo is, and 8 other cameras in the standard framing, their angles relative
to the picture's (VIEWS); renders in one soft light. PSNR and SSIM are of 64² pixels of sRGB over white, the mean over
all views. Where in the standard framing the picture was cut out is told or not, to the model and the repeated picture
alike (which then is put where pictures usually were); the nearest training object's views are renders of its mesh.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from backend.data.archive import Archive, DataObject
from backend.data.holdout import held_out
from backend.data.orbit_packing import around, orbit_camera, pack_orbits
from backend.data.rendering import Camera, Light, corner_normals_of, render
from backend.metrics import psnr, ssim
from backend.models.novel_views import STEPS, NovelViews
from backend.models.view_volume import USUAL_WINDOW
from backend.representations.cameras import Cameras
from backend.weights.bundled import FOLDER

AZIMUTH, ELEVATION = np.radians([30, 15])
"""Of the picture's camera."""
VIEWS = np.radians([[30, 15], [60, 0], [90, 30], [135, 15], [180, 15], [-135, 0], [-90, 15], [-45, 30]])
"""Azimuths relative to the picture's, and elevations."""
USUAL = (USUAL_WINDOW[0], USUAL_WINDOW[1], float(np.exp(USUAL_WINDOW[2])))
LIGHT = Light(np.array([0.4, -0.6, 0.69]), sun=0.5, ambient=0.6)
STEPS_COMPARED = (STEPS, 4)
SHOWN_VIEWS = (1, 2, 4, 6)
SHOWN_OBJECTS = 8
TILE = 96


@dataclass(frozen=True)
class Case:
    """An object's picture (64, 64, 4) as a photo, cut out of the standard framing at `window` (see
    `NovelViews.window`), `whole` (64, 64, 4) in that framing, and its true views (8, 64, 64, 4), all float32 in [0, 1],
    sRGB and alpha, not premultiplied."""

    name: str
    picture: np.ndarray
    window: tuple[float, float, float]
    whole: np.ndarray
    truth: np.ndarray


def renderer_of(shape: DataObject) -> Callable[[Camera], np.ndarray]:
    """What a camera sees of the object, (64, 64, 4) float32."""
    mesh = (shape.vertices, shape.faces, corner_normals_of(shape.vertices, shape.faces), shape.face_colors)
    return lambda camera: render(*mesh, camera, LIGHT).astype(np.float32) / 255


def views_of(shape: DataObject, azimuth: float) -> np.ndarray:
    """(8, 64, 64, 4): the object from VIEWS, relative to `azimuth`."""
    seen = renderer_of(shape)
    return np.stack([seen(orbit_camera(azimuth + turn, elevation)) for turn, elevation in VIEWS])


def case_of(shape: DataObject) -> Case:
    """The object's picture and views."""
    camera, seen = orbit_camera(AZIMUTH, ELEVATION), renderer_of(shape)
    cut_out = around(shape.vertices[np.unique(shape.faces)], camera)
    return Case(shape.name, seen(cut_out), cut_out.window, seen(camera), views_of(shape, AZIMUTH))


def framed(picture: np.ndarray, window: tuple[float, float, float]) -> np.ndarray:
    """A picture (64, 64, 4) that was cut out at `window`, put back into the standard framing (64, 64, 4)."""
    across, up, half = window
    placed = torch.tensor([[[1 / half, 0, -across / half], [0, 1 / half, up / half]]], dtype=torch.float32)
    premultiplied = np.concatenate([picture[..., :3] * picture[..., 3:], picture[..., 3:]], axis=-1)
    source = torch.from_numpy(premultiplied).permute(2, 0, 1)[None]
    grid = functional.affine_grid(placed, list(source.shape), align_corners=False)
    seen = functional.grid_sample(source, grid, align_corners=False)[0].permute(1, 2, 0).numpy()
    alpha = seen[..., 3:]
    return np.concatenate([seen[..., :3] / np.maximum(alpha, 1e-6), alpha], axis=-1)


class NearestObject:
    """The training object one of whose packed pictures is nearest to a given one, seen from all around."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.archive, self.packed = Archive(data), pack_orbits(data, folder)
        self.allowed = np.flatnonzero(~held_out(self.packed.records))
        self.known = over_white(self.packed.inputs[self.allowed].astype(np.float32) / 255)[..., ::2, ::2, :]

    def __call__(self, case: Case) -> np.ndarray:
        wanted = over_white(case.picture)[::2, ::2]
        errors = np.square(self.known - wanted).mean(axis=(2, 3, 4))
        index, view = np.unravel_index(errors.argmin(), errors.shape)
        found = self.allowed[index]
        return views_of(self.archive[int(found)], float(self.packed.input_angles[found, view, 0]))


def over_white(pictures: np.ndarray) -> np.ndarray:
    """(…, 4) → (…, 3)."""
    return pictures[..., :3] * pictures[..., 3:] + 1 - pictures[..., 3:]


def measure(made: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean PSNR in dB and SSIM of views (n, 64, 64, 4)."""
    images = [torch.from_numpy(np.ascontiguousarray(over_white(part))).permute(0, 3, 1, 2) for part in (made, truth)]
    return psnr(*images).mean().item(), ssim(*images).mean().item()


def model_views(model: NovelViews, steps: int, *, told: bool) -> Callable[[Case], np.ndarray]:
    """The bundled model as a method, which is told the picture's window or not."""
    cameras = Cameras.framing(*(torch.from_numpy(column.astype(np.float32)) for column in VIEWS.T))

    def make(case: Case) -> np.ndarray:
        window = case.window if told else None
        turned = {"elevation": float(ELEVATION), "azimuth": 0.0, "cameras": cameras, "window": window}
        return model.views(case.picture, **turned, seed=0, steps=steps)

    return make


def sheet(cases: list[Case], made: list[np.ndarray]) -> Image.Image:
    """A row an object: its picture, then for each of SHOWN_VIEWS the true view and the model's beside it."""
    rows = []
    for case, views in zip(cases, made, strict=True):
        tiles = [case.picture]
        for view in SHOWN_VIEWS:
            tiles += [case.truth[view], views[view]]
        rows.append(np.concatenate([over_white(tile) for tile in tiles], axis=1))
    whole = Image.fromarray(np.rint(np.concatenate(rows) * 255).astype(np.uint8))
    return whole.resize((whole.width * TILE // 64, whole.height * TILE // 64), Image.Resampling.BICUBIC)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="novel_views", description="Novel views of the dev objects.")
    parser.add_argument("--dev", type=Path, required=True, help="data-set zip of the objects to be seen")
    parser.add_argument("--data", type=Path, help="the training data, for the floor of the nearest object")
    parser.add_argument("--out", type=Path, default=Path("training_runs"), help="where the training data's views are")
    parser.add_argument("--weights", type=Path, default=FOLDER)
    parser.add_argument("--every", type=int, default=1, help="take only one object in so many (quick: 4)")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here")
    options = parser.parse_args(arguments)

    model = NovelViews.load(folder=options.weights)
    archive = Archive(options.dev)
    cases = [case_of(archive[index]) for index in range(0, len(archive), options.every)]
    methods: dict[str, Callable[[Case], np.ndarray]] = {
        "repeat the picture, window told": lambda case: np.repeat(case.whole[None], len(VIEWS), axis=0),
        "repeat the picture": lambda case: np.repeat(framed(case.picture, USUAL)[None], len(VIEWS), axis=0),
    }
    if options.data is not None:
        methods["nearest training object"] = NearestObject(options.data, options.out / f"orbits_{options.data.stem}")
    for steps in STEPS_COMPARED:
        methods[f"view model, steps: {steps}, window told"] = model_views(model, steps, told=True)
        methods[f"view model, steps: {steps}"] = model_views(model, steps, told=False)

    print(f"{len(cases)} objects, {len(VIEWS)} views each, {torch.get_num_threads()} thread(s)\n")
    print("| method | PSNR, dB | SSIM | seconds an object |\n|---|---:|---:|---:|")
    for name, method in methods.items():
        start = time.perf_counter()
        made = [method(case) for case in cases]
        seconds = (time.perf_counter() - start) / len(cases)
        scores = np.mean([measure(views, case.truth) for views, case in zip(made, cases, strict=True)], axis=0)
        print(f"| {name} | {scores[0]:.2f} | {scores[1]:.3f} | {seconds:.2f} |", flush=True)
    if options.sheet is not None:
        chosen = cases[:: max(1, len(cases) // SHOWN_OBJECTS)][:SHOWN_OBJECTS]
        sheet(chosen, [model_views(model, STEPS, told=False)(case) for case in chosen]).save(options.sheet, quality=88)
        print(f"\n{options.sheet}")


if __name__ == "__main__":
    main()
