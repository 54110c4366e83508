"""Trains PoinTr to complete clouds of points.

    python3 build.py train point_completion --data train.zip

Yu et al., "PoinTr", 2021, §3.4: the Chamfer-L1 distances of the patches' centres and of all points from the whole. The
known parts are those that completion is measured by: all but a half, an octant, a slab or a box, and what one camera
sees. Clouds are in model space as the method gives them: with the part that is missing, or, for a scan, without.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.holdout import held_out
from ..data.packing import PackedData, pack
from ..data.unknown_parts import VIEW_SHARE, draw_boxes, draw_directions, visible
from ..errors import InputError
from ..kernels import chamfer_distance_l1
from ..models.placements import HALF_EXTENT, SCAN_SCALE
from ..models.pointr import PoinTr, PoinTrConfig, with_input
from ..weights.bundled import POINTS, save_weights
from . import processes
from .card import PointReport, write_point_card
from .loop import Schedule, train
from .options import Run, training_parser
from .samples import row_of_clouds

INPUT_POINTS = 512
WHOLE_POINTS = 2048
LEAST_SEEN = 0.1
"""Share of a shape's points that a box leaves at least."""
STRETCH = 0.15
SMALLER = 0.85
"""Boxes that people draw have room to spare, so that the shape is smaller than model space allows."""
SHOWN = 6

CONFIGURATIONS = {
    "small": (
        PoinTrConfig(
            width=128,
            heads=4,
            encoder_blocks=2,
            decoder_blocks=3,
            queries=128,
            fold=4,
            centers=(256, 64),
            global_width=384,
            fold_width=96,
        ),
        Schedule(minutes=35, batch_size=16, learning_rate=6e-4, warmup_steps=100),
    ),
    "published": (PoinTrConfig(), Schedule(minutes=60 * 24, batch_size=48, learning_rate=5e-4)),
}


@dataclass
class CloudBatch:
    """parts (B, INPUT_POINTS, 3) and wholes (B, WHOLE_POINTS, 3) float32, in one frame."""

    parts: Tensor
    wholes: Tensor


class CloudSampler:
    """Draws parts and wholes of objects: rare classes more often than their share, held-out objects never."""

    def __init__(self, data: PackedData, device: torch.device, *, only: np.ndarray | None = None) -> None:
        """only: (n,) bool, the objects that are drawn; by default those that are not held out."""
        self.data, self.device = data, device
        names = [record["class"] for record in data.records]
        weight = np.array([names.count(name) ** -0.5 for name in names])
        weight[held_out(data.records) if only is None else ~only] = 0
        self.cumulative = np.cumsum(weight / weight.sum())

    def __call__(self, generator: np.random.Generator, count: int) -> CloudBatch:
        objects = np.searchsorted(self.cumulative, generator.random(count)).clip(0, len(self.cumulative) - 1)
        points = self.data.surface_positions[objects].astype(np.float32) * self._stretches(generator, objects)
        scans = generator.random(count) < VIEW_SHARE
        seen = np.zeros(points.shape[:2], bool)
        seen[scans] = visible(points[scans], draw_directions(generator, int(scans.sum())))
        while len(poor := np.flatnonzero(seen.mean(axis=1) < LEAST_SEEN)):
            seen[poor] = ~draw_boxes(generator, len(poor)).contain(points[poor])
        parts, wholes = [], []
        for cloud, known, scan in zip(points, seen, scans, strict=True):
            chosen = generator.choice(np.flatnonzero(known), INPUT_POINTS)
            middle, size = _frame_of_scan(cloud[known]) if scan else (np.zeros(3), generator.uniform(SMALLER, 1))
            moved = ((cloud - middle) * size).astype(np.float32)
            parts.append(moved[chosen])
            wholes.append(moved[generator.choice(len(cloud), WHOLE_POINTS, replace=False)])
        return CloudBatch(*(torch.from_numpy(np.stack(clouds)).to(self.device) for clouds in (parts, wholes)))

    def _stretches(self, generator: np.random.Generator, objects: np.ndarray) -> np.ndarray:
        """Factors (B, 1, 3) of the axes, x mirrored for half of the objects."""
        factors = np.exp(generator.uniform(-STRETCH, STRETCH, (len(objects), 1, 3)))
        extents = np.abs(self.data.surface_positions[objects]).max(axis=1, keepdims=True).astype(np.float64)
        factors *= HALF_EXTENT / (extents * factors).max(axis=2, keepdims=True)
        factors[generator.random(len(objects)) < 0.5, :, 0] *= -1
        return factors.astype(np.float32)


