"""Trains the shape auto-encoder.

    python3 build.py train shape_autoencoder --data train.zip --dev dev.zip

Losses: truncated signed distance (Park et al., "DeepSDF", 2019, eq. 4), the sign as occupancy (Mescheder et al.,
"Occupancy Networks", 2019, eq. 2; soft, so that the distance itself is what minimises it), colour at the surface
(Oechsle et al., "Texture Fields", 2019), and the Kullback-Leibler divergence of a Gaussian posterior of fixed width,
which is the latent's mean square but for constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.distance_grids import transformed
from ..data.distance_packing import pack_distance_grids
from ..data.holdout import held_out
from ..data.packing import PackedData, pack
from ..data.sampling import NEAR_POINTS, UNIFORM_POINTS
from ..errors import InputError
from ..models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from ..weights.bundled import AUTOENCODER, load_weights, save_weights
from . import processes
from .card import AutoencoderReport, write_autoencoder_card
from .loop import Schedule, train
from .options import Run, training_parser
from .samples import row_of_latents

TRUNCATION = 0.1
SIGN_TEMPERATURE = 0.01
"""Model units; the sign of places farther from the surface than a few of these is meant to be certain."""
LATENT_NOISE = 0.1
LATENT_WEIGHT = 1e-3
CHROMA_WEIGHT = 60.0
SHOWN = 6
"""Objects in the picture of the training's progress."""

CONFIGURATIONS = {
    "small": (ShapeAutoencoderConfig(), Schedule(minutes=60, batch_size=16, learning_rate=1.5e-3)),
    "base": (ShapeAutoencoderConfig(), Schedule(minutes=12, batch_size=128, learning_rate=3e-3)),
    "further": (ShapeAutoencoderConfig(), Schedule(minutes=30, batch_size=16, learning_rate=5e-4, warmup_steps=50)),
}
"""`further` is for weights that `--start` names."""


@dataclass
class ShapeBatch:
    """Tensors of B shapes: distance grids (B, 64, 64, 64) and surface points with colours as the encoder takes them,
    queries (B, Q, 3) with distances (B, Q), and surface points (B, C, 3) with their sRGB; `colored` (B,) is 0 where the
    source gave no colour."""

    grids: Tensor
    positions: Tensor
    colors: Tensor
    queries: Tensor
    distances: Tensor
    color_positions: Tensor
    color_targets: Tensor
    colored: Tensor


AS_IT_STANDS = 0.5
TURNED = 0.25
"""Shares of the shapes: at most mirrored in x, and turned by any angle; the others are turned by quarters."""


def draw_symmetry(generator: np.random.Generator) -> np.ndarray:
    """A (3, 3) float32 matrix: mirrored in x for a shape as it stands, else any of the eight that keep Z up."""
    flip_x, flip_y, swap = generator.random(3) < 0.5
    if generator.random() < AS_IT_STANDS:
        flip_y = swap = False
    matrix = np.diag([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0, 1.0]).astype(np.float32)
    return matrix[[1, 0, 2]] if swap else matrix


def draw_turn(generator: np.random.Generator) -> np.ndarray:
    """A (3, 3) float32 matrix: about Z by any angle, and smaller by up to a sixth."""
    angle, size = generator.uniform(0, 2 * np.pi), generator.uniform(5 / 6, 1)
    cosine, sine = np.cos(angle), np.sin(angle)
    return size * np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)


def after_symmetry(grid: np.ndarray, symmetry: np.ndarray) -> np.ndarray:
    """A grid (R, R, R) of a shape after a matrix of `draw_symmetry`: exact, since cells fall on cells."""
    if symmetry[0, 0] == 0:
        grid = grid.swapaxes(0, 1)
    signs = symmetry.sum(axis=1)
    return grid[:: int(signs[0]), :: int(signs[1])]


