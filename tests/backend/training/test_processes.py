"""Two processes that torchrun starts train one model: as one process with the mean of both gradients would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from backend.training import loop, processes
from tests.backend.training.train_together import SCHEDULE, STEPS, draw, losses_of, network

REPOSITORY = Path(__file__).parents[3]
PROCESSES = 2


def steps_with_mean_gradients(steps: int) -> dict[str, torch.Tensor]:
    """The averaged weights after `steps`, by plain autograd over the batches that both processes draw."""
    model, average = network(), network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1, weight_decay=SCHEDULE.weight_decay, betas=(0.9, 0.98))
    for step in range(steps):
        total = torch.zeros(())
        for rank in range(PROCESSES):
            batch = draw(np.random.default_rng([0, step, *([rank] if rank else [])]), SCHEDULE.batch_size)
            torch.manual_seed(1009 * rank * 1_000_003 + step)
            total = total + losses_of(model, batch)["error"] / PROCESSES
        for group in optimizer.param_groups:
            group["lr"] = loop._rate(SCHEDULE, step, step / STEPS)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(SCHEDULE.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)
    return average.state_dict()


def test_two_processes_learn_from_the_mean_of_their_gradients(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    command += ["-m", "tests.backend.training.train_together", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"process_{rank}.pt", weights_only=True) for rank in range(PROCESSES))
    assert first["steps"] == second["steps"] == STEPS, "they stop together, whatever their clocks say"
    assert not first["found"] and second["found"], "the first one prepares"
    assert (tmp_path / "run_0").is_dir() and not list((tmp_path / "run_1").glob("*")), "the first one writes"
    for name, wanted in steps_with_mean_gradients(STEPS).items():
        assert torch.equal(first["model"][name], second["model"][name]), name
        torch.testing.assert_close(first["model"][name], wanted, rtol=0, atol=1e-6)


def test_one_process_needs_nobody() -> None:
    assert processes.join().type in ("cpu", "cuda") and not processes.several() and processes.rank() == 0
    with processes.first_alone():
        assert processes.of_first(1.5) == 1.5
