"""Trains the text-conditioned prior over the bundled auto-encoder's latents.

    python3 build.py train latent_prior --data train.zip

Flow matching on straight paths (Lipman et al. 2022, eq. 23, with σ_min = 0), times drawn logit-normal (Esser et al.,
"Scaling Rectified Flow Transformers", 2024), a share of the sentences left out for classifier-free guidance.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ..data.captions import main_colors, proportion_words, proportions, sentences
from ..data.packing import PackedData, pack
from ..models.latent_prior import LatentPrior, LatentPriorConfig
from ..models.principal_components import PrincipalComponents
from ..models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from ..models.text_encoder import TextEncoder
from ..weights.bundled import AUTOENCODER, FOLDER, PRIOR, expected_hashes, load_weights, save_weights
from .card import PriorReport, write_prior_card
from .loop import Schedule, save_whole, train

VIEWS = 4
"""Latents an object: as it is, mirrored, and twice stretched."""
SENTENCES = 8
STRETCH = 0.15
TEXT_DROPOUT = 0.12
TEXT_NOISE = 0.012
HALF_EXTENT = 0.9

CONFIGURATIONS = {
    "small": (LatentPriorConfig(), Schedule(minutes=24, batch_size=512, learning_rate=1e-3)),
    "base": (LatentPriorConfig(), Schedule(minutes=10, batch_size=2048, learning_rate=2e-3)),
}


def _view(
    positions: np.ndarray, normals: np.ndarray, view: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One augmented copy of surface points: views 1 and 3 are mirrored in x, 2 and 3 stretched along each axis."""
    factors = np.ones(3, np.float32)
    if view >= 2:
        factors = np.exp(generator.uniform(-STRETCH, STRETCH, 3)).astype(np.float32)
    if view % 2:
        factors[0] = -factors[0]
    positions = positions * factors
    low, high = positions.min(0), positions.max(0)
    positions = (positions - (low + high) / 2) * (2 * HALF_EXTENT / (high - low).max())
    normals = normals / factors
    return positions, normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-6)


@torch.no_grad()
def encode_all(autoencoder: ShapeAutoencoder, data: PackedData, device: torch.device) -> Tensor:
    """Latents (n, VIEWS, C, 8, 8, 8) float16 of all objects."""
    latents = []
    for index in tqdm(range(len(data)), "Encoding", unit="object", mininterval=10):
        generator = np.random.default_rng([1, index])
        positions = data.surface_positions[index].astype(np.float32)
        normals = data.surface_normals[index].astype(np.float32) / 127
        views = [_view(positions, normals, view, generator) for view in range(VIEWS)]
        colors = torch.from_numpy(data.surface_colors[index].astype(np.float32) / 255).expand(VIEWS, -1, -1)
        stacked = (torch.from_numpy(np.stack(part).astype(np.float32)).to(device) for part in zip(*views, strict=True))
        with torch.autocast(device.type, dtype=torch.bfloat16):
            encoded = autoencoder.encoder(*stacked, colors.to(device))
        latents.append(encoded.to("cpu", torch.float16))
    return torch.stack(latents)


def describe_all(data: PackedData) -> list[list[str]]:
    """SENTENCES captions for every object."""
    extents = np.stack([np.ptp(positions.astype(np.float32), axis=0) for positions in data.surface_positions])
    ratios = proportions(extents.clip(1e-3))
    classes = np.array([record["class"] for record in data.records])
    medians = {name: np.median(ratios[classes == name], axis=0) for name in set(classes)}
    captions = []
    for index, record in enumerate(data.records):
        colors = main_colors(data.surface_colors[index]) if record["has_color"] else []
        words = proportion_words(ratios[index], medians[record["class"]])
        generator = np.random.default_rng([2, index])
        captions.append(sentences(record["caption"], record["class"], colors, words, SENTENCES, generator))
    return captions


def embed_all(captions: list[list[str]], encoder: TextEncoder) -> Tensor:
    """(n, SENTENCES, 384) float32."""
    unique = sorted({sentence for variants in captions for sentence in variants}, key=len)
    rows = torch.cat([encoder(unique[start : start + 64]).cpu() for start in range(0, len(unique), 64)])
    place = {sentence: index for index, sentence in enumerate(unique)}
    return torch.stack([rows[[place[sentence] for sentence in variants]] for variants in captions])


@dataclass
class FlowBatch:
    """data (B, K) whitened coefficients, text (B, 384) of unit length, with_text (B,) bool."""

    data: Tensor
    text: Tensor
    with_text: Tensor


