"""Trains the conditional prior over the bundled auto-encoder's latents.

    python3 build.py train latent_prior --data train.zip

Flow matching on straight paths (Lipman et al. 2022, eq. 23, with σ_min = 0), times drawn logit-normal (Esser et al.,
"Scaling Rectified Flow Transformers", 2024). Sentences, classes, pictures and partial shapes are conditions, each left
out of most of the samples, and all of them of some, for classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ..data.distance_grids import stretched
from ..data.distance_packing import pack_distance_grids
from ..data.holdout import held_out
from ..data.packing import PackedData, pack
from ..data.variants import PLAIN_VIEWS, VIEWS, Variants, draw_variants, tinted
from ..data.view_packing import pack_views
from ..models.conditions import Conditions
from ..models.latent_prior import Guidance, LatentPrior, LatentPriorConfig, sample
from ..models.principal_components import PrincipalComponents
from ..models.prior_weights import prior_state, read_prior
from ..models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from ..models.text_encoder import Sentences, TextEncoder
from ..weights.bundled import AUTOENCODER, PRIOR, expected_hashes, load_weights, save_weights
from . import processes
from .card import PriorReport, write_prior_card
from .described import SENTENCES, Captions, captions_of
from .loop import Schedule, save_whole, train
from .options import Run, training_parser
from .part_sampling import draw_parts
from .picture_jitter import jittered
from .samples import row_of_latents

TEXT_NOISE = 0.012

ALONE = {"nothing": 0.1, "sentence": 0.62, "class": 0.06, "image": 0.13, "part": 0.09}
"""Share of the samples by the condition that they have first."""
PLAIN_SHARE = 0.5
"""Of the samples that are of objects as they are or mirrored, whatever is drawn for the others."""
SENTENCE_BESIDE_IMAGE = 0.3
SENTENCE_BESIDE_PART = 0.5
CLASS_BESIDE = 0.15
SHOWN = ("a chair", "a wooden table", "a red car", "a tree", "a house", "a lamp")
SHOWN_GUIDANCE, SHOWN_STEPS = 2.0, 12
"""What the picture of the training's progress samples, and how."""

CONFIGURATIONS = {
    "small": (LatentPriorConfig(), Schedule(minutes=30, batch_size=512, learning_rate=1e-3)),
    "base": (LatentPriorConfig(), Schedule(minutes=10, batch_size=2048, learning_rate=2e-3)),
    "further": (
        LatentPriorConfig(dropout=0.15),
        Schedule(minutes=60, batch_size=512, learning_rate=6e-4, warmup_steps=100, weight_decay=0.05),
    ),
}
"""`further` is for weights that `--start` names."""


def variants_of(data: PackedData) -> list[Variants]:
    """The variants of every object."""
    extents = np.abs(data.surface_positions.astype(np.float32)).max(axis=1)
    return [draw_variants(own, np.random.default_rng([1, index])) for index, own in enumerate(extents)]


def read_autoencoder(weights: Path, device: torch.device) -> ShapeAutoencoder:
    """The auto-encoder in the folder `weights`, whose latents are learned."""
    state, config = load_weights(AUTOENCODER, weights)
    autoencoder = ShapeAutoencoder(ShapeAutoencoderConfig(**config))
    autoencoder.load_state_dict(state)
    return autoencoder.to(device).eval()


@torch.no_grad()
def encode_all(
    autoencoder: ShapeAutoencoder,
    data: PackedData,
    grids: np.ndarray,
    variants: Sequence[Variants],
    device: torch.device,
) -> Tensor:
    """Latents (n, VIEWS, C, 8, 8, 8) float16 of all objects' variants.

    grids: (n, 64, 64, 64) int8 as `pack_distance_grids` makes them.
    """
    latents = []
    for index, of_object in enumerate(tqdm(variants, "Encoding", unit="object", mininterval=10)):
        positions = torch.from_numpy(data.surface_positions[index].astype(np.float32)).to(device)
        matrices = torch.from_numpy(of_object.matrices).to(device)
        own = data.surface_colors[index]
        colors = np.stack([own if tint is None else tinted(own, tint) for tint in of_object.tints])
        grid = torch.from_numpy(grids[index].astype(np.float32) / 127).to(device)
        moved = stretched(grid, matrices.diagonal(dim1=1, dim2=2))
        srgb = torch.from_numpy(colors.astype(np.float32) / 255).to(device)
        places = positions @ matrices.mT
        with torch.autocast(device.type, dtype=torch.bfloat16):
            encoded = autoencoder.encoder(moved, places, srgb)
        latents.append(encoded.to("cpu", torch.float16))
    return torch.stack(latents)