def _frame_of_scan(seen: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle of what is seen, and what it is enlarged by, as the task places a scan in model space."""
    low, high = seen.min(axis=0), seen.max(axis=0)
    return (low + high) / 2, SCAN_SCALE * 2 * HALF_EXTENT / float((high - low).max())


def losses_of(model: PoinTr, batch: CloudBatch) -> dict[str, Tensor]:
    """The terms of the loss: the model's points together with what was given, against the whole."""
    completion = with_input(model(batch.parts), batch.parts)
    return {
        "coarse": chamfer_distance_l1(completion.coarse.contiguous(), batch.wholes),
        "fine": chamfer_distance_l1(completion.fine.contiguous(), batch.wholes),
    }


@torch.no_grad()
def evaluate(model: PoinTr, sampler: CloudSampler, batches: int) -> dict[str, float]:
    """Mean Chamfer-L1 (model units) of completions, of what was given alone, and of its mirror image in x with it."""
    sums = {"completed": 0.0, "given": 0.0, "mirrored": 0.0}
    for index in tqdm(range(batches), "Measuring", mininterval=10):
        batch = sampler(np.random.default_rng([7, index]), 16)
        fine = with_input(model(batch.parts), batch.parts).fine.contiguous()
        mirrored = torch.cat([batch.parts, batch.parts * batch.parts.new_tensor([-1, 1, 1])], dim=1)
        for name, cloud in (("completed", fine), ("given", batch.parts), ("mirrored", mirrored)):
            sums[name] += chamfer_distance_l1(cloud, batch.wholes).item() / batches
    return sums


def main(arguments: list[str] | None = None) -> None:
    """Pack, train, measure, save; see --help."""
    parser = training_parser("point_completion", "Train the completion of clouds of points.", CONFIGURATIONS)
    run = Run.of(parser.parse_args(arguments), "point_completion", CONFIGURATIONS)
    with processes.first_alone():
        data = pack(run.data, run.packed)
    unseen = held_out(data.records)
    if not unseen.any():
        raise InputError(f"{run.data} has too few objects to hold any out, so that nothing could be measured.")
    torch.manual_seed(0)
    measured = CloudSampler(data, run.device, only=unseen)
    shown = measured(np.random.default_rng(7), SHOWN)

    @torch.no_grad()
    def samples(model: PoinTr) -> np.ndarray:
        fine = with_input(model.eval()(shown.parts), shown.parts).fine
        return np.concatenate([row_of_clouds(clouds.cpu().numpy()) for clouds in (shown.parts, fine, shown.wholes)])

    sampler, checkpoint = CloudSampler(data, run.device), run.folder / "checkpoint.pt"
    trained = train(
        PoinTr(run.config), sampler, losses_of, run.schedule, checkpoint, device=run.device, samples=samples
    )
    if processes.rank():
        return
    metrics = evaluate(trained.model.eval(), measured, 16)
    save_weights(POINTS, trained.model.state_dict(), asdict(run.config), run.weights)
    report = PointReport(run.configuration, run.schedule, trained, metrics, len(data), int(unseen.sum()))
    write_point_card(report, run.weights)
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes: {metrics}")


if __name__ == "__main__":
    main()
