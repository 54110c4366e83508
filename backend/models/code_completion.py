"""Completion by codes: what is known of a shape is encoded, the other patches' codes are drawn, all are decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.distance_grids import RESOLUTION, SATURATION
from ..data.unknown_parts import UnknownBoxes
from ..errors import MachineError
from ..representations.distance_grid_field import DistanceGridField
from ..representations.field import Field
from ..representations.known_shape import KnownShape
from ..weights.bundled import CODE_PRIOR, CODES, FOLDER, expected_hashes, load_weights
from .agreement import SURFACE_WEIGHT
from .code_prior import CodePrior, CodePriorConfig, draw
from .grid_projection import projected
from .observation import Observation
from .part_completion import part_of
from .placements import Placement, placements
from .shape_codes import TOKEN_RESOLUTION, TOKENS, ShapeCodes, ShapeCodesConfig
from .shape_space import ShapeSpace

UNKNOWN_SHARE = 0.12
"""Of a patch, at most, that still counts as known: boxes never end just where patches do."""


def known_patches(boxes: UnknownBoxes) -> np.ndarray:
    """(B, 64) bool: the patches that lie outside of the boxes, but for a margin."""
    side = 2 / TOKEN_RESOLUTION
    low = np.indices([TOKEN_RESOLUTION] * 3).reshape(3, -1).T * side - 1
    covered = np.minimum(boxes.high[:, None], low + side) - np.maximum(boxes.low[:, None], low)
    return (covered.clip(0) / side).prod(axis=2) <= UNKNOWN_SHARE


def known_grid(known: KnownShape, placement: Placement) -> Tensor:
    """The distance grid (64, 64, 64) of what is known, placed; in the box it is that of the nearest place on the box's
    sides, as if the shape went on as it ends there."""
    axis = (np.arange(RESOLUTION) + 0.5) * (2 / RESOLUTION) - 1
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    places = (centres - placement.offset) / placement.scale
    hidden = known.depth(places) > 0
    places[hidden] = known.onto_box(places[hidden])
    distances = known.signed_distance(places) * placement.scale
    return torch.from_numpy(np.tanh(distances / SATURATION).astype(np.float32)).view([RESOLUTION] * 3)


class CodeCompleter:
    """The method "autoregressive": a shape space, whose decoder gives the surface, and codes with their prior."""

    def __init__(self, space: ShapeSpace, codes: ShapeCodes, prior: CodePrior, weights: dict[str, str]) -> None:
        self.space, self.codes, self.prior = space, codes, prior
        self.weights = space.weights | weights

    @classmethod
    def load(cls, space: ShapeSpace, folder: Path = FOLDER) -> CodeCompleter:
        """Reads the weights in `folder`. Raises MachineError when they are missing or damaged."""
        hashes = expected_hashes(folder)
        if not {CODES, CODE_PRIOR} <= hashes.keys():
            raise MachineError(
                "The method 'autoregressive' has no weights here: train them with 'build.py train shape_codes' and "
                "'build.py train code_prior', or use the method 'latent prior'."
            )
        state, config = load_weights(CODES, folder)
        codes = ShapeCodes(ShapeCodesConfig(**{**config, "widths": tuple(config["widths"])}))
        codes.load_state_dict(state)
        state, config = load_weights(CODE_PRIOR, folder)
        prior = CodePrior(CodePriorConfig(**config))
        prior.load_state_dict(state)
        for module in (codes, prior):
            module.to(space.device).eval().requires_grad_(False)
        return cls(space, codes, prior, {name: hashes[name] for name in (CODES, CODE_PRIOR)})

    @torch.no_grad()
    def complete(
        self,
        observation: Observation,
        *,
        seed: int,
        steps: int,
        temperature: float,
        step: Callable[[int, int], None] | None = None,
    ) -> Field:
        """A whole shape with the observed part, in its place; another seed gives another.

        One shape is drawn for each placement, and the one that agrees best with what is known is taken. `step(done,
        total)` is called after every step and may raise to stop.
        """
        places = placements(observation)
        parts = torch.cat([part_of(observation, place) for place in places]).to(self.space.device)
        known, given = self._known(observation, places)
        generator = torch.Generator().manual_seed(seed)
        tell = None if step is None else lambda done: step(done, steps)
        drawn = draw(self.prior, known, given, parts, generator, steps=steps, temperature=temperature, step=tell)
        grids = self.codes.decode(drawn)
        errors = [disagreement(grid, observation, place) for grid, place in zip(grids, places, strict=True)]
        best = int(np.argmin(errors))
        return projected(self.space, grids[best], observation, places[best])

    def _known(self, observation: Observation, places: list[Placement]) -> tuple[Tensor, Tensor]:
        """The codes (P, 64, G) of what is known in each placement, and which these are (P, 64)."""
        count, groups = len(places), self.codes.config.groups
        if observation.known is None or observation.unknown is None:
            return torch.zeros(count, TOKENS, groups, dtype=torch.long), torch.zeros(count, TOKENS, dtype=torch.bool)
        corners = [
            np.stack([place.apply(side) for place in places])
            for side in (observation.unknown.low, observation.unknown.high)
        ]
        grids = torch.stack([known_grid(observation.known, place) for place in places])
        codes = self.codes.encode(grids.to(self.space.device))
        return codes, torch.from_numpy(known_patches(UnknownBoxes(*corners))).to(self.space.device)


def disagreement(grid: Tensor, observation: Observation, placement: Placement) -> float:
    """How far a grid's values are from what is known of a placed shape: mean absolute differences at places around its
    surface, and, weighted by SURFACE_WEIGHT, on it."""
    level = np.full(len(observation.surface), observation.level, np.float32)
    of_surface = _mean_error(grid, observation.surface, level, placement)
    if not len(observation.queries):
        return of_surface
    return SURFACE_WEIGHT * of_surface + _mean_error(grid, observation.queries, observation.distances, placement)


def _mean_error(grid: Tensor, places: np.ndarray, distances: np.ndarray, placement: Placement) -> float:
    found = DistanceGridField(grid.cpu()).signed_distance(torch.from_numpy(placement.apply(places)))
    wanted = torch.from_numpy(distances * np.float32(placement.scale))
    return float((torch.tanh(found / SATURATION) - torch.tanh(wanted / SATURATION)).abs().mean())
