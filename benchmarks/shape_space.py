"""How good the bundled shape space is: what the auto-encoder keeps of objects it never saw, and what prompts give.

    python3 build.py bench shape_space --data train_lite.zip --dev dev.zip [--part reconstruction|text|generation|speed]

reconstruction_fidelity, text_faithfulness, generation_quality and shape_space_speed define every figure. Prints
Markdown on standard output. The training data is packed once, into the folder that training uses. Results are the same
at every run on the same machine, but for seconds.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from backend.data.archive import Archive
from backend.data.packing import pack
from backend.models.shape_space import ShapeSpace
from benchmarks import (
    generation_quality,
    reconstruction_fidelity,
    shape_space_speed,
    text_faithfulness,
    text_faithfulness_tables,
)
from benchmarks.exit_codes import exit_code_of
from benchmarks.shape_clouds import TrainingShapes

PARTS = ("reconstruction", "text", "generation", "speed")


def report(options: argparse.Namespace) -> None:
    """Measures and prints. Raises InputError or MachineError."""
    source, dev = Archive(options.data), Archive(options.dev)
    space = ShapeSpace.load()
    training = TrainingShapes(pack(options.data, options.packed / f"packed_{options.data.stem}"))
    print(f"Weights: {', '.join(f'{name} {digest[:12]}' for name, digest in space.weights.items())}.")
    print(f"{platform.machine()}, {options.threads} threads; {len(training)} training shapes.")

    def text() -> str:
        return text_faithfulness_tables.tables(*text_faithfulness.measure(space, training, source, options.seeds))

    parts: dict[str, Callable[[], str]] = {
        "reconstruction": lambda: reconstruction_fidelity.tables(
            reconstruction_fidelity.measure(space, dev, training, source)
        ),
        "text": text,
        "generation": lambda: generation_quality.table(generation_quality.measure(space, training)),
        "speed": lambda: shape_space_speed.table(shape_space_speed.measure(space)),
    }
    for name in PARTS if options.part is None else (options.part,):
        start = time.monotonic()
        print(f"\n## {name.capitalize()}\n", parts[name](), sep="\n")
        print(f"\n{time.monotonic() - start:.0f} s of wall time for this part.", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shape_space", description="Measure reconstruction and text to shape.")
    parser.add_argument("--data", type=Path, required=True, help="the data-set zip that the weights were trained on")
    parser.add_argument("--dev", type=Path, required=True, help="a data-set zip of objects that they never saw")
    parser.add_argument("--part", choices=PARTS, help="only this one")
    parser.add_argument("--packed", type=Path, default=Path("training_runs"), help="where packed data lies")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2, 3), help="of every prompt")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    return exit_code_of(lambda: report(options))


if __name__ == "__main__":
    sys.exit(main())
