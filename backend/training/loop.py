"""The training loop that every model shares: a time budget, an averaged model, checkpoints that survive a kill."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from . import processes
from .picture import write_picture

CHECKPOINT_SECONDS = 180
HISTORY_STEPS = 10
PICTURE = "progress.png"

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The learning rate follows a cosine over the spent share of `minutes`, so a run that was
    cut off and resumed still ends its budget with the smallest rate."""

    minutes: float
    batch_size: int
    learning_rate: float
    warmup_steps: int = 200
    final_rate: float = 0.01
    weight_decay: float = 0.01
    average_decay: float = 0.999


@dataclass
class Trained(Generic[Model]):
    """The averaged model, and what the card reports of its training."""

    model: Model
    steps: int
    minutes: float
    losses: dict[str, float]


def _rate(schedule: Schedule, step: int, share: float) -> float:
    cosine = schedule.final_rate + (1 - schedule.final_rate) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return schedule.learning_rate * cosine * min(1.0, (step + 1) / schedule.warmup_steps)


def save_whole(path: Path, content: object) -> None:
    """`torch.save` that a kill cannot cut short: the file at `path` is the old one or the new one."""
    unfinished = path.with_suffix(".unfinished")
    torch.save(content, unfinished)
    os.replace(unfinished, path)


def train(
    model: Model,
    draw: Callable[[np.random.Generator, int], Batch],
    losses_of: Callable[[Model, Batch], dict[str, Tensor]],
    schedule: Schedule,
    checkpoint: Path,
    *,
    device: torch.device,
    seed: int = 0,
    samples: Callable[[Model], np.ndarray] | None = None,
    clock: Callable[[], float] | None = None,
) -> Trained[Model]:
    """Trains `model` until the schedule's minutes are spent; goes on from `checkpoint` where one is.

    `draw(generator, batch_size)` gives a batch that depends on the generator alone, in a thread of its own;
    `losses_of(model, batch)` gives the terms whose sum is minimised. Forward passes run in bfloat16 where autocast
    allows it. A run that was killed and resumed takes the steps that it would have taken, and on the same clock ends
    with the same weights. `clock` tells the seconds that are counted, those that pass where it is None; with
    `time.process_time` those of the processor, so that trainings beside other work compare. Of several
    processes (see `processes`) all must call this; the first one writes.

    Beside every checkpoint, `progress.png` shows the losses so far, and below them what `samples(averaged model)`
    paints, (H, W, 3) uint8.
    """
    model.to(device)
    average = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.98), fused=True
    )
    step, spent = 0, 0.0
    running: dict[str, float] = {}
    history: dict[str, list[float]] = {"step": []}
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, running, history = state["step"], state["seconds"], state["losses"], state["history"]

    objective = processes.synchronised(model, losses_of)
    rank = processes.rank()
    # The first process's draws are those of a process alone.
    own = [rank] if rank else []

    def save() -> None:
        if rank:
            return
        parts = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        save_whole(checkpoint, {**parts, "step": step, "seconds": spent, "losses": running, "history": history})
        curves = {name: values for name, values in history.items() if name != "step"}
        painted = None if samples is None else samples(average)
        write_picture(checkpoint.with_name(PICTURE), history["step"], curves, painted)

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    clock = clock or time.monotonic
    budget = schedule.minutes * 60
    saved = clock()
    bar = tqdm(
        total=round(budget),
        initial=round(spent),
        unit="s",
        desc=checkpoint.parent.name,
        mininterval=10,
        disable=rank > 0,
    )
    with bar, ThreadPoolExecutor(1) as ahead:

        def drawn(index: int) -> Future[Batch]:
            return ahead.submit(draw, np.random.default_rng([seed, index, *own]), schedule.batch_size)

        # The next batch is drawn while this one is learned from.
        following = drawn(step) if spent < budget else None
        while spent < budget:
            start = clock()
            assert following is not None
            batch, following = following.result(), drawn(step + 1)
            torch.manual_seed((seed + 1009 * rank) * 1_000_003 + step)
            for group in optimizer.param_groups:
                group["lr"] = _rate(schedule, step, spent / budget)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                losses = objective(batch)
            torch.stack(list(losses.values())).sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            decay = min(schedule.average_decay, (1 + step) / (10 + step))
            with torch.no_grad():
                for mean, parameter in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(parameter, 1 - decay)
                # Buffers are means over batches already, where a layer has any.
                for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
                    kept.copy_(buffer)
            for name, loss in losses.items():
                running[name] = 0.99 * running.get(name, loss.item()) + 0.01 * loss.item()
            step += 1
            if step % HISTORY_STEPS == 0:
                for name, value in {"step": step, **running}.items():
                    history.setdefault(name, []).append(value)
            spent += processes.of_first(clock() - start)
            bar.set_postfix(step=step, **{name: f"{value:.4f}" for name, value in running.items()}, refresh=False)
            bar.update(round(spent) - bar.n)
            if clock() - saved > CHECKPOINT_SECONDS:
                save()
                saved = clock()
    save()
    return Trained(model=average, steps=step, minutes=spent / 60, losses=dict(running))
