"""Model cards: what a weights file is, what it was trained on, how, and how good it is."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.sampling import UNIFORM_POINTS
from ..models.code_prior import CodePrior
from ..models.latent_prior import LatentPrior
from ..models.pointr import PoinTr
from ..models.shape_autoencoder import ShapeAutoencoder
from ..models.shape_codes import ShapeCodes
from ..models.view_diffusion import ViewDiffusion
from ..weights.bundled import AUTOENCODER, CODE_PRIOR, CODES, POINTS, PRIOR, VIEWS
from .loop import Schedule, Trained

LICENCE = """## Licence and data

Weights: GPL-3.0-or-later. Trained on 3,014 human-made meshes from Quaternius, Kenney, pmndrs and the Sweet Home 3D
libraries, each under CC0 1.0, CC BY 3.0 or CC BY 3.0 US; the authors of the attribution-licensed ones are named in
[CREDITS.md](CREDITS.md). No other data.
"""


@dataclass(frozen=True)
class AutoencoderReport:
    """A finished training: its configuration's name, what it gave, and what `evaluate` measured on `dev_objects`."""

    configuration: str
    schedule: Schedule
    trained: Trained[ShapeAutoencoder]
    metrics: dict[str, float]
    objects: int
    dev_objects: int


@dataclass(frozen=True)
class PriorReport:
    """A finished training on `latents` of `objects`; `explained`: the share of variance in the components kept."""

    configuration: str
    schedule: Schedule
    trained: Trained[LatentPrior]
    objects: int
    latents: int
    explained: float


@dataclass(frozen=True)
class ViewsReport:
    """A finished training of the view model on views of `objects`."""

    configuration: str
    schedule: Schedule
    trained: Trained[ViewDiffusion]
    objects: int


@dataclass(frozen=True)
class PointReport:
    """A finished training, and what `evaluate` measured on the `held_out` of the `objects`."""

    configuration: str
    schedule: Schedule
    trained: Trained[PoinTr]
    metrics: dict[str, float]
    objects: int
    held_out: int


@dataclass(frozen=True)
class CodesReport:
    """A finished training; `overlap`: the mean IoU of the `held_out` of the `objects` through the codes."""

    configuration: str
    schedule: Schedule
    trained: Trained[ShapeCodes]
    overlap: float
    objects: int
    held_out: int


@dataclass(frozen=True)
class CodePriorReport:
    """A finished training; `bits`: the mean a code of the `held_out` of the `objects`, of 9 without a prior."""

    configuration: str
    schedule: Schedule
    trained: Trained[CodePrior]
    bits: float
    objects: int
    held_out: int


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU thread(s), {platform.machine()}"


def _training(configuration: str, schedule: Schedule, trained: Trained[Any]) -> str:
    losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(schedule).items())
    return (
        f"Configuration `{configuration}` ({settings}): {trained.steps} steps in {trained.minutes:.1f} minutes on "
        f"{_machine()}, torch {torch.__version__}, bfloat16 autocast. Last training losses: {losses}.\n"
    )


def _write(path: Path, text: str) -> None:
    path.with_suffix(".md").write_text(text, encoding="utf-8")


def write_autoencoder_card(report: AutoencoderReport, folder: Path) -> None:
    """Writes the auto-encoder's card beside its weights in `folder`."""
    parameters = sum(value.numel() for value in report.trained.model.parameters())
    _write(
        folder / AUTOENCODER,
        f"""# Shape auto-encoder

A grid of signed distances, with the surface's colours → a latent grid → signed distance and colour at any point
(`backend/models/shape_autoencoder.py`). {parameters / 1e6:.1f} million parameters, stored in float16.

## Training

    python3 build.py train shape_autoencoder --data train_lite.zip --dev dev.zip --configuration {report.configuration}

{_training(report.configuration, report.schedule, report.trained)}
Data: {report.objects} objects, of which one in twenty is held out (`backend/data/holdout.py`); mirrored, turned about
Z and made smaller at random.

## Measured on {report.dev_objects} objects that training did not see

- mean volumetric IoU, {UNIFORM_POINTS:,} uniform points of [−1, 1]³ an object: {report.metrics["iou"]:.3f}
- mean absolute colour error at the surface, sRGB in [0, 1]: {report.metrics["color_error"]:.3f}

{LICENCE}""",
    )


def write_prior_card(report: PriorReport, folder: Path) -> None:
    """Writes the prior's card beside its weights in `folder`."""
    parameters = sum(value.numel() for value in report.trained.model.parameters())
    _write(
        folder / PRIOR,
        f"""# Latent prior

Any of a sentence, a class, a picture and a part of the shape → a latent of the shape auto-encoder, by rectified flow
over the latents' principal components (`backend/models/latent_prior.py`, `backend/models/conditions.py`).
{parameters / 1e6:.1f} million parameters; those of large matrices take one byte each, with a scale a row.

## Training

    python3 build.py train latent_prior --data train_lite.zip --configuration {report.configuration}

{_training(report.configuration, report.schedule, report.trained)}
Data: {report.latents} latents of {report.objects} objects, of which one in twenty is held out; the others are there as
they are, mirrored, stretched and tinted, with words for that (`backend/data/variants.py`). The principal components
kept explain {report.explained:.1%} of their variance. Pictures are renders of 64² pixels; parts are halves,
octants, all but a slab or a box, and what one camera sees.

## Limits

Small and trained on some 3,000 low-polygon objects: it knows everyday furniture, buildings, vehicles, plants and
props, and its samples lie near the objects that it has seen.

{LICENCE}""",
    )