@dataclass(frozen=True)
class Examples:
    """What a prior learns from: packed objects and their variants, what is told of each in words and pictures
    (n, P, 64, 64, 4) uint8, and their latents (n, VIEWS, C, 8, 8, 8) float32. classes: the objects', sorted. origin:
    names data and auto-encoder, since latents belong to both."""

    data: PackedData
    variants: Sequence[Variants]
    captions: Captions
    pictures: np.ndarray
    latents: Tensor
    classes: tuple[str, ...]
    origin: str

    @classmethod
    def of(
        cls, source: Path, packed: Path, folder: Path, weights: Path, encoder: TextEncoder, device: torch.device
    ) -> Examples:
        """Of the data `source`, packed into `packed`; `folder` keeps what was encoded, by the weights in `weights`."""
        with processes.first_alone():
            data, pictures = pack(source, packed), pack_views(source, packed)
        variants = variants_of(data)
        autoencoder = read_autoencoder(weights, device)
        origin = f"{source.stem}_{expected_hashes(weights)[AUTOENCODER][:12]}"
        encoded = folder / f"latents_{origin}.pt"
        with processes.first_alone():
            captions = captions_of(data, variants, encoder, folder / f"captions_{source.stem}.pt")
            if not encoded.exists():
                grids = pack_distance_grids(source, packed)
                save_whole(encoded, encode_all(autoencoder, data, grids, variants, device))
        latents = torch.load(encoded, weights_only=True).float()
        classes = tuple(sorted({record["class"] for record in data.records}))
        return cls(data, variants, captions, pictures, latents, classes, origin)

    def coefficients(self, components: PrincipalComponents) -> Tensor:
        """The latents, whitened: (n, VIEWS, K)."""
        return components.whiten(self.latents.flatten(0, 1)).unflatten(0, self.latents.shape[:2])


@dataclass
class FlowBatch:
    """data (B, K) whitened coefficients, and what is told of them."""

    data: Tensor
    conditions: Conditions