class ShapeSampler:
    """Draws augmented batches from packed data and its distance grids (n, 64, 64, 64) int8.

    surface: points that the encoder sees. near, far: queries around the surface, and in the band and the cube. color:
    surface points, none of which the encoder sees, whose colour is asked for.
    """

    def __init__(
        self,
        data: PackedData,
        grids: np.ndarray,
        device: torch.device,
        *,
        surface: int = 2048,
        near: int = 896,
        far: int = 640,
        color: int = 384,
    ) -> None:
        self.data, self.grids, self.device = data, grids, device
        self.surface, self.near, self.far, self.color = surface, near, far, color
        classes = [record["class"] for record in data.records]
        frequency = {name: classes.count(name) for name in set(classes)}
        # Between one share per object and one per class: rare classes are seen more often, not as often as all others.
        weight = np.array([frequency[name] ** -0.5 for name in classes])
        weight[held_out(data.records)] = 0
        self.weight = weight / weight.sum()

    def near_queries(self, generator: np.random.Generator, shapes: np.ndarray) -> np.ndarray:
        """Which queries near the surface are asked of shapes (B,): indices (B, near)."""
        return generator.integers(0, NEAR_POINTS, (len(shapes), self.near))

    def __call__(self, generator: np.random.Generator, count: int) -> ShapeBatch:
        data = self.data
        shapes = generator.choice(len(data), count, p=self.weight)
        surface_total = data.surface_positions.shape[1]
        points = np.stack([generator.choice(surface_total, self.surface + self.color, replace=False) for _ in shapes])
        queries = np.concatenate(
            [
                self.near_queries(generator, shapes),
                generator.integers(NEAR_POINTS, data.query_positions.shape[1], (count, self.far)),
            ],
            axis=1,
        )
        rows = shapes[:, None]
        matrices = np.stack([draw_symmetry(generator) for _ in shapes])
        grids = np.stack(
            [after_symmetry(self.grids[shape], matrix) for shape, matrix in zip(shapes, matrices, strict=True)]
        )
        grids = grids.astype(np.float32) / 127
        turned = np.flatnonzero(generator.random(count) < TURNED)
        if len(turned):
            turns = np.stack([draw_turn(generator) for _ in turned])
            matrices[turned] = turns @ matrices[turned]
            grids[turned] = transformed(torch.from_numpy(grids[turned]), torch.from_numpy(turns)).numpy()
        # Every matrix keeps angles, so that distances grow as lengths do.
        scale = np.linalg.norm(matrices[:, :, 2], axis=1)[:, None]

        def moved(positions: np.ndarray) -> np.ndarray:
            return np.einsum("bij,bnj->bni", matrices, positions.astype(np.float32))

        positions = moved(data.surface_positions[rows, points])
        order = np.stack([generator.permutation(3) if generator.random() < 0.3 else np.arange(3) for _ in shapes])
        srgb = data.surface_colors[rows, points].astype(np.float32) / 255
        colors = np.take_along_axis(srgb, order[:, None, :], axis=2)
        split = self.surface
        arrays = [
            grids,
            positions[:, :split],
            colors[:, :split],
            moved(data.query_positions[rows, queries]),
            data.query_distances[rows, queries].astype(np.float32) * scale,
            positions[:, split:],
            colors[:, split:],
            np.array([data.records[i]["has_color"] for i in shapes], np.float32),
        ]
        return ShapeBatch(*[torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays])


