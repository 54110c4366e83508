from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from backend.training import loop
from backend.training import picture as loop_picture
from backend.training.loop import Schedule, save_whole, train
from backend.training.picture import HEIGHT

CPU = torch.device("cpu")
STEPS = 24
SCHEDULE = Schedule(minutes=STEPS / 60, batch_size=8, learning_rate=1e-2, warmup_steps=4)


class Clock:
    """Time that passes only when a batch is learned from: one second each."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 6.5)
    return clock


class Draw:
    """Batches of a noisy line, and a kill in place of batch number `last`."""

    def __init__(self, clock: Clock, last: int | None = None) -> None:
        self.clock, self.last, self.drawn = clock, last, 0

    def __call__(self, generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        if self.drawn == self.last:
            raise KeyboardInterrupt
        self.drawn += 1
        x = generator.normal(size=(count, 3)).astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(x.sum(1, keepdims=True))


def losses_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    x, y = batch
    noise = 0.1 * torch.randn_like(x)  # from torch's generator, as the models' own losses do
    return {"error": (model(x + noise).float() - y).square().mean(), "size": 1e-3 * model[0].weight.square().mean()}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 1))


def run(folder: Path, draw: Draw, schedule: Schedule = SCHEDULE):
    def timed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        draw.clock.seconds += 1
        return losses_of(model, batch)

    checkpoint = folder / "run" / "checkpoint.pt"
    return train(network(), draw, timed, schedule, checkpoint, device=CPU, clock=draw.clock)


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path, clock: Clock) -> None:
    whole = run(tmp_path / "whole", Draw(clock))
    for last in (10, 9):  # the second kill comes after a resumption
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", Draw(clock, last))
        torch.randn(7)  # other work in between
    draw = Draw(clock)
    resumed = run(tmp_path / "killed", draw)
    assert draw.drawn == STEPS - 14 + 1, "checkpoints were written after steps 7 and 14; one batch is drawn ahead"
    assert resumed.steps == whole.steps == STEPS and resumed.minutes == whole.minutes == SCHEDULE.minutes
    assert resumed.losses == whole.losses
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_a_finished_run_is_not_trained_again(tmp_path: Path, clock: Clock) -> None:
    first = run(tmp_path, Draw(clock))
    draw = Draw(clock)
    again = run(tmp_path, draw)
    assert draw.drawn == 0 and again.steps == STEPS
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))


def test_training_learns_and_reports_every_loss(tmp_path: Path, clock: Clock) -> None:
    schedule = Schedule(minutes=5, batch_size=64, learning_rate=2e-2, warmup_steps=4, average_decay=0.9)
    trained = run(tmp_path, Draw(clock), schedule)
    x, y = Draw(clock)(np.random.default_rng(99), 256)
    with torch.no_grad():
        error, before = ((model(x) - y).square().mean().item() for model in (trained.model, network()))
    assert error < 0.1 < before
    assert set(trained.losses) == {"error", "size"} and all(map(math.isfinite, trained.losses.values()))
    assert not any(parameter.requires_grad for parameter in trained.model.parameters())


def test_the_average_takes_over_what_norms_have_measured(tmp_path: Path, clock: Clock) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def timed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        clock.seconds += 1
        return losses_of(model, batch)

    trained = train(model, Draw(clock), timed, SCHEDULE, tmp_path / "checkpoint.pt", device=CPU, clock=clock)
    assert trained.model[1].num_batches_tracked == STEPS
    assert torch.equal(trained.model[1].running_mean, model[1].running_mean)
    assert not torch.equal(trained.model[1].running_var, torch.ones(4))


def test_the_average_follows_the_model_from_its_first_step(tmp_path: Path, clock: Clock) -> None:
    """After one step the decay is 1/10: an average that began at the random start keeps a tenth of it."""
    start = network()
    schedule = Schedule(minutes=1 / 60, batch_size=8, learning_rate=1e-2, warmup_steps=1)
    trained = run(tmp_path, Draw(clock), schedule)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    for name, value in trained.model.state_dict().items():
        wanted = 0.1 * start.state_dict()[name] + 0.9 * state["model"][name]
        torch.testing.assert_close(value, wanted, atol=1e-6, rtol=0)


def test_the_rate_rises_then_falls_with_the_time_spent() -> None:
    schedule = Schedule(minutes=1, batch_size=1, learning_rate=2.0, warmup_steps=10, final_rate=0.01)
    assert loop._rate(schedule, 0, 0.0) == pytest.approx(0.2)
    assert loop._rate(schedule, 9, 0.0) == pytest.approx(2.0)
    assert loop._rate(schedule, 500, 0.5) == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert loop._rate(schedule, 900, 1.0) == loop._rate(schedule, 900, 1.2) == pytest.approx(0.02)


def test_a_kill_while_saving_leaves_the_last_checkpoint_whole(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Draw(clock, 10))
    path = tmp_path / "run" / "checkpoint.pt"
    before = path.read_bytes()
    save = torch.save

    def cut(content: object, target: Path) -> None:
        save(content, target)
        target.write_bytes(target.read_bytes()[:500])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Draw(clock))
    assert path.read_bytes() == before
    assert run(tmp_path, Draw(clock)).steps == STEPS
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, loop.PICTURE}


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, clock: Clock) -> None:
    run(tmp_path, Draw(clock))
    with pytest.raises(RuntimeError, match="size mismatch"):
        train(
            nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1)),
            Draw(clock),
            losses_of,
            SCHEDULE,
            tmp_path / "run" / "checkpoint.pt",
            device=CPU,
            clock=clock,
        )


def test_saved_content_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "latents.pt"
    for value in (torch.zeros(3), torch.ones(2)):
        save_whole(path, copy.deepcopy(value))
        assert torch.equal(torch.load(path, weights_only=True), value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["latents.pt"]


def test_a_picture_shows_the_losses_and_the_samples_of_the_averaged_model(tmp_path: Path, clock: Clock) -> None:
    asked: list[nn.Module] = []

    def samples(model: nn.Module) -> np.ndarray:
        asked.append(model)
        return np.full((40, 900, 3), (10, 200, 30), np.uint8)

    draw = Draw(clock)

    def timed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        clock.seconds += 1
        return losses_of(model, batch)

    checkpoint = tmp_path / "run" / "checkpoint.pt"
    trained = train(network(), draw, timed, SCHEDULE, checkpoint, device=CPU, samples=samples, clock=clock)
    assert len(asked) == 4 and asked[-1] is trained.model, "after steps 7, 14 and 21, and in the end"
    with Image.open(checkpoint.with_name(loop.PICTURE)) as picture:
        assert picture.size == (900, HEIGHT + 40)
        assert picture.getpixel((450, HEIGHT + 20)) == (10, 200, 30)
        curves = np.asarray(picture)[:HEIGHT, : loop_picture.WIDTH].reshape(-1, 3)
    for color in loop_picture.COLORS[:2]:
        assert (curves == color).all(axis=1).sum() > 100, "one curve a loss"
    history = torch.load(checkpoint, weights_only=True)["history"]
    assert history["step"] == [10, 20] and set(history) == {"step", "error", "size"}


def test_curves_fall_as_losses_do() -> None:
    image = np.asarray(loop_picture.loss_curves([10, 20, 30], {"flow": [1.0, 0.1, 0.01]}))
    red = np.argwhere((image == loop_picture.COLORS[0]).all(axis=2))
    line = red[red[:, 1] < loop_picture.WIDTH - 190]
    first, last = line[line[:, 1] == line[:, 1].min()][:, 0].mean(), line[line[:, 1] == line[:, 1].max()][:, 0].mean()
    assert first < last, "row 0 is the top"


def test_a_loss_that_came_later_has_the_last_steps() -> None:
    """A run goes on from its checkpoint with another loss beside the old ones."""
    image = np.asarray(loop_picture.loss_curves([10, 20, 30], {"flow": [1.0, 0.1, 0.01], "later": [0.1, 0.01]}))
    later = np.argwhere((image == loop_picture.COLORS[1]).all(axis=2))
    assert later[:, 1].min() == pytest.approx(loop_picture.WIDTH / 2, abs=2)