class LatentSampler:
    """Draws latents with conditions; rare classes more often than their share.

    coefficients: (n, VIEWS, K), the examples' latents, whitened. chosen: (n,) bool, the objects that are drawn, without
    it those not held out. first: shares of the samples by the condition that they have first.
    """

    def __init__(
        self,
        examples: Examples,
        coefficients: Tensor,
        device: torch.device,
        *,
        chosen: np.ndarray | None = None,
        first: Mapping[str, float] = ALONE,
        plain_share: float = PLAIN_SHARE,
    ) -> None:
        self.data, self.captions, self.pictures = examples.data, examples.captions, examples.pictures
        self.first, self.plain_share, self.device = first, plain_share, device
        self.matrices = np.stack([own.matrices for own in examples.variants])
        self.tinted = np.array([[tint is not None for tint in own.tints] for own in examples.variants])
        self.coefficients = coefficients.to(device)
        names = [record["class"] for record in self.data.records]
        self.class_indices = np.array([examples.classes.index(name) for name in names])
        weight = np.array([names.count(name) ** -0.5 for name in names])
        weight[held_out(self.data.records) if chosen is None else ~chosen] = 0
        self.cumulative = np.cumsum(weight / weight.sum())

    def __call__(self, generator: np.random.Generator, count: int) -> FlowBatch:
        objects = np.searchsorted(self.cumulative, generator.random(count)).clip(0, len(self.cumulative) - 1)
        kinds = np.where(generator.random(count) < self.plain_share, PLAIN_VIEWS, VIEWS)
        views = generator.integers(kinds)
        first = generator.choice(list(self.first), count, p=list(self.first.values()))
        views[first == "image"] %= PLAIN_VIEWS  # pictures are of objects as they are
        beside = generator.random((2, count))
        with_sentence = (
            (first == "sentence")
            | (first == "image") & (beside[0] < SENTENCE_BESIDE_IMAGE)
            | (first == "part") & (beside[0] < SENTENCE_BESIDE_PART)
        )
        with_class = (first == "class") | (first != "nothing") & (beside[1] < CLASS_BESIDE)
        conditions = Conditions(
            count,
            sentences=self._sentences(generator, objects, views, np.flatnonzero(with_sentence)),
            classes=self._rows_and(np.flatnonzero(with_class), self.class_indices[objects[with_class]]),
            images=self._images(generator, objects, views, np.flatnonzero(first == "image")),
            parts=self._parts(generator, objects, views, np.flatnonzero(first == "part")),
        )
        return FlowBatch(self.coefficients[objects, views], conditions)

    def _rows_and(self, rows: np.ndarray, values: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(values)
        return torch.from_numpy(rows).to(self.device), values.to(self.device)

    def _sentences(
        self, generator: np.random.Generator, objects: np.ndarray, views: np.ndarray, rows: np.ndarray
    ) -> tuple[Tensor, Sentences]:
        told = generator.integers(SENTENCES, size=len(rows))
        chosen = torch.from_numpy(self.captions.of_variants[objects[rows], views[rows], told])
        encoded = self.captions.encoded
        embedding = encoded.embedding[chosen]
        noise = torch.from_numpy(generator.normal(0, TEXT_NOISE, embedding.shape).astype(np.float32))
        parts = (functional.normalize(embedding + noise, dim=-1), encoded.tokens[chosen].float(), encoded.mask[chosen])
        return torch.from_numpy(rows).to(self.device), Sentences(*(part.to(self.device) for part in parts))

    def _images(
        self, generator: np.random.Generator, objects: np.ndarray, views: np.ndarray, rows: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        chosen = generator.integers(self.pictures.shape[1], size=len(rows))
        pictures = self.pictures[objects[rows], chosen].astype(np.float32) / 255
        mirrored = views[rows] == 1
        pictures[mirrored] = pictures[mirrored, :, ::-1]
        told = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        return self._rows_and(rows, jittered(told, generator))

    def _parts(
        self, generator: np.random.Generator, objects: np.ndarray, views: np.ndarray, rows: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        of, seen = objects[rows], views[rows]
        parts = draw_parts(self.data, generator, of, self.matrices[of, seen], self.tinted[of, seen])
        return self._rows_and(rows, parts.grids)


def flow_losses(deviations: Tensor) -> Callable[[LatentPrior, FlowBatch], dict[str, Tensor]]:
    """The loss function for coefficients of the given deviations (K,): each counts by how much of a latent it moves."""
    weight = deviations / deviations.mean()

    def losses_of(prior: LatentPrior, batch: FlowBatch) -> dict[str, Tensor]:
        noise = torch.randn_like(batch.data)
        time = torch.sigmoid(torch.randn(len(batch.data), device=batch.data.device))
        state = torch.lerp(noise, batch.data, time[:, None])
        velocity = prior(state, time, prior.encode(batch.conditions)).float()
        return {"flow": ((velocity - (batch.data - noise)).square() * weight).mean()}

    return losses_of


def main(arguments: list[str] | None = None) -> None:
    """Encode, describe, train, save; see --help."""
    parser = training_parser("latent_prior", "Train the prior over shape latents.", CONFIGURATIONS)
    parser.add_argument("--start", type=Path, help="a folder of weights that this starts with")
    options = parser.parse_args(arguments)
    run = Run.of(options, "latent_prior", CONFIGURATIONS)
    device = run.device
    encoder = TextEncoder(device)
    examples = Examples.of(run.data, run.packed, run.folder, run.weights, encoder, device)
    config = replace(run.config, classes=examples.classes)
    latents, autoencoder = examples.latents, read_autoencoder(run.weights, device)
    seen = latents[~torch.from_numpy(held_out(examples.data.records))].flatten(0, 1)
    components = PrincipalComponents(config.components, tuple(latents.shape[2:]))
    torch.manual_seed(0)
    prior = LatentPrior(config)
    if options.start is None:
        components.fit(seen)
    else:
        # What the prior learned is said in its components.
        read_prior(prior, components, load_weights(PRIOR, options.start)[0])
    explained = components.explained(seen)
    sampler = LatentSampler(examples, examples.coefficients(components), device)
    losses_of = flow_losses(components.deviations.to(device))
    checkpoint = run.folder / f"checkpoint_{examples.origin}.pt"

    def samples(prior: LatentPrior) -> np.ndarray:
        told = Conditions(len(SHOWN), sentences=(torch.arange(len(SHOWN), device=device), encoder.encode(SHOWN)))
        noise = torch.randn(len(SHOWN), config.components, generator=torch.Generator().manual_seed(0)).to(device)
        coefficients = sample(prior, noise, Guidance.by(prior, told, SHOWN_GUIDANCE), steps=SHOWN_STEPS)
        return row_of_latents(autoencoder, components.to(device).restore(coefficients).unbind())

    trained = train(prior, sampler, losses_of, run.schedule, checkpoint, device=device, samples=samples)
    if processes.rank():
        return
    components.to("cpu")
    save_weights(PRIOR, prior_state(trained.model, components), asdict(config), run.weights, matrices_in_bytes=True)
    count = latents.shape[0] * latents.shape[1]
    report = PriorReport(run.configuration, run.schedule, trained, len(examples.data), count, explained)
    write_prior_card(report, run.weights)
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes, components explain {explained:.1%}")


if __name__ == "__main__":
    main()
