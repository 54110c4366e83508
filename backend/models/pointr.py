"""PoinTr: part of a cloud of points → the points of the whole.

Yu et al., "PoinTr: Diverse Point Cloud Completion with Geometry-Aware Transformers", 2021: the cloud is grouped into
point proxies, a transformer that knows of their neighbourhoods encodes them, queries are generated for the whole shape,
a decoder turns them into proxies of it, and each is unfolded into a patch (Yang et al., "FoldingNet", 2018). The
published checkpoints load through `published_checkpoints`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels import farthest_points, group_points
from .point_transformer import GROUPER_WIDTH, SLOPE, Block, Grouper, PointNorm, neighborhoods

NEIGHBORS = 8
POSITION_WIDTH = 128
MLP_RATIO = 2.0


@dataclass(frozen=True)
class PoinTrConfig:
    """The sizes; the defaults are those of the published model for the PCN data set.

    width, heads, encoder_blocks, decoder_blocks: the transformer's; the first `graph_blocks` of both look at
    neighbourhoods. queries: patches of the result, each of fold² points. centers: how many points the grouper thins the
    cloud to, first and last. global_width: of the feature of the whole. fold_width: of the patches' layers.
    """

    width: int = 384
    heads: int = 6
    encoder_blocks: int = 6
    decoder_blocks: int = 8
    graph_blocks: int = 1
    queries: int = 224
    fold: int = 8
    centers: tuple[int, int] = (512, 128)
    global_width: int = 1024
    fold_width: int = 256


@dataclass
class Completion:
    """coarse (B, Q, 3): the centres of the patches; fine (B, Q · fold², 3): their points."""

    coarse: Tensor
    fine: Tensor


class Folding(nn.Module):
    """A square of fold² points, bent twice into the patch that a feature stands for."""

    def __init__(self, width: int, hidden: int, fold: int) -> None:
        super().__init__()
        axis = torch.linspace(-1, 1, fold)
        square = torch.stack([axis.expand(fold, fold), axis[:, None].expand(fold, fold)], dim=-1).reshape(-1, 2)
        self.register_buffer("square", square, persistent=False)
        self.first = _folding_layers(2 + width, hidden)
        self.second = _folding_layers(3 + width, hidden)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) → (..., fold², 3)."""
        bent = _fold(self.first, self.get_buffer("square"), features)
        return _fold(self.second, bent, features)


class PoinTr(nn.Module):
    """Completes clouds of at least `config.centers[0]` points."""

    def __init__(self, config: PoinTrConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PoinTrConfig()
        width, whole = config.width, config.global_width
        self.grouper = Grouper(config.centers)
        self.position = _pointwise(3, POSITION_WIDTH, width)
        self.enter = _pointwise(GROUPER_WIDTH, width, width)
        self.encoder = _blocks(config, config.encoder_blocks, cross=False)
        self.summary = _pointwise(width, whole, whole)
        self.coarse = nn.Sequential(nn.Linear(whole, whole), nn.ReLU(), nn.Linear(whole, 3 * config.queries))
        self.query = nn.Sequential(
            nn.Linear(whole + 3, whole),
            nn.LeakyReLU(SLOPE),
            nn.Linear(whole, whole),
            nn.LeakyReLU(SLOPE),
            nn.Linear(whole, width),
        )
        self.decoder = _blocks(config, config.decoder_blocks, cross=True)
        self.rebuilt_summary = _pointwise(width, whole, whole)
        self.reduce = nn.Linear(width + whole + 3, width)
        self.folding = Folding(width, config.fold_width, config.fold)
        self.apply(_initialize)

    def forward(self, points: Tensor) -> Completion:
        """points (B, N, 3) float32, in about the unit cube."""
        places, features = self.grouper(points)
        near = neighborhoods(places, places, NEIGHBORS)
        position, tokens = self.position(places), self.enter(features)
        for block in self.encoder:
            tokens = block(tokens + position, near)
        summary = self.summary(tokens).max(1).values
        coarse = self.coarse(summary).unflatten(1, (-1, 3)).float()
        queries = self.query(torch.cat([summary[:, None].expand(-1, coarse.shape[1], -1), coarse], dim=-1))
        near_self = neighborhoods(coarse, coarse, NEIGHBORS)
        near_memory = neighborhoods(coarse, places, NEIGHBORS)
        for block in self.decoder:
            queries = block(queries, near_self, tokens, near_memory)
        rebuilt = self.rebuilt_summary(queries).max(1, keepdim=True).values.expand(-1, queries.shape[1], -1)
        patches = self.folding(self.reduce(torch.cat([rebuilt, queries, coarse], dim=-1)))
        return Completion(coarse, (coarse[:, :, None] + patches.float()).flatten(1, 2))


def with_input(completion: Completion, points: Tensor) -> Completion:
    """The completion with what was given added to it, as the published model counts and trains: `points` (B, N, 3) to
    the fine ones, and as many of them as there are patches to the coarse ones."""
    thinned = group_points(points, farthest_points(points, completion.coarse.shape[1]))
    return Completion(torch.cat([completion.coarse, thinned], dim=1), torch.cat([completion.fine, points], dim=1))


def _blocks(config: PoinTrConfig, count: int, *, cross: bool) -> nn.ModuleList:
    return nn.ModuleList(
        Block(
            config.width,
            config.heads,
            MLP_RATIO,
            graph=index < config.graph_blocks,
            cross=cross,
            bias=False,
            epsilon=1e-5,
        )
        for index in range(count)
    )


def _pointwise(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), PointNorm(hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, out))


def _folding_layers(width: int, hidden: int) -> nn.Sequential:
    half = hidden // 2
    return nn.Sequential(
        nn.Linear(width, hidden),
        PointNorm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, half),
        PointNorm(half),
        nn.ReLU(),
        nn.Linear(half, 3),
    )


def _fold(layers: nn.Sequential, places: Tensor, features: Tensor) -> Tensor:
    """layers([place, feature]) for the places (…, P, D) of each patch with features (…, C): (…, P, 3). The first layer
    sees a patch's feature once and not with every place."""
    first, *rest = layers
    assert isinstance(first, nn.Linear)
    of_place, of_feature = first.weight.split([places.shape[-1], features.shape[-1]], dim=1)
    hidden = functional.linear(places, of_place, first.bias) + functional.linear(features, of_feature)[..., None, :]
    for layer in rest:
        hidden = layer(hidden)
    return hidden


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
