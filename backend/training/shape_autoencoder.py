"""Trains the shape auto-encoder.

    python3 build.py train shape_autoencoder --data train.zip --dev dev.zip

Losses: truncated signed distance (Park et al., "DeepSDF", 2019, eq. 4), the sign as occupancy (Mescheder et al.,
"Occupancy Networks", 2019, eq. 2), colour at the surface (Oechsle et al., "Texture Fields", 2019), and the
Kullback-Leibler divergence of a Gaussian posterior of fixed width, which is the latent's mean square but for constants.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.packing import PackedData, pack
from ..data.sampling import NEAR_POINTS, UNIFORM_POINTS
from ..models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from ..weights.bundled import AUTOENCODER, FOLDER, save_weights
from .card import AutoencoderReport, write_autoencoder_card
from .loop import Schedule, train

TRUNCATION = 0.1
SIGN_TEMPERATURE = 0.02
LATENT_NOISE = 0.1
LATENT_WEIGHT = 1e-3
CHROMA_WEIGHT = 60.0

CONFIGURATIONS = {
    "small": (ShapeAutoencoderConfig(), Schedule(minutes=64, batch_size=16, learning_rate=2e-3)),
    "base": (ShapeAutoencoderConfig(), Schedule(minutes=12, batch_size=128, learning_rate=3e-3)),
}


@dataclass
class ShapeBatch:
    """Tensors of B shapes: surface points as the encoder takes them, queries (B, Q, 3) with distances (B, Q), and
    surface points (B, C, 3) with their sRGB; `colored` (B,) is 0 where the source gave no colour."""

    positions: Tensor
    normals: Tensor
    colors: Tensor
    queries: Tensor
    distances: Tensor
    color_positions: Tensor
    color_targets: Tensor
    colored: Tensor


def _turns(generator: np.random.Generator, count: int) -> np.ndarray:
    """Half of the shapes as they are, half turned about Z by any angle; half of all mirrored in x: (B, 3, 3)."""
    angle = np.where(generator.random(count) < 0.5, 0.0, generator.uniform(0, 2 * np.pi, count))
    turn = np.zeros((count, 3, 3), np.float32)
    turn[:, 0, 0], turn[:, 0, 1] = np.cos(angle), -np.sin(angle)
    turn[:, 1, 0], turn[:, 1, 1] = np.sin(angle), np.cos(angle)
    turn[:, 2, 2] = 1
    turn[:, :, 0] *= np.where(generator.random(count) < 0.5, 1, -1)[:, None]
    return turn


class ShapeSampler:
    """Draws augmented batches from packed data.

    surface: points that the encoder sees. near, far: queries around the surface, and in the band and the cube. color:
    surface points, none of which the encoder sees, whose colour is asked for.
    """

    def __init__(
        self,
        data: PackedData,
        device: torch.device,
        *,
        surface: int = 2048,
        near: int = 768,
        far: int = 512,
        color: int = 384,
    ) -> None:
        self.data, self.device = data, device
        self.surface, self.near, self.far, self.color = surface, near, far, color
        classes = [record["class"] for record in data.records]
        frequency = {name: classes.count(name) for name in set(classes)}
        # Between one share per object and one per class: rare classes are seen more often, not as often as all others.
        weight = np.array([frequency[name] ** -0.5 for name in classes])
        self.weight = weight / weight.sum()

    def __call__(self, generator: np.random.Generator, count: int) -> ShapeBatch:
        data = self.data
        shapes = generator.choice(len(data), count, p=self.weight)
        surface_total, query_total = data.surface_positions.shape[1], data.query_positions.shape[1]
        points = np.stack([generator.choice(surface_total, self.surface + self.color, replace=False) for _ in shapes])
        queries = np.concatenate(
            [
                generator.integers(0, NEAR_POINTS, (count, self.near)),
                generator.integers(NEAR_POINTS, query_total, (count, self.far)),
            ],
            axis=1,
        )
        rows = shapes[:, None]
        turn = _turns(generator, count)
        scale = generator.uniform(0.85, 1.05, (count, 1, 1)).astype(np.float32)

        def moved(positions: np.ndarray) -> np.ndarray:
            return np.einsum("bij,bnj->bni", turn, positions.astype(np.float32)) * scale

        positions = moved(data.surface_positions[rows, points])
        normals = np.einsum("bij,bnj->bni", turn, data.surface_normals[rows, points].astype(np.float32) / 127)
        order = np.stack([generator.permutation(3) if generator.random() < 0.3 else np.arange(3) for _ in shapes])
        srgb = data.surface_colors[rows, points].astype(np.float32) / 255
        colors = np.take_along_axis(srgb, order[:, None, :], axis=2)
        split = self.surface
        arrays = [
            positions[:, :split],
            normals[:, :split],
            colors[:, :split],
            moved(data.query_positions[rows, queries]),
            data.query_distances[rows, queries].astype(np.float32) * scale[..., 0],
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


def losses_of(model: ShapeAutoencoder, batch: ShapeBatch) -> dict[str, Tensor]:
    """The terms of the loss, weighted."""
    latent = model.encoder(batch.positions, batch.normals, batch.colors).float()
    grids = model.decoder.grids(latent + LATENT_NOISE * torch.randn_like(latent))
    distance = model.decoder.signed_distance(grids, batch.queries).float()
    color = model.decoder.srgb(grids, batch.color_positions).float()
    inside = torch.sigmoid(-batch.distances / (SIGN_TEMPERATURE / 4))
    error = distance.clamp(-TRUNCATION, TRUNCATION) - batch.distances.clamp(-TRUNCATION, TRUNCATION)
    color_errors = color_error(color, batch.color_targets) * batch.colored
    return {
        "distance": error.abs().mean() / TRUNCATION,
        "sign": 0.5 * functional.binary_cross_entropy_with_logits(-distance / SIGN_TEMPERATURE, inside),
        "color": 0.3 * color_errors.sum() / batch.colored.sum().clamp(min=1),
        "latent": LATENT_WEIGHT * latent.square().mean(),
    }


@torch.no_grad()
def evaluate(model: ShapeAutoencoder, data: PackedData, device: torch.device) -> dict[str, float]:
    """Mean over the objects: intersection over union of the uniform queries, and absolute sRGB error at the surface."""
    ious, color_errors = [], []
    for index in range(len(data)):

        def tensor(array: np.ndarray, scale: float = 1.0) -> Tensor:
            return torch.from_numpy(array.astype(np.float32) / scale)[None].to(device)

        positions, colors = tensor(data.surface_positions[index]), tensor(data.surface_colors[index], 255)
        latent = model.encoder(positions, tensor(data.surface_normals[index], 127), colors)
        grids = model.decoder.grids(latent)
        uniform = slice(-UNIFORM_POINTS, None)
        predicted = model.decoder.signed_distance(grids, tensor(data.query_positions[index, uniform]))[0] < 0
        inside = torch.from_numpy(data.query_distances[index, uniform] < 0).to(device)
        if inside.any():
            ious.append((predicted & inside).sum().item() / (predicted | inside).sum().item())
        if data.records[index]["has_color"]:
            color_errors.append((model.decoder.srgb(grids, positions) - colors).abs().mean().item())
    return {"iou": float(np.mean(ious)), "color_error": float(np.mean(color_errors))}


def main(arguments: list[str] | None = None) -> None:
    """Pack, train, measure, save; see --help."""
    parser = argparse.ArgumentParser(prog="shape_autoencoder", description="Train the shape auto-encoder.")
    parser.add_argument("--data", type=Path, required=True, help="data-set zip to train on")
    parser.add_argument("--dev", type=Path, required=True, help="data-set zip to measure on")
    parser.add_argument("--out", type=Path, default=Path("training_runs"), help="packed data and checkpoints")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="where the weights and their card are written")
    parser.add_argument("--configuration", choices=CONFIGURATIONS, default="small")
    parser.add_argument("--minutes", type=float, help="another time budget than the configuration's")
    options = parser.parse_args(arguments)

    config, schedule = CONFIGURATIONS[options.configuration]
    if options.minutes is not None:
        schedule = Schedule(**{**asdict(schedule), "minutes": options.minutes})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = pack(options.data, options.out / f"packed_{options.data.stem}")
    dev = pack(options.dev, options.out / f"packed_{options.dev.stem}")
    torch.manual_seed(0)
    model = ShapeAutoencoder(config)
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # missing from torch's own overloads
    checkpoint = options.out / "shape_autoencoder" / "checkpoint.pt"
    trained = train(model, ShapeSampler(data, device), losses_of, schedule, checkpoint, device=device)
    metrics = evaluate(trained.model.eval(), dev, device)
    save_weights(AUTOENCODER, trained.model.state_dict(), asdict(config), options.weights)
    report = AutoencoderReport(options.configuration, schedule, trained, metrics, len(data), len(dev))
    write_autoencoder_card(report, options.weights)
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes: {metrics}")


if __name__ == "__main__":
    main()