class LatentSampler:
    """Draws latents with one of their sentences each; rare classes more often than their share.

    coefficients: (n, VIEWS, K) whitened. embeddings: (n, SENTENCES, 384). classes: of the n objects.
    """

    def __init__(self, coefficients: Tensor, embeddings: Tensor, classes: list[str], device: torch.device) -> None:
        self.coefficients, self.embeddings = coefficients.to(device), embeddings.to(device)
        weight = np.array([classes.count(name) ** -0.5 for name in classes])
        self.cumulative = np.cumsum(weight / weight.sum())

    def __call__(self, generator: np.random.Generator, count: int) -> FlowBatch:
        objects = np.searchsorted(self.cumulative, generator.random(count)).clip(0, len(self.cumulative) - 1)
        views = generator.integers(0, self.coefficients.shape[1], count)
        variants = generator.integers(0, self.embeddings.shape[1], count)
        device = self.coefficients.device
        noise = torch.from_numpy(generator.normal(0, TEXT_NOISE, (count, self.embeddings.shape[2])).astype(np.float32))
        text = functional.normalize(self.embeddings[objects, variants] + noise.to(device), dim=-1)
        with_text = torch.from_numpy(generator.random(count) >= TEXT_DROPOUT).to(device)
        return FlowBatch(self.coefficients[objects, views], text, with_text)


def flow_losses(deviations: Tensor) -> Callable[[LatentPrior, FlowBatch], dict[str, Tensor]]:
    """The loss function for coefficients of the given deviations (K,): each counts by how much of a latent it moves."""
    weight = deviations / deviations.mean()

    def losses_of(prior: LatentPrior, batch: FlowBatch) -> dict[str, Tensor]:
        noise = torch.randn_like(batch.data)
        time = torch.sigmoid(torch.randn(len(batch.data), device=batch.data.device))
        state = torch.lerp(noise, batch.data, time[:, None])
        velocity = prior(state, time, batch.text, batch.with_text).float()
        return {"flow": ((velocity - (batch.data - noise)).square() * weight).mean()}

    return losses_of


def main(arguments: list[str] | None = None) -> None:
    """Encode, describe, train, save; see --help."""
    parser = argparse.ArgumentParser(prog="latent_prior", description="Train the prior over shape latents.")
    parser.add_argument("--data", type=Path, required=True, help="data-set zip to train on")
    parser.add_argument("--out", type=Path, default=Path("training_runs"), help="packed data, latents and checkpoints")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="the auto-encoder's folder, and where to write")
    parser.add_argument("--configuration", choices=CONFIGURATIONS, default="small")
    parser.add_argument("--minutes", type=float, help="another time budget than the configuration's")
    options = parser.parse_args(arguments)

    config, schedule = CONFIGURATIONS[options.configuration]
    if options.minutes is not None:
        schedule = Schedule(**{**asdict(schedule), "minutes": options.minutes})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = pack(options.data, options.out / f"packed_{options.data.stem}")
    state, autoencoder_config = load_weights(AUTOENCODER, options.weights)
    autoencoder = ShapeAutoencoder(ShapeAutoencoderConfig(**autoencoder_config))
    autoencoder.load_state_dict(state)
    folder = options.out / "latent_prior"
    folder.mkdir(parents=True, exist_ok=True)
    # Latents and what is learned of them belong to one auto-encoder and one data set.
    origin = f"{options.data.stem}_{expected_hashes(options.weights)[AUTOENCODER][:12]}"
    encoded = folder / f"latents_{origin}.pt"
    if not encoded.exists():
        save_whole(encoded, encode_all(autoencoder.to(device).eval(), data, device))
    latents = torch.load(encoded, weights_only=True).float()
    components = PrincipalComponents(config.components, tuple(latents.shape[2:]))
    torch.manual_seed(0)
    explained = components.fit(latents.flatten(0, 1))
    coefficients = components.whiten(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
    embeddings = embed_all(describe_all(data), TextEncoder(device))
    sampler = LatentSampler(coefficients, embeddings, [record["class"] for record in data.records], device)
    losses_of = flow_losses(components.deviations.to(device))
    checkpoint = folder / f"checkpoint_{origin}.pt"
    trained = train(LatentPrior(config), sampler, losses_of, schedule, checkpoint, device=device)
    parts = {"prior.": trained.model.state_dict(), "principal_components.": components.state_dict()}
    state = {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}
    save_weights(PRIOR, state, asdict(config), options.weights)
    count = latents.shape[0] * latents.shape[1]
    report = PriorReport(options.configuration, schedule, trained, len(data), count, explained)
    write_prior_card(report, options.weights)
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes, components explain {explained:.1%}")


if __name__ == "__main__":
    main()