def color_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Error (B,) of grey, absolute, and of the difference from grey, squared and heavy: most surfaces are nearly grey,
    so an absolute error would leave every surface grey and never teach the latent to carry hue."""
    grey, target_grey = predicted.mean(-1, keepdim=True), target.mean(-1, keepdim=True)
    chroma = ((predicted - grey) - (target - target_grey)).square().mean((1, 2))
    return (grey - target_grey).abs().mean((1, 2)) + CHROMA_WEIGHT * chroma


def reconstruction_losses(distance: Tensor, color: Tensor, batch: ShapeBatch) -> dict[str, Tensor]:
    """The weighted terms for what a decoder answered: distance (B, Q) at the queries and sRGB (B, C, 3) at the surface
    points, float32."""
    inside = torch.sigmoid(-batch.distances / SIGN_TEMPERATURE)
    error = distance.clamp(-TRUNCATION, TRUNCATION) - batch.distances.clamp(-TRUNCATION, TRUNCATION)
    color_errors = color_error(color, batch.color_targets) * batch.colored
    return {
        "distance": error.abs().mean() / TRUNCATION,
        "sign": 0.5 * functional.binary_cross_entropy_with_logits(-distance / SIGN_TEMPERATURE, inside),
        "color": 0.3 * color_errors.sum() / batch.colored.sum().clamp(min=1),
    }


def losses_of(model: ShapeAutoencoder, batch: ShapeBatch) -> dict[str, Tensor]:
    """The terms of the loss, weighted."""
    latent = model.encoder(batch.grids, batch.positions, batch.colors).float()
    grids = model.decoder.grids(latent + LATENT_NOISE * torch.randn_like(latent))
    distance = model.decoder.signed_distance(grids, batch.queries).float()
    color = model.decoder.srgb(grids, batch.color_positions).float()
    losses = reconstruction_losses(distance, color, batch)
    return {**losses, "latent": LATENT_WEIGHT * latent.square().mean()}


@torch.no_grad()
def encode(model: ShapeAutoencoder, data: PackedData, grids: np.ndarray, index: int, device: torch.device) -> Tensor:
    """The latent (C, 8, 8, 8) of one packed object as it is."""
    arrays = grids[index] / np.float32(127), data.surface_positions[index], data.surface_colors[index] / np.float32(255)
    return model.encoder(*(torch.from_numpy(array.astype(np.float32))[None].to(device) for array in arrays))[0]


@torch.no_grad()
def evaluate(
    model: ShapeAutoencoder, data: PackedData, grids: np.ndarray, objects: Sequence[int], device: torch.device
) -> dict[str, float]:
    """Mean over some objects: intersection over union of the uniform queries, and absolute sRGB error at the surface.

    grids: (n, 64, 64, 64) int8, of the objects as they are. objects: indices of those that are measured.
    """
    ious, color_errors = [], []
    for index in objects:

        def tensor(array: np.ndarray, scale: float = 1.0) -> Tensor:
            return torch.from_numpy(array.astype(np.float32) / scale)[None].to(device)

        positions, colors = tensor(data.surface_positions[index]), tensor(data.surface_colors[index], 255)
        features = model.decoder.grids(encode(model, data, grids, index, device)[None])
        uniform = slice(-UNIFORM_POINTS, None)
        predicted = model.decoder.signed_distance(features, tensor(data.query_positions[index, uniform]))[0] < 0
        inside = torch.from_numpy(data.query_distances[index, uniform] < 0).to(device)
        if inside.any():
            ious.append((predicted & inside).sum().item() / (predicted | inside).sum().item())
        if data.records[index]["has_color"]:
            color_errors.append((model.decoder.srgb(features, positions) - colors).abs().mean().item())
    return {"iou": float(np.mean(ious)), "color_error": float(np.mean(color_errors))}


def main(arguments: list[str] | None = None) -> None:
    """Pack, train, measure, save; see --help."""
    parser = training_parser("shape_autoencoder", "Train the shape auto-encoder.", CONFIGURATIONS)
    parser.add_argument("--dev", type=Path, help="data to measure on; by default what is held out of --data")
    parser.add_argument("--start", type=Path, help="a folder of weights that this starts with")
    options = parser.parse_args(arguments)
    run = Run.of(options, "shape_autoencoder", CONFIGURATIONS)
    with processes.first_alone():
        data, grids = pack(run.data, run.packed), pack_distance_grids(run.data, run.packed)
    dev, dev_grids, measured = data, grids, np.flatnonzero(held_out(data.records))
    if options.dev is not None:
        packed_dev = options.out / f"packed_{options.dev.stem}"
        with processes.first_alone():
            dev, dev_grids = pack(options.dev, packed_dev), pack_distance_grids(options.dev, packed_dev)
        measured = np.arange(len(dev))
    if not len(measured):
        raise InputError(f"{run.data} has too few objects to hold any out: name others to measure on by --dev.")
    torch.manual_seed(0)
    model = ShapeAutoencoder(run.config)
    if options.start is not None:
        model.load_state_dict(load_weights(AUTOENCODER, options.start)[0])
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # missing from torch's own overloads
    shown = measured[:: max(len(measured) // SHOWN, 1)][:SHOWN]

    def samples(model: ShapeAutoencoder) -> np.ndarray:
        return row_of_latents(model, [encode(model, dev, dev_grids, index, run.device) for index in shown])

    sampler, checkpoint = ShapeSampler(data, grids, run.device), run.folder / "checkpoint.pt"
    trained = train(model, sampler, losses_of, run.schedule, checkpoint, device=run.device, samples=samples)
    if processes.rank():
        return
    metrics = evaluate(trained.model.eval(), dev, dev_grids, measured.tolist(), run.device)
    save_weights(AUTOENCODER, trained.model.state_dict(), asdict(run.config), run.weights)
    report = AutoencoderReport(run.configuration, run.schedule, trained, metrics, len(data), len(measured))
    write_autoencoder_card(report, run.weights)
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes: {metrics}")


if __name__ == "__main__":
    main()
