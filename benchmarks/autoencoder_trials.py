"""Small auto-encoders trained alike and measured alike, so that one thing at a time can differ between them.

All learn from the same batches with the same optimiser (AdamW at 1.5e-3 unless said otherwise), for the same minutes
*of the processor*: other work beside a trial takes nothing from it. Measured on objects that training never saw, in
model units:

- IoU: of the packed uniform points of [−1, 1]³.
- Chamfer-L1, normal consistency: between the surface of a grid of DETAIL cells a side and the data's own mesh, 8,192
  samples each; Chamfer-L1 is half the sum of both mean distances to the other *surface*. Empty shapes, which have
  neither, are left out of these two and counted.
- colour: mean absolute sRGB error at surface points.
- decode: processor seconds for latent → signed distances at DETAIL³ points, median.
- bits: what a latent can carry. Quantised: bits of all its numbers. Continuous: Σ ½ log₂(1 + σ² / ν²), the capacity
  of Gaussian channels with the training's noise ν and each number's variance σ² over the measured objects.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from backend.color import srgb_to_linear
from backend.data.archive import Archive
from backend.data.distance_packing import pack_distance_grids
from backend.data.packing import PackedData, pack
from backend.data.sampling import SURFACE_POINTS, UNIFORM_POINTS
from backend.data.surface import sample_surface
from backend.errors import InputError
from backend.meshing.surface import coarse_surface
from backend.metrics import normal_consistency
from backend.models.candidates import cell_centres
from backend.models.shape_codes import LEVELS
from backend.training.loop import Schedule, train
from backend.training.samples import tile_of
from backend.training.shape_autoencoder import (
    LATENT_NOISE,
    LATENT_WEIGHT,
    ShapeBatch,
    ShapeSampler,
    reconstruction_losses,
)
from benchmarks.latent_networks.network import LatentNetwork
from benchmarks.reconstruction_fidelity import Surface, VolumeField

CPU = torch.device("cpu")
DETAIL = 64
TIMED = 5
SHOWN = 8
POINTS_AT_ONCE = 1 << 15
BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS = 8, 1.5e-3, 50

Terms = Callable[[Any, ShapeBatch], dict[str, Tensor]]


@dataclass(frozen=True)
class Decoding:
    """A batch on its way through a network: the latents, and what the network made of them to be asked at points."""

    latent: Tensor
    expanded: Any

    @classmethod
    def of(cls, network: LatentNetwork, batch: ShapeBatch) -> Decoding:
        """With the training's noise on latents that are not quantised."""
        latent = network.encode(batch.grids, batch.positions, batch.colors).float()
        noise = 0.0 if network.quantized else LATENT_NOISE
        return cls(latent, network.expand(latent + noise * torch.randn_like(latent)))

    def terms(self, network: LatentNetwork, batch: ShapeBatch) -> dict[str, Tensor]:
        """The terms of the product's own loss, weighted; a quantised latent needs none to stay bounded."""
        distance = network.signed_distance(self.expanded, batch.queries).float()
        color = network.srgb(self.expanded, batch.color_positions).float()
        terms = reconstruction_losses(distance, color, batch)
        return terms if network.quantized else {**terms, "latent": LATENT_WEIGHT * self.latent.square().mean()}


def all_terms(network: LatentNetwork, batch: ShapeBatch) -> dict[str, Tensor]:
    """The loss that the bundled auto-encoder is trained with."""
    return Decoding.of(network, batch).terms(network, batch)


@dataclass(frozen=True)
class Trial:
    """What is trained, on which terms of the loss, from batches drawn how, at which rate."""

    name: str
    network: Callable[[], LatentNetwork]
    terms: Terms = all_terms
    sampler: type[ShapeSampler] = ShapeSampler
    learning_rate: float = LEARNING_RATE


