"""What every training script is told on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch

from ..weights.bundled import FOLDER
from . import processes
from .loop import Schedule

Config = TypeVar("Config")


def training_parser(name: str, description: str, configurations: Mapping[str, object]) -> argparse.ArgumentParser:
    """The options that all scripts have; a script adds its own."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--data", type=Path, required=True, help="data-set zip, or folder of 3D files, to train on")
    parser.add_argument("--out", type=Path, default=Path("training_runs"), help="packed data and checkpoints")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="where weights are read and written")
    parser.add_argument("--configuration", choices=sorted(configurations), default="small")
    parser.add_argument("--minutes", type=float, help="another time budget than the configuration's")
    return parser


@dataclass(frozen=True)
class Run(Generic[Config]):
    """One training: its network's configuration and schedule, its device, and its folders. data: what it learns from,
    packed into `packed`; folder: its own, for checkpoints; weights: where the finished ones go."""

    configuration: str
    config: Config
    schedule: Schedule
    device: torch.device
    data: Path
    packed: Path
    folder: Path
    weights: Path

    @classmethod
    def of(cls, options: argparse.Namespace, name: str, configurations: Mapping[str, tuple[Config, Schedule]]) -> Run:
        """The run that parsed options of `training_parser` ask for; makes its folder, and joins other processes."""
        config, schedule = configurations[options.configuration]
        if options.minutes is not None:
            schedule = replace(schedule, minutes=options.minutes)
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        packed = options.out / f"packed_{options.data.stem}"
        return cls(
            options.configuration, config, schedule, processes.join(), options.data, packed, folder, options.weights
        )