def write_views_card(report: ViewsReport, folder: Path) -> None:
    """Writes the view model's card beside its weights in `folder`."""
    parameters = sum(value.numel() for value in report.trained.model.parameters())
    _write(
        folder / VIEWS,
        f"""# View model

A picture of an object and where a camera is relative to it → the object as that camera sees it; or a sentence and a
camera → a picture. Diffusion over 64² pixels of sRGB and alpha, conditioned on a volume that is turned explicitly
(`backend/models/view_diffusion.py`, `backend/models/view_volume.py`). {parameters / 1e6:.1f} million parameters, stored
in float16.

## Training

    python3 build.py train view_diffusion --data train_lite.zip --configuration {report.configuration}

{_training(report.configuration, report.schedule, report.trained)}
Data: renders of {report.objects} objects, of which one in twenty is held out (`backend/data/holdout.py`); 12 views and
6 cut-out pictures of each, from −10° to 45° above the ground, in a light that stands still about the object.

## Limits

Small and trained on some 3,000 low-polygon objects: sides that a picture does not show are plausible in colour and
outline rather than in detail, and pictures made from sentences alone are rough.

{LICENCE}""",
    )


def write_point_card(report: PointReport, folder: Path) -> None:
    """Writes the card of the completion of clouds beside its weights in `folder`."""
    parameters = sum(value.numel() for value in report.trained.model.parameters())
    measured = report.metrics
    _write(
        folder / POINTS,
        f"""# Point completion

Points of a part → points of the whole, by PoinTr (Yu et al. 2021) at a size that a CPU trains
(`backend/models/pointr.py`). {parameters / 1e6:.1f} million parameters, stored in float16.

## Training

    python3 build.py train point_completion --data train_lite.zip --configuration {report.configuration}

{_training(report.configuration, report.schedule, report.trained)}
Data: {report.objects} objects, of which one in twenty is held out; mirrored and stretched at random. Parts are halves,
octants, all but a slab or a box, and what one camera sees.

## Measured on {report.held_out} objects that training did not see, parts drawn as in training

Chamfer-L1 in model units, the object's longest side being 1.8; 512 points given, 2,048 of the whole.

- what was given, alone: {measured["given"]:.4f}
- with its mirror image: {measured["mirrored"]:.4f}
- completed: {measured["completed"]:.4f}

{LICENCE}""",
    )


def write_codes_card(report: CodesReport, folder: Path) -> None:
    """Writes the card of the codes' auto-encoder beside its weights in `folder`."""
    parameters = sum(value.numel() for value in report.trained.model.parameters())
    _write(
        folder / CODES,
        f"""# Shape codes

A grid of signed distances → {report.trained.model.config.groups} codes of 512 for each of 4³ patches → the grid
(`backend/models/shape_codes.py`), after AutoSDF's patch-wise VQ-VAE (Mittal et al. 2022).
{parameters / 1e6:.1f} million parameters, stored in float16.

## Training

    python3 build.py train shape_codes --data train_lite.zip --configuration {report.configuration}

{_training(report.configuration, report.schedule, report.trained)}
Data: {report.objects} objects, of which one in twenty is held out; mirrored, turned by quarters and stretched at
random.

## Measured on {report.held_out} objects that training did not see

- mean IoU of the 64³ grid's cells inside, through the codes: {report.overlap:.3f}

{LICENCE}""",
    )


def write_code_prior_card(report: CodePriorReport, folder: Path) -> None:
    """Writes the card of the codes' prior beside its weights in `folder`."""
    parameters = sum(value.numel() for value in report.trained.model.parameters())
    _write(
        folder / CODE_PRIOR,
        f"""# Code prior

Any known patches' codes and the partial shape → the codes of the others, in any order
(`backend/models/code_prior.py`), after AutoSDF (Mittal et al. 2022). {parameters / 1e6:.1f} million parameters,
stored in float16. Belongs to the shape codes beside it.

## Training

    python3 build.py train code_prior --data train_lite.zip --configuration {report.configuration}

{_training(report.configuration, report.schedule, report.trained)}
Data: {report.objects} objects, of which one in twenty is held out; mirrored and stretched. Parts are halves, octants,
all but a slab or a box, and what one camera sees.

## Measured on {report.held_out} objects that training did not see, parts drawn as in training

- bits a code that is not given: {report.bits:.2f} (9 without a prior)

{LICENCE}""",
    )