@dataclass(frozen=True)
class Examples:
    """Packed objects, their distance grids (n, 64, 64, 64) int8, and the archive they come from."""

    data: PackedData
    grids: np.ndarray
    source: Archive

    @classmethod
    def of(cls, source: Path, folder: Path) -> Examples:
        """Packs a data-set zip into `folder`, where that was not done before. Raises InputError."""
        archive, packed = Archive(source), folder / f"packed_{source.stem}"
        return cls(pack(source, packed), pack_distance_grids(source, packed), archive)

    def inputs(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """What an encoder is given of one object."""
        arrays = self.grids[index] / 127, self.data.surface_positions[index], self.data.surface_colors[index] / 255
        distances, positions, colors = (torch.from_numpy(array.astype(np.float32))[None] for array in arrays)
        return distances, positions, colors


class DecodedShape:
    """One latent, decoded, as a field (see `backend.representations.field`)."""

    def __init__(self, network: LatentNetwork, latent: Tensor) -> None:
        with torch.no_grad():
            self.network, self.expanded = network, network.expand(latent[None])

    @torch.no_grad()
    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32."""
        parts = points.split(POINTS_AT_ONCE)
        return torch.cat([self.network.signed_distance(self.expanded, part[None])[0] for part in parts])

    @torch.no_grad()
    def srgb(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 in [0, 1]."""
        return self.network.srgb(self.expanded, points[None])[0]

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32, linear."""
        return torch.from_numpy(srgb_to_linear(self.srgb(points).numpy()))


@dataclass(frozen=True)
class Reconstructed:
    """One object's figures, as the module defines them; NaN where there is none."""

    iou: float
    chamfer_l1: float
    normal_consistency: float
    color_error: float


@dataclass(frozen=True)
class Outcome:
    """A trained trial: its size, steps taken, and the means over the measured objects."""

    name: str
    parameters: int
    latent_numbers: int
    bits: float
    steps: int
    figures: Reconstructed
    empty: int
    decode_seconds: float


def reconstructed(shape: DecodedShape, examples: Examples, index: int) -> Reconstructed:
    """Measures a decoded shape against the object it was encoded from."""
    data, truth = examples.data, examples.source[index]
    uniform = slice(-UNIFORM_POINTS, None)
    places = torch.from_numpy(data.query_positions[index, uniform].astype(np.float32))
    found, inside = shape.signed_distance(places) < 0, torch.from_numpy(data.query_distances[index, uniform] < 0)
    union = int((found | inside).sum())
    positions = torch.from_numpy(data.surface_positions[index].astype(np.float32))
    srgb = torch.from_numpy(data.surface_colors[index].astype(np.float32) / 255)
    vertices, faces = coarse_surface(shape, DETAIL)
    chamfer = consistency = math.nan
    if len(faces):
        points = sample_surface(vertices, faces, SURFACE_POINTS, np.random.default_rng(0))
        own = torch.from_numpy(points.positions)
        there = Surface.of(truth.vertices, truth.faces).distances(own)
        back = Surface.of(vertices, faces).distances(positions)
        chamfer = float(there.mean() + back.mean()) / 2
        normals = torch.from_numpy(data.surface_normals[index].astype(np.float32))
        consistency = float(
            normal_consistency(own[None], torch.from_numpy(points.normals)[None], positions[None], normals[None])
        )
    known = bool(data.records[index]["has_color"])
    return Reconstructed(
        iou=int((found & inside).sum()) / union if inside.any() else math.nan,
        chamfer_l1=chamfer,
        normal_consistency=consistency,
        color_error=float((shape.srgb(positions) - srgb).abs().mean()) if known else math.nan,
    )


def decode_seconds(network: LatentNetwork, latent: Tensor) -> float:
    """Of the processor, from a latent to signed distances at DETAIL³ points; the median of TIMED turns."""
    places, seconds = cell_centres(DETAIL), []
    for _ in range(TIMED):
        start = time.process_time()
        DecodedShape(network, latent).signed_distance(places)
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def capacity(network: LatentNetwork, latents: Tensor) -> float:
    """Bits that a latent can carry, from the latents (n, ...) of n objects; see the module's words."""
    if network.quantized:
        return latents[0].numel() * math.log2(LEVELS)
    return float(0.5 * torch.log2(1 + latents.var(dim=0) / LATENT_NOISE**2).sum())


def trained(trial: Trial, examples: Examples, minutes: float, folder: Path) -> tuple[LatentNetwork, int]:
    """The network after so many minutes of the processor, averaged over its steps, and how many those were.

    `folder` keeps checkpoints: a trial that was cut off goes on, and a finished one is only read.
    """
    torch.manual_seed(0)
    result = train(
        trial.network(),
        trial.sampler(examples.data, examples.grids, CPU),
        trial.terms,
        Schedule(minutes, BATCH_SIZE, trial.learning_rate, warmup_steps=WARMUP_STEPS),
        folder / f"{trial.name.replace(' ', '_')}_{minutes:g}_minutes" / "checkpoint.pt",
        device=CPU,
        clock=time.process_time,
    )
    return result.model.eval(), result.steps


def outcome(trial: Trial, network: LatentNetwork, steps: int, dev: Examples) -> Outcome:
    """Measures a trained network on all objects of `dev`."""
    with torch.no_grad():
        latents = torch.cat([network.encode(*dev.inputs(index)) for index in range(len(dev.data))])
    results = [
        reconstructed(DecodedShape(network, latent), dev, index)
        for index, latent in enumerate(tqdm(latents, f"Measuring {trial.name}", unit="object"))
    ]
    names = [field.name for field in fields(Reconstructed)]
    return Outcome(
        name=trial.name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        latent_numbers=latents[0].numel(),
        bits=capacity(network, latents),
        steps=steps,
        figures=Reconstructed(*(float(np.nanmean([getattr(result, name) for result in results])) for name in names)),
        empty=sum(math.isnan(result.chamfer_l1) for result in results),
        decode_seconds=decode_seconds(network, latents[0]),
    )


def picture_row(network: LatentNetwork, dev: Examples, shown: Sequence[int]) -> np.ndarray:
    """What the network makes of some objects, side by side, (H, W, 3) uint8."""
    with torch.no_grad():
        latents = [network.encode(*dev.inputs(index))[0] for index in shown]
    return np.concatenate([tile_of(DecodedShape(network, latent)) for latent in latents], axis=1)


HEAD = (
    "| | parameters | latent | bits | steps | IoU | Chamfer-L1 | normals | colour error | empty | decode 64³, s |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def row(result: Outcome) -> str:
    """One line of the table whose head is HEAD."""
    figures = result.figures
    return (
        f"| {result.name} | {result.parameters / 1e6:.2f} M | {result.latent_numbers:,} | {result.bits:,.0f} "
        f"| {result.steps:,} | {figures.iou:.3f} | {figures.chamfer_l1:.4f} | {figures.normal_consistency:.3f} "
        f"| {figures.color_error:.3f} | {result.empty} | {result.decode_seconds:.2f} |"
    )


def report(trials: Sequence[Trial], options: argparse.Namespace, name: str) -> Iterator[str]:
    """Trains and measures one after the other; lines of Markdown as they come. Raises InputError."""
    train_set, dev = Examples.of(options.data, options.out), Examples.of(options.dev, options.out)
    yield f"{options.minutes:g} processor minutes each, one thread, {platform.machine()}; {len(dev.data)} objects.\n"
    yield HEAD
    shown = range(0, len(dev.data), max(len(dev.data) // SHOWN, 1))[:SHOWN]
    rows = [np.concatenate([tile_of(VolumeField(dev.source[index])) for index in shown], axis=1)]
    for trial in trials:
        network, steps = trained(trial, train_set, options.minutes, options.out / name)
        yield row(outcome(trial, network, steps, dev))
        rows.append(picture_row(network, dev, shown))
    if options.picture is not None:
        Image.fromarray(np.concatenate(rows)).save(options.picture, quality=85)


def main(name: str, description: str, trials: Sequence[Trial], arguments: Sequence[str] | None) -> int:
    """The command line of a benchmark that consists of trials; returns its exit code."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--data", type=Path, required=True, help="a data-set zip to train on")
    parser.add_argument("--dev", type=Path, required=True, help="a data-set zip to measure on")
    parser.add_argument("--minutes", type=float, default=7, help="of the processor, for each (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=[trial.name for trial in trials], help="these (default: all)")
    parser.add_argument("--out", type=Path, default=Path("training_runs"), help="packed data and checkpoints")
    parser.add_argument("--picture", type=Path, help="where a picture of objects and what came of them is written")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        for line in report([trial for trial in trials if trial.name in (options.only or trial.name)], options, name):
            print(line, flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
