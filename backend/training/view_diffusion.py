"""Trains the bundled view model: one view of an object from another, or from a sentence.

    python3 build.py train view_diffusion --data train.zip

Diffusion that predicts the data, with truncated SNR weights (Salimans and Ho 2022, §4). A picture is encoded once for
several views of it, all of which teach its volume directly (as pictures teach a radiance field), some of which the
denoiser. Sentences, with the view's own angles, come instead of pictures in a part of the samples, and nothing at all
in a few, for classifier-free guidance (Ho and Salimans 2022).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.captions import main_colors, sentences
from ..data.distance_packing import pack_distance_grids
from ..data.holdout import held_out
from ..data.orbit_packing import OrbitViews, pack_orbits
from ..metrics import ssim
from ..models.noise_schedule import noised, signal_and_noise
from ..models.text_encoder import WIDTH as TEXT_WIDTH
from ..models.text_encoder import TextEncoder
from ..models.view_diffusion import (
    BACKGROUND_WEIGHT,
    ViewConditions,
    ViewDiffusion,
    ViewDiffusionConfig,
    over_white,
    unemphasised,
)
from ..representations.cameras import Cameras
from ..weights.bundled import VIEWS, save_weights
from . import processes
from .card import ViewsReport, write_views_card
from .loop import Schedule, save_whole, train
from .options import Run, training_parser
from .view_occupancy import occupancy_loss, taken_cells
from .view_samples import SHOWN_OBJECTS, as_images, sampled_views

VIEWS_OF_PICTURE = 3
"""That teach a picture's volume; the first DENOISED of them teach the denoiser, too."""
DENOISED = 1
DESCRIBED = 0.25
"""Samples with a sentence for each with a picture."""
SENTENCES = 4
SENTENCE_DROPPED = 0.2
TEXT_NOISE = 0.012
MOST_SIGNAL = 5.0
"""The greatest weight of a sample by its signal-to-noise ratio; the least is 1."""
WINDOW_WEIGHT = 10.0
OCCUPANCY_WEIGHT = 0.3
FROM_NOISE = 0.5
"""Of the samples: at time 1, where sampling begins, and where one step gives the mean of all likely views."""
STRUCTURE_WEIGHT = 0.1
"""Of 1 − SSIM where a view comes from noise alone, since a mean by squares is blurred."""

CONFIGURATIONS = {
    "small": (
        ViewDiffusionConfig(),
        Schedule(minutes=80, batch_size=8, learning_rate=8e-4, warmup_steps=60, average_decay=0.998),
    ),
    "base": (
        ViewDiffusionConfig(encoder=(96, 192, 320), denoiser=(96, 192, 320)),
        Schedule(minutes=25, batch_size=96, learning_rate=6e-4),
    ),
}


@dataclass
class ViewBatch:
    """P pictures (P, 4, 64, 64) with their cameras' elevation (P,) and windows (P, 3), as `view_volume` knows them;
    the cells of their volumes that the objects take, taken (P, D, H, W); VIEWS_OF_PICTURE views of each, (P · T, 4, 64,
    64), by cameras relative to the picture's; and described views (Q, 4, 64, 64) by cameras relative to the front, with
    embeddings (Q, 384), of which `silent` (Q,) are not told."""

    pictures: Tensor
    elevation: Tensor
    windows: Tensor
    views: Tensor
    cameras: Cameras
    described: Tensor
    described_cameras: Cameras
    embeddings: Tensor
    silent: Tensor
    taken: Tensor


def describe(views: OrbitViews, encoder: TextEncoder, path: Path) -> tuple[Tensor, np.ndarray]:
    """Embeddings (m, 384) of the objects' sentences, and which (n, SENTENCES) are whose; kept at `path`, since that
    takes minutes. Colours are those that the views show."""
    if not path.exists():
        texts = []
        for index, record in enumerate(views.records):
            pixels = views.targets[index].reshape(-1, 4)
            colors = main_colors(pixels[pixels[:, 3] > 127, :3])
            generator = np.random.default_rng([3, index])
            texts.append(sentences(record["caption"], record["class"], colors, [], SENTENCES, generator))
        unique = sorted({text for own in texts for text in own}, key=lambda text: (len(text), text))
        embeddings = torch.cat([encoder(unique[start : start + 64]).cpu() for start in range(0, len(unique), 64)])
        place = {text: index for index, text in enumerate(unique)}
        whose = torch.tensor([[place[text] for text in own] for own in texts])
        save_whole(path, {"embeddings": embeddings, "whose": whose})
    stored = torch.load(path, weights_only=True)
    return stored["embeddings"], stored["whose"].numpy()


