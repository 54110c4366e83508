"""How good radiance fields are by themselves: fitted to clean renders, and to such views as diffusion models make.

    python3 build.py bench radiance --dev dev.zip [--objects 35 13 …] [--kind distance|density] [--picture FILE.jpg]

Clean: 24 renders of 128² from all around and above and below, fitted from their visual hull; PSNR and SSIM over 8
cameras between them. Imperfect: 12 renders of 64², each blurred, shifted, tinted and blotched on its own and its mask
frayed, from where novel views are taken (10° below to 45° above); what counts is that the mesh is clean.
Chamfer-L1, in % of a model unit (an object's longest side is 1.8), F-score and normal consistency are those of
reconstruction_fidelity; hidden inner faces of the data count as surface. Prints Markdown. Seeded, so that all but
seconds and memory are the same at every run on a machine.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, shift

from backend.data.archive import Archive, DataObject
from backend.data.rendering import Camera, Light, corner_normals_of, render
from backend.mesh import Mesh
from backend.meshing.mesh_from_field import mesh_from_field
from backend.metrics import psnr, ssim
from backend.representations.cameras import Cameras
from backend.representations.initial_fields import cloud, field_of_density, field_of_silhouettes
from backend.representations.radiance_field import DensityField, SignedDistanceField
from backend.representations.radiance_fitting import FitSettings, fit
from backend.representations.views import Views
from benchmarks.exit_codes import exit_code_of
from benchmarks.pictures import picture
from benchmarks.reconstruction_fidelity import Fidelity, Surface, fidelity
from benchmarks.text_to_3d import soundness

OBJECTS = (35, 13, 0, 16, 32, 22)
"""A scan, a mug, an office chair, a car, a bowl, an animal."""
GOLDEN = (5**0.5 - 1) / 2
LIGHT = Light(np.array([0.4, -0.6, 0.69]) / np.linalg.norm([0.4, -0.6, 0.69]), sun=0.6, ambient=0.45)
CLEAN = FitSettings(steps=500, cells=96, curvature=0.01, roughness=0.01)
IMPERFECT = FitSettings(steps=300, cells=64)
START = 48
DETAIL, FACES = 128, 40_000


@dataclass(frozen=True)
class Case:
    """What is fitted: `count` views of `size` pixels between two elevations in radians, spoilt or not."""

    name: str
    count: int
    size: int
    lowest: float
    highest: float
    settings: FitSettings
    spoilt: bool = False


CASES = (
    Case("24 clean views of 128²", 24, 128, -0.9, 1.3, CLEAN),
    Case("12 imperfect views of 64²", 12, 64, -0.17, 0.79, IMPERFECT, spoilt=True),
)


@dataclass(frozen=True)
class Outcome:
    """One object's figures. seconds: by the clock and of the processor, from pictures to the fitted field."""

    name: str
    psnr: float
    ssim: float
    shape: Fidelity
    sound: bool
    seconds: float
    processor_seconds: float
    mesh: Mesh
    given: np.ndarray
    rendered: np.ndarray
    true: np.ndarray


def spiral(count: int, lowest: float, highest: float, *, turned: float = 0.0) -> Cameras:
    """Cameras in the standard framing, evenly over the sphere between two elevations."""
    steps = torch.arange(count) + 0.5
    low, high = np.sin(lowest), np.sin(highest)
    return Cameras.framing(2 * np.pi * ((steps * GOLDEN + turned) % 1), torch.asin(low + (high - low) * steps / count))


def photograph(shape: DataObject, cameras: Cameras, size: int) -> torch.Tensor:
    """(B, size, size, 4) float32, as `Views` has them."""
    mesh = (shape.vertices, shape.faces, corner_normals_of(shape.vertices, shape.faces), shape.face_colors)
    places = zip(cameras.origins.double().numpy(), cameras.rotations.double().numpy(), strict=True)
    pictures = [render(*mesh, Camera(*place, cameras.field_of_view), LIGHT, size) for place in places]
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


