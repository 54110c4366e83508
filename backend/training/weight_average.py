"""The mean of two priors that one training passed through.

    python3 build.py train weight_average EARLIER LATER --weights FOLDER

The later one knows the objects that it learned from better, the earlier one those that were held out; the mean of their
weights can be better at both than either (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
Generalization", 2018).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..weights.bundled import FOLDER, PRIOR, load_weights, save_weights


def mean_of(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean of every tensor. Raises InputError for states of different networks."""
    if {key: value.shape for key, value in one.items()} != {key: value.shape for key, value in other.items()}:
        raise InputError("These are weights of different networks, which have no mean: give two of one training.")
    return {key: (value + other[key]) / 2 if value.is_floating_point() else value for key, value in one.items()}


def main(arguments: list[str] | None = None) -> None:
    """Read both, write the mean; see --help."""
    parser = argparse.ArgumentParser(prog="weight_average", description="Average the weights of two latent priors.")
    parser.add_argument("earlier", type=Path, help="a folder of weights")
    parser.add_argument("later", type=Path, help="another, of the same training")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="where the mean is written")
    options = parser.parse_args(arguments)
    (earlier, config), (later, _) = (load_weights(PRIOR, folder) for folder in (options.earlier, options.later))
    save_weights(PRIOR, mean_of(earlier, later), config, options.weights, matrices_in_bytes=True)


if __name__ == "__main__":
    main()
