"""Trains the whole shape space, the auto-encoder and then the prior over its latents.

python3 build.py train --data my_folder
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..weights.bundled import FOLDER
from . import latent_prior, shape_autoencoder


def main(arguments: list[str] | None = None) -> None:
    """Both trainings, one after the other; see --help."""
    parser = argparse.ArgumentParser(prog="shape_space", description="Train the auto-encoder, and the prior over it.")
    parser.add_argument("--data", required=True, help="data-set zip, or folder of 3D files, to train on")
    parser.add_argument("--dev", help="data to measure on; by default what is held out of --data")
    parser.add_argument("--out", default="training_runs", help="packed data and checkpoints")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="where the weights and their cards are written")
    parser.add_argument("--configuration", choices=sorted(shape_autoencoder.CONFIGURATIONS), default="small")
    options = parser.parse_args(arguments)
    shared = ["--data", options.data, "--out", options.out, "--weights", str(options.weights)]
    shared += ["--configuration", options.configuration]
    shape_autoencoder.main([*shared, *([] if options.dev is None else ["--dev", options.dev])])
    latent_prior.main(shared)


if __name__ == "__main__":
    main()
