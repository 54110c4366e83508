"""Completion by points: PoinTr tells where the points of the whole are, the shape space what surface they lie on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import MachineError
from ..representations.cloud_grid import distance_grid_of_cloud
from ..representations.field import Field
from ..weights.bundled import FOLDER, POINTS, expected_hashes, load_weights, sha256
from .grid_projection import projected
from .observation import Observation
from .placements import HALF_EXTENT, Placement
from .pointr import PoinTr, PoinTrConfig
from .published_pointr import load_published
from .shape_space import ShapeSpace

KNOWN_POINTS = 4096


@dataclass(frozen=True)
class CloudFrame:
    """How a model wants its clouds: model space times `axes` (3, 3), `points` of them."""

    axes: np.ndarray
    points: int


BUNDLED = CloudFrame(np.eye(3), 512)
PUBLISHED = CloudFrame(np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]) / (2 * HALF_EXTENT), 2048)
"""ShapeNet's: Y up, front to −Z, of size 1; completion in PoinTr's configurations starts from 2,048 points."""


class CloudCompleter:
    """The method "points": a network from cloud to cloud, and the shape space that makes a surface of it."""

    def __init__(self, space: ShapeSpace, model: PoinTr, frame: CloudFrame, weights: dict[str, str]) -> None:
        self.space, self.model, self.frame = space, model, frame
        self.weights = space.weights | weights

    @classmethod
    def load(cls, space: ShapeSpace, checkpoint: str | None = None, folder: Path = FOLDER) -> CloudCompleter:
        """Reads the weights in `folder`, or a published checkpoint of PoinTr.

        Raises MachineError when weights are missing or damaged, InputError for a file that is no such checkpoint.
        """
        if checkpoint is not None:
            path = Path(checkpoint)
            model = load_published(path).to(space.device).requires_grad_(False)
            return cls(space, model, PUBLISHED, {path.name: sha256(path)})
        hashes = expected_hashes(folder)
        if POINTS not in hashes:
            raise MachineError(
                "The method 'points' has no weights here: train them with 'build.py train point_completion', give a "
                "published checkpoint of PoinTr, or use the method 'latent prior'."
            )
        state, config = load_weights(POINTS, folder)
        model = PoinTr(PoinTrConfig(**{**config, "centers": tuple(config["centers"])}))
        model.load_state_dict(state)
        return cls(space, model.to(space.device).eval().requires_grad_(False), BUNDLED, {POINTS: hashes[POINTS]})

    def complete(self, observation: Observation, *, seed: int, step: Callable[[int, int], None] | None = None) -> Field:
        """A whole shape with the observed part, in its place; another seed looks at other points of the part.

        `step(done, total)` is called after every step and may raise to stop.
        """
        cloud = self.cloud(observation, seed)
        if step is not None:
            step(1, 2)
        grid = torch.from_numpy(distance_grid_of_cloud(cloud))
        field = projected(self.space, grid, observation, Placement(1.0, np.zeros(3)))
        if step is not None:
            step(2, 2)
        return field

    def cloud(self, observation: Observation, seed: int) -> np.ndarray:
        """The points (N, 3) float32 of the whole shape: the known ones, and the network's where nothing is known."""
        generator = np.random.default_rng(seed)
        known = observation.surface
        chosen = generator.choice(len(known), self.frame.points, replace=len(known) < self.frame.points)
        given = torch.from_numpy((known[chosen] @ self.frame.axes.T).astype(np.float32))
        with torch.no_grad():
            found = self.model(given[None].to(self.space.device)).fine[0].cpu().numpy()
        found = (found @ np.linalg.inv(self.frame.axes).T).clip(-1, 1).astype(np.float32)
        if observation.unknown is not None:
            found = found[observation.unknown.contains(found)]
        kept = known[generator.permutation(len(known))[:KNOWN_POINTS]]
        return np.concatenate([kept, found])
