"""What test_processes starts in several processes: one training of a small network, whose steps take no time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backend.training import loop, processes
from backend.training.loop import Schedule, train

STEPS = 3
SCHEDULE = Schedule(minutes=STEPS / 60, batch_size=4, learning_rate=1e-2, warmup_steps=1, weight_decay=0.0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"used": nn.Linear(3, 1), "unused": nn.Linear(2, 2)})


def draw(generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    x = generator.normal(size=(count, 3)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(x.sum(1, keepdims=True))


def losses_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """In float64 precision of the sum at least: no autocast in this test."""
    x, y = batch
    with torch.autocast("cpu", enabled=False):
        noise = 0.1 * torch.randn_like(x)
        return {"error": (model["used"](x + noise) - y).square().mean()}


def main(folder: Path) -> None:
    device = processes.join()
    rank = processes.rank()
    with processes.first_alone():
        prepared = folder / "prepared"
        found = prepared.exists()
        prepared.touch()
    seconds = iter(range(100, 10_000, 1 + rank))  # the second process's clock is twice as fast
    loop.time.monotonic = lambda: float(next(seconds))
    trained = train(network(), draw, losses_of, SCHEDULE, folder / f"run_{rank}" / "checkpoint.pt", device=device)
    content = {"model": trained.model.state_dict(), "steps": trained.steps, "found": found}
    torch.save(content, folder / f"process_{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