class ViewSampler:
    """Draws batches of objects that are not held out, rare classes more often than their share, half mirrored."""

    def __init__(
        self, views: OrbitViews, grids: np.ndarray, embeddings: Tensor, whose: np.ndarray, device: torch.device
    ) -> None:
        self.views, self.grids, self.embeddings, self.whose, self.device = views, grids, embeddings, whose, device
        names = [record["class"] for record in views.records]
        weight = np.array([names.count(name) ** -0.5 for name in names])
        weight[held_out(views.records)] = 0
        self.cumulative = np.cumsum(weight / weight.sum())

    def __call__(self, generator: np.random.Generator, count: int) -> ViewBatch:
        views = self.views
        objects, mirrored = self._objects(generator, count)
        chosen = generator.integers(views.inputs.shape[1], size=count)
        targets = generator.permuted(np.tile(np.arange(views.targets.shape[1]), (count, 1)), axis=1)
        targets = targets[:, :VIEWS_OF_PICTURE]
        angles = views.input_angles[objects, chosen]
        windows = views.windows[objects, chosen].copy()
        windows[:, 0] *= np.where(mirrored, -1, 1)
        windows[:, 2] = np.log(windows[:, 2])
        taken = taken_cells(
            torch.from_numpy(self.grids[objects]),
            torch.from_numpy(angles[:, 0]),
            torch.from_numpy(angles[:, 1]),
            torch.from_numpy(windows),
            torch.from_numpy(mirrored),
        )
        each = np.repeat(objects, VIEWS_OF_PICTURE), targets.ravel()
        target_angles = views.target_angles[each]
        turn = target_angles[:, 0] - np.repeat(angles[:, 0], VIEWS_OF_PICTURE)

        described, described_mirrored = self._objects(generator, round(count * DESCRIBED))
        shown = generator.integers(views.targets.shape[1], size=len(described))
        shown_angles = views.target_angles[described, shown]
        told = self.whose[described, generator.integers(SENTENCES, size=len(described))]
        noise = generator.normal(0, TEXT_NOISE, (len(described), TEXT_WIDTH)).astype(np.float32)
        embeddings = functional.normalize(self.embeddings[torch.from_numpy(told)] + torch.from_numpy(noise), dim=1)
        device = self.device
        return ViewBatch(
            self._images(views.inputs[objects, chosen], mirrored),
            torch.from_numpy(angles[:, 1]).to(device),
            torch.from_numpy(windows).to(device),
            self._images(views.targets[each], np.repeat(mirrored, VIEWS_OF_PICTURE)),
            self._cameras(turn, target_angles[:, 1], np.repeat(mirrored, VIEWS_OF_PICTURE)),
            self._images(views.targets[described, shown], described_mirrored),
            self._cameras(shown_angles[:, 0], shown_angles[:, 1], described_mirrored),
            embeddings.to(device),
            torch.from_numpy(generator.random(len(described)) < SENTENCE_DROPPED).to(device),
            taken.to(device),
        )

    def _objects(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        objects = np.searchsorted(self.cumulative, generator.random(count)).clip(0, len(self.cumulative) - 1)
        return objects, generator.random(count) < 0.5

    def _images(self, pictures: np.ndarray, mirrored: np.ndarray) -> Tensor:
        pictures[mirrored] = pictures[mirrored, :, ::-1]
        return as_images(pictures).to(self.device)

    def _cameras(self, azimuth: np.ndarray, elevation: np.ndarray, mirrored: np.ndarray) -> Cameras:
        azimuth = azimuth * np.where(mirrored, -1, 1).astype(np.float32)
        return Cameras.framing(torch.from_numpy(azimuth), torch.from_numpy(elevation)).to(self.device)


def losses_of(model: ViewDiffusion, batch: ViewBatch) -> dict[str, Tensor]:
    """denoising: of x̂, where the object is above all. structure: of x̂ from noise alone. volume: of what the volumes
    show. window: of where the pictures were cut out."""
    device = batch.views.device
    encoded = model.encoder(batch.pictures, batch.elevation)
    # Half of the volumes are placed as they are when a photo's scale has to be inferred.
    known = torch.rand(len(batch.pictures), 1, device=device) < 0.5
    window = torch.where(known, batch.windows, encoded.window.detach())
    of_pictures = model.of_pictures(encoded, window, batch.elevation, batch.cameras)

    silent = batch.silent[:, None]
    told = model.of_sentences(batch.embeddings, batch.described_cameras)
    vector = torch.where(silent, model.of_nothing(len(silent)).vector, told.vector)
    of_sentences = ViewConditions(told.seen, told.small, told.tokens, vector)
    denoised = torch.arange(len(batch.views), device=device) % VIEWS_OF_PICTURE < DENOISED
    conditions = ViewConditions.joined([of_pictures.of(denoised), of_sentences])
    data = torch.cat([batch.views[denoised], batch.described])
    noise, time = torch.randn_like(data), torch.rand(len(data), device=device)
    time = torch.where(torch.rand_like(time) < FROM_NOISE, 1.0, time)
    signal, deviation = signal_and_noise(time)
    weight = (signal / deviation).square().clamp(1, MOST_SIGNAL)[:, None, None, None]
    weight = weight * (BACKGROUND_WEIGHT + (data[:, 3:] / 2 + 0.5))
    predicted = model.emphasised(noised(data, noise, time), time, conditions)
    return {
        "denoising": (weight * (predicted - data).square()).mean(),
        "structure": STRUCTURE_WEIGHT
        / FROM_NOISE
        * ((time == 1) * (1 - _similarity(unemphasised(predicted), data))).mean(),
        "volume": (over_white(of_pictures.seen) - functional.avg_pool2d(batch.views, 2)).square().mean(),
        "occupancy": OCCUPANCY_WEIGHT * occupancy_loss(encoded.volume[..., 0], batch.taken),
        "window": WINDOW_WEIGHT * (encoded.window - batch.windows).square().mean(),
    }


def _similarity(predicted: Tensor, data: Tensor) -> Tensor:
    """SSIM (B,) of images (B, 4, 64, 64) in [−1, 1], in float32, since its variances are differences of means."""
    with torch.autocast(predicted.device.type, enabled=False):
        return ssim(predicted / 2 + 0.5, data / 2 + 0.5)


def main(arguments: list[str] | None = None) -> None:
    """Render, describe, train, save; see --help."""
    parser = training_parser("view_diffusion", "Train the bundled view model.", CONFIGURATIONS)
    run = Run.of(parser.parse_args(arguments), "view_diffusion", CONFIGURATIONS)
    encoder = TextEncoder(run.device)
    with processes.first_alone():
        views = pack_orbits(run.data, run.packed.with_name(f"orbits_{run.data.stem}"))
        grids = pack_distance_grids(run.data, run.packed)
        told = describe(views, encoder, run.folder / f"sentences_{run.data.stem}.pt")
    sampler = ViewSampler(views, grids, *told, run.device)
    shown = np.flatnonzero(held_out(views.records))[:: max(1, int(held_out(views.records).sum()) // SHOWN_OBJECTS)]

    def samples(model: ViewDiffusion) -> np.ndarray:
        return sampled_views(model, views, shown[:SHOWN_OBJECTS], encoder)

    torch.manual_seed(0)
    model, checkpoint = ViewDiffusion(run.config), run.folder / f"checkpoint_{run.data.stem}.pt"
    trained = train(model, sampler, losses_of, run.schedule, checkpoint, device=run.device, samples=samples)
    if processes.rank():
        return
    save_weights(VIEWS, trained.model.state_dict(), asdict(run.config), run.weights)
    write_views_card(ViewsReport(run.configuration, run.schedule, trained, len(views)), run.weights)
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes")


if __name__ == "__main__":
    main()