def spoil(pictures: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Every picture a little blurred, shifted by about half a pixel, tinted by 8 %, blotched by 3 %, its mask's edge
    frayed by a quarter."""
    generator = np.random.default_rng(seed)
    spoilt = []
    for one in pictures.numpy():
        alpha = one[..., 3:]
        soft = gaussian_filter(np.concatenate([one[..., :3] * alpha, alpha], axis=-1), (0.8, 0.8, 0))
        soft = shift(soft, (*generator.normal(0, 0.5, 2), 0), order=1)
        color, alpha = soft[..., :3] / soft[..., 3:].clip(1e-3), soft[..., 3]
        blotches = gaussian_filter(generator.normal(0, 0.03, color.shape), (1.5, 1.5, 0)) * 5.3
        color = color * (1 + generator.normal(0, 0.08, 3)) + blotches
        fray = gaussian_filter(generator.normal(0, 1, alpha.shape), 2) * 7.1
        alpha = alpha + 0.25 * fray * 4 * alpha * (1 - alpha)
        spoilt.append(np.concatenate([color, alpha[..., None]], axis=-1).clip(0, 1))
    return torch.from_numpy(np.stack(spoilt).astype(np.float32))


def reconstruct(shape: DataObject, case: Case, kind: str) -> Outcome:
    """Renders, fits, and measures on cameras between those that were fitted."""
    cameras = spiral(case.count, case.lowest, case.highest)
    held_out = spiral(8, max(case.lowest, -0.5), min(case.highest, 1.0), turned=0.3)
    pictures = photograph(shape, cameras, case.size)
    given = spoil(pictures) if case.spoilt else pictures
    began, processor_began = time.perf_counter(), time.process_time()
    views = Views.alike(given, cameras)
    start = field_of_silhouettes(views, START) if kind == "distance" else cloud(START)
    field = fit(start, views, settings=case.settings).field
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - processor_began
    seen = field.render(held_out, case.size, supersampling=2).over().clamp(0, 1)
    truth = photograph(shape, held_out, case.size).permute(0, 3, 1, 2)
    truth = truth[:, :3] * truth[:, 3:] + 1 - truth[:, 3:]
    solid = field_of_density(field) if isinstance(field, DensityField) else field
    assert isinstance(solid, SignedDistanceField)
    mesh = mesh_from_field(solid, detail=DETAIL, face_count=FACES, texture_size=None)
    sound = soundness(mesh.vertices, mesh.faces)
    return Outcome(
        name=shape.name,
        psnr=float(psnr(seen, truth).mean()),
        ssim=float(ssim(seen, truth).mean()),
        shape=fidelity(Surface.of(mesh.vertices, mesh.faces), Surface.of(shape.vertices, shape.faces)),
        sound=sound.watertight and sound.manifold,
        seconds=seconds,
        processor_seconds=processor_seconds,
        mesh=mesh,
        given=given[0].numpy(),
        rendered=seen[0].permute(1, 2, 0).numpy(),
        true=truth[0].permute(1, 2, 0).numpy(),
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, an object a row and the means."""
    lines = [
        "| object | PSNR, dB | SSIM | Chamfer-L1, % | F-score | normal consistency | watertight | s | processor s |",
        "|---|---:|---:|---:|---:|---:|---|---:|---:|",
    ]
    for one in outcomes:
        lines.append(
            f"| {one.name} | {one.psnr:.1f} | {one.ssim:.3f} | {100 * one.shape.chamfer_l1:.2f} | "
            f"{one.shape.f_score:.2f} | {one.shape.normal_consistency:.3f} | {'yes' if one.sound else 'NO'} | "
            f"{one.seconds:.0f} | {one.processor_seconds:.0f} |"
        )
    means = [np.mean([getattr(one, name) for one in outcomes]) for name in ("psnr", "ssim")]
    shapes = [
        np.mean([getattr(one.shape, name) for one in outcomes])
        for name in ("chamfer_l1", "f_score", "normal_consistency")
    ]
    lines.append(
        f"| mean | {means[0]:.1f} | {means[1]:.3f} | {100 * shapes[0]:.2f} | {shapes[1]:.2f} | {shapes[2]:.3f} | "
        f"{sum(one.sound for one in outcomes)} of {len(outcomes)} | | |"
    )
    return "\n".join(lines)


def strip(outcome: Outcome, size: int = 220) -> np.ndarray:
    """One object: a view that was given, an unseen one rendered and in truth, the mesh without and with colours."""
    given = outcome.given[..., :3] * outcome.given[..., 3:] + 1 - outcome.given[..., 3:]
    plain = Mesh(outcome.mesh.vertices, outcome.mesh.faces)
    photos = [
        np.asarray(
            Image.fromarray(np.rint(255 * image).astype(np.uint8)).resize((size, size), Image.Resampling.LANCZOS)
        )
        for image in (given, outcome.rendered, outcome.true)
    ]
    return np.concatenate([*photos, picture(plain, size), picture(outcome.mesh, size)], axis=1)


def report(options: argparse.Namespace) -> None:
    """Measures and prints. Raises InputError or MachineError."""
    dev = Archive(options.dev)
    strips = []
    for case in CASES:
        outcomes = [reconstruct(dev[index], case, options.kind) for index in options.objects]
        print(f"\n## {case.name}, {case.settings.steps} steps, {case.settings.cells} cells, {options.kind}\n")
        print(table(outcomes), flush=True)
        strips += [strip(outcome) for outcome in outcomes]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"\n{options.threads} threads; at most {most:.2f} GiB of memory, torch and the benchmark's own included.")
    if options.picture is not None:
        Image.fromarray(np.concatenate(strips)).save(options.picture, quality=85)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="radiance", description="Measure radiance fields by themselves.")
    parser.add_argument("--dev", type=Path, required=True, help="a data-set zip")
    parser.add_argument("--objects", type=int, nargs="+", default=OBJECTS, help="which of its objects, by number")
    parser.add_argument("--kind", choices=("distance", "density"), default="distance", help="of field")
    parser.add_argument("--picture", type=Path, help="a file for a picture of the results")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    return exit_code_of(lambda: report(options))


if __name__ == "__main__":
    sys.exit(main())
