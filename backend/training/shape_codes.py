"""Trains the auto-encoder whose codes the autoregressive completion draws.

    python3 build.py train shape_codes --data train.zip

The loss is the distance grids' absolute error (Mittal et al., "AutoSDF", 2022, §3.1); there is no codebook's loss, for
there is no codebook (Mentzer et al., "Finite Scalar Quantization", 2023).
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from ..data.distance_grids import transformed
from ..data.distance_packing import pack_distance_grids
from ..data.holdout import held_out
from ..data.packing import PackedData, pack
from ..errors import InputError
from ..models.shape_codes import ShapeCodes, ShapeCodesConfig, reconstruction_loss
from ..representations.distance_grid_field import DistanceGridField
from ..weights.bundled import CODES, save_weights
from . import processes
from .card import CodesReport, write_codes_card
from .loop import Schedule, train
from .options import Run, training_parser
from .samples import tile_of

TURNED = 0.25
STRETCH = 0.2
SHOWN = 6

CONFIGURATIONS = {
    "small": (ShapeCodesConfig(), Schedule(minutes=12, batch_size=16, learning_rate=2e-3, warmup_steps=50)),
    "base": (ShapeCodesConfig(), Schedule(minutes=60, batch_size=64, learning_rate=2e-3)),
}


class GridSampler:
    """Draws distance grids (B, 64, 64, 64) in (−1, 1), mirrored, turned by quarters, some stretched."""

    def __init__(self, data: PackedData, grids: np.ndarray, device: torch.device) -> None:
        self.grids, self.device = grids, device
        self.seen = np.flatnonzero(~held_out(data.records))

    def __call__(self, generator: np.random.Generator, count: int) -> Tensor:
        drawn = []
        for index in generator.choice(self.seen, count):
            grid = self.grids[index][:: generator.choice([-1, 1]), :: generator.choice([-1, 1])]
            drawn.append(grid.swapaxes(0, 1) if generator.random() < 0.5 else grid)
        grids = torch.from_numpy(np.stack(drawn).astype(np.float32) / 127)
        rows = np.flatnonzero(generator.random(count) < TURNED)
        if len(rows):
            factors = np.exp(-STRETCH * generator.random((len(rows), 3, 1))).astype(np.float32)
            grids[rows] = transformed(grids[rows], torch.from_numpy(factors * np.eye(3, dtype=np.float32)))
        return grids.to(self.device)


def losses_of(model: ShapeCodes, grids: Tensor) -> dict[str, Tensor]:
    """The terms of the loss."""
    return {"distance": reconstruction_loss(model(grids).float(), grids)}


@torch.no_grad()
def evaluate(model: ShapeCodes, grids: np.ndarray, objects: np.ndarray, device: torch.device) -> float:
    """Mean intersection over union of the cells inside, of some objects' grids as they are and through the codes."""
    overlaps = []
    for index in objects:
        grid = torch.from_numpy(grids[index].astype(np.float32) / 127)[None].to(device)
        inside, found = grid < 0, model.decode(model.encode(grid)) < 0
        overlaps.append(float((inside & found).sum() / (inside | found).sum().clamp(min=1)))
    return float(np.mean(overlaps))


def main(arguments: list[str] | None = None) -> None:
    """Pack, train, measure, save; see --help."""
    parser = training_parser("shape_codes", "Train the codes of autoregressive completion.", CONFIGURATIONS)
    run = Run.of(parser.parse_args(arguments), "shape_codes", CONFIGURATIONS)
    with processes.first_alone():
        data, grids = pack(run.data, run.packed), pack_distance_grids(run.data, run.packed)
    measured = np.flatnonzero(held_out(data.records))
    if not len(measured):
        raise InputError(f"{run.data} has too few objects to hold any out, so that nothing could be measured.")
    torch.manual_seed(0)
    model = ShapeCodes(run.config)
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # missing from torch's own overloads
    shown = torch.from_numpy(grids[measured[:SHOWN]].astype(np.float32) / 127).to(run.device)

    @torch.no_grad()
    def samples(model: ShapeCodes) -> np.ndarray:
        rows = [shown, model.decode(model.encode(shown))]
        return np.concatenate(
            [np.concatenate([tile_of(DistanceGridField(grid)) for grid in row], axis=1) for row in rows]
        )

    sampler, checkpoint = GridSampler(data, grids, run.device), run.folder / "checkpoint.pt"
    trained = train(model, sampler, losses_of, run.schedule, checkpoint, device=run.device, samples=samples)
    if processes.rank():
        return
    overlap = evaluate(trained.model.eval(), grids, measured, run.device)
    save_weights(CODES, trained.model.state_dict(), asdict(run.config), run.weights)
    write_codes_card(
        CodesReport(run.configuration, run.schedule, trained, overlap, len(data), len(measured)), run.weights
    )
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes: IoU {overlap:.3f}")


if __name__ == "__main__":
    main()
