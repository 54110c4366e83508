"""What the prior's network has learned, and whether a transformer in the MLP's place would learn more in the same time.

    python3 build.py bench prior_networks --data train_lite.zip [--weights FOLDER ...] [--minutes 6]

- The loss of the flow, with one kind of condition each, on latents as they are and mirrored: of objects that are held
  out, and of those that were learned from; 384 samples each, times drawn as in training.
- With --minutes, two networks are trained from nothing for so many minutes of the processor on the same batches: the
  MLP as it is bundled, and a diffusion transformer (Peebles and Xie, "DiT", 2022) whose tokens are groups of
  components, with the same encoder of conditions, about as many parameters behind it, and modulation by its vector.

Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.data.holdout import held_out
from backend.models.conditions import ConditionEncoder, Conditions
from backend.models.latent_prior import TIME_FREQUENCIES, LatentPrior, LatentPriorConfig, time_features
from backend.models.shape_space import ShapeSpace
from backend.models.text_encoder import TextEncoder
from backend.training.latent_prior import Examples, LatentSampler, flow_losses
from backend.training.loop import Schedule, train
from backend.weights.bundled import FOLDER
from benchmarks.exit_codes import print_all

CPU = torch.device("cpu")
SAMPLES = 384
KINDS = ("sentence", "image", "part")
BATCH_SIZE = 256
TOKENS, WIDTH, BLOCKS, HEADS = 16, 320, 7, 5


class TransformerBlock(nn.Module):
    """Attention and an MLP, each modulated by scale, shift and gate (adaLN-Zero)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.modulate = nn.Linear(width, 6 * width)
        self.project, self.leave = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate, other_scale, other_shift, other_gate = self.modulate(condition)[:, None].chunk(6, dim=-1)
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in self.project(self.norms[0](tokens) * (1 + scale) + shift).chunk(3, dim=-1)
        )
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + gate * self.leave(attended)
        return tokens + other_gate * self.mlp(self.norms[1](tokens) * (1 + other_scale) + other_shift)


class TransformerPrior(nn.Module):
    """The velocity as `LatentPrior` gives it, by a transformer over TOKENS groups of neighbouring components."""

    def __init__(self, config: LatentPriorConfig) -> None:
        super().__init__()
        self.conditions = ConditionEncoder(WIDTH, len(config.classes))
        self.time = nn.Sequential(nn.Linear(2 * TIME_FREQUENCIES, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        size = config.components // TOKENS
        self.enter, self.leave = nn.Linear(size, WIDTH), nn.Linear(WIDTH, size)
        self.places = nn.Parameter(0.02 * torch.randn(TOKENS, WIDTH))
        self.blocks = nn.ModuleList(TransformerBlock(WIDTH) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        nn.init.zeros_(self.leave.weight)

    def encode(self, conditions: Conditions) -> Tensor:
        return self.conditions(conditions)

    def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        condition = functional.silu(self.time(time_features(time)) + condition)
        tokens = self.enter(state.unflatten(1, (TOKENS, -1))) + self.places
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self.leave(self.norm(tokens)).flatten(1)


@dataclass(frozen=True)
class Row:
    """A network's parameters and steps, where it was trained here, and its losses: held out and learned from, by
    kind."""

    name: str
    parameters: int
    steps: int | None
    held_out: tuple[float, ...]
    learned: tuple[float, ...]

    def __str__(self) -> str:
        losses = (f"{loss:.3f}" for loss in (*self.held_out, *self.learned))
        return "| " + " | ".join([self.name, f"{self.parameters / 1e6:.1f} M", str(self.steps or ""), *losses]) + " |"


@torch.no_grad()
def loss_of(network: nn.Module, space: ShapeSpace, examples: Examples, chosen: np.ndarray, kind: str) -> float:
    """The flow's loss over SAMPLES samples of the chosen objects (n,) bool that are told by one kind of condition."""
    coefficients = examples.coefficients(space.components)
    sampler = LatentSampler(examples, coefficients, CPU, chosen=chosen, first={kind: 1.0}, plain_share=1.0)
    torch.manual_seed(0)
    batch = sampler(np.random.default_rng(3), SAMPLES)
    return flow_losses(space.components.deviations)(network, batch)["flow"].item()  # type: ignore[arg-type] # as a prior


def row(name: str, network: nn.Module, steps: int | None, space: ShapeSpace, examples: Examples) -> Row:
    """Measures a network whose flow is told in the space's components."""
    out = held_out(examples.data.records)
    network.eval()
    losses = [tuple(loss_of(network, space, examples, chosen, kind) for kind in KINDS) for chosen in (out, ~out)]
    return Row(name, sum(part.numel() for part in network.parameters()), steps, *losses)


def trial(name: str, network: nn.Module, minutes: float, space: ShapeSpace, examples: Examples, folder: Path) -> Row:
    """Trains a network from nothing; one that was cut off goes on, and a finished one is only measured."""
    result = train(
        network,
        LatentSampler(examples, examples.coefficients(space.components), CPU),
        flow_losses(space.components.deviations),  # type: ignore[arg-type] # as a prior
        Schedule(minutes, BATCH_SIZE, 1e-3),
        folder / f"{name}_{minutes:g}_minutes" / "checkpoint.pt",
        device=CPU,
        clock=time.process_time,
    )
    return row(name, result.model, result.steps, space, examples)


def report(options: argparse.Namespace) -> Iterator[str]:
    """Lines of Markdown."""
    folder = options.out / "prior_networks"
    folder.mkdir(parents=True, exist_ok=True)
    packed, latents = options.out / f"packed_{options.data.stem}", options.out / "latent_prior"
    latents.mkdir(exist_ok=True)
    examples = Examples.of(options.data, packed, latents, FOLDER, TextEncoder(CPU), CPU)
    yield (
        "| | parameters | steps | "
        + " | ".join(f"{kind}, {of}" for of in ("held out", "learned") for kind in KINDS)
        + " |"
    )
    yield "|---|" + "---:|" * (2 + 2 * len(KINDS))
    for weights in options.weights:
        space = ShapeSpace.load(folder=weights)
        yield str(row(weights.name, space.prior, None, space, examples))
    if options.minutes is None:
        return
    space = ShapeSpace.load()
    config = replace(LatentPriorConfig(), classes=examples.classes)
    for name, kind in (("MLP", LatentPrior), ("transformer", TransformerPrior)):
        torch.manual_seed(0)
        yield str(trial(name, kind(config), options.minutes, space, examples, folder))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="prior_networks", description="Measure priors, and try other networks.")
    parser.add_argument("--data", type=Path, required=True, help="the data-set zip that the weights were trained on")
    parser.add_argument("--weights", type=Path, nargs="*", default=[FOLDER], help="folders of weights to measure")
    parser.add_argument("--minutes", type=float, help="of the processor, to train either network from nothing")
    parser.add_argument("--out", type=Path, default=Path("training_runs"), help="packed data and checkpoints")
    options = parser.parse_args(arguments)
    return print_all(report(options))


if __name__ == "__main__":
    sys.exit(main())
