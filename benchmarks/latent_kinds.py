"""Which kind of latent learns most from the same data in the same time: a grid, a set, three planes, a quantised grid.

    python3 build.py bench latent_kinds --data train_lite.zip --dev dev.zip [--minutes 7] [--picture latent_kinds.jpg]

All have 6,144 numbers a shape and 1.25 million parameters within a tenth; `autoencoder_trials` defines every figure.
Prints Markdown. The picture has the objects in its first row and one row a kind below.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import autoencoder_trials
from benchmarks.autoencoder_trials import Trial
from benchmarks.latent_networks.grid import GridNetwork, QuantizedGridNetwork
from benchmarks.latent_networks.latent_set import LatentSetNetwork
from benchmarks.latent_networks.triplane import TriplaneNetwork

TRIALS = (
    Trial("grid", GridNetwork),
    Trial("latent set", LatentSetNetwork),
    Trial("tri-planes", TriplaneNetwork),
    Trial("quantised grid", QuantizedGridNetwork),
    Trial("latent set at a third of the rate", LatentSetNetwork, learning_rate=5e-4),
)


def main(arguments: Sequence[str] | None = None) -> int:
    return autoencoder_trials.main("latent_kinds", "Compare kinds of latent at equal compute.", TRIALS, arguments)


if __name__ == "__main__":
    sys.exit(main())
