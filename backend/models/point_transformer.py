"""Parts that the point transformers share: features of neighbourhoods, attention that knows of them, blocks.

Sources: Yu et al., "PoinTr: Diverse Point Cloud Completion with Geometry-Aware Transformers", 2021, §3.2 and §3.3; Wang
et al., "Dynamic Graph CNN for Learning on Point Clouds", 2019, eq. 8. Features are (B, N, C) throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels import farthest_points, group_points, nearest_neighbors, pool_neighbors

SLOPE = 0.2
"""Of the leaky rectifiers, below zero."""
NORM_GROUPS = 4
GROUPER_NEIGHBORS = 16
GROUPER_WIDTH = 128


def neighborhoods(queries: Tensor, points: Tensor, count: int) -> Tensor:
    """The `count` points (B, N, 3) nearest to each query (B, M, 3): indices (B, M, count) int64."""
    _, index = nearest_neighbors(queries.detach().float().contiguous(), points.detach().float().contiguous(), count)
    return index


def edge_parts(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """The weights of a linear layer of [neighbour − centre, centre] as those of the neighbour and of the centre.

    Each feature can then go through its half once, before the neighbours are looked up: a k-th of the work.
    """
    of_neighbor, of_center = linear.weight.chunk(2, dim=1)
    return of_neighbor, of_center - of_neighbor


class PointNorm(nn.BatchNorm1d):
    """Batch normalisation of channels over all points of all clouds."""

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) → (..., C)."""
        return super().forward(features.flatten(0, -2)).view_as(features)


class EdgeConvolution(nn.Module):
    """The greatest of what a point's neighbours say of it: linear layer, group normalisation, rectifier, maximum.

    What an edge says is g (of the neighbour) + c (of the centre), so that the mean, the mean square and the maximum
    over edges come from sums and maxima of g, and no layer has to work on edges.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, out, bias=False)
        self.norm = nn.GroupNorm(NORM_GROUPS, out)

    def forward(self, features: Tensor, centers: Tensor, index: Tensor) -> Tensor:
        """features (B, N, C), centers (B, M, C), index (B, M, k) → (B, M, O)."""
        of_neighbor, of_center = edge_parts(self.linear)
        # Where a channel's weight in the norm is negative, the greatest comes of the smallest: turn it around.
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        neighbor = functional.linear(features, of_neighbor * sign[:, None]).float()
        center = functional.linear(centers, of_center * sign[:, None]).float()
        greatest, total = pool_neighbors(neighbor, index)
        count = index.shape[2]
        mean = total.mean(1) / count + center.mean(1)
        used = torch.zeros(neighbor.shape[:2], device=index.device)
        used.scatter_add_(1, index.flatten(1), torch.ones_like(index.flatten(1), dtype=used.dtype))
        squares = (neighbor.square() * used[..., None]).sum(1) / index[0].numel()
        squares = squares + (center * (2 / count * total + center)).mean(1)
        mean, squares = self._over_groups(mean * sign), self._over_groups(squares)
        scale = self.norm.weight.abs() / (squares - mean.square() + self.norm.eps).sqrt()
        shift = self.norm.bias - mean * sign * scale
        return functional.leaky_relu((greatest + center) * scale[:, None] + shift[:, None], SLOPE)

    def _over_groups(self, values: Tensor) -> Tensor:
        """(B, O) → (B, O), the mean of each channel's group."""
        grouped = values.unflatten(1, (self.norm.num_groups, -1))
        return grouped.mean(2, keepdim=True).expand_as(grouped).flatten(1)


class Grouper(nn.Module):
    """Points → features of `centers[1]` of them, spread as far apart as they come, each of its surroundings."""

    def __init__(self, centers: tuple[int, int]) -> None:
        super().__init__()
        self.centers = centers
        self.enter = nn.Linear(3, 8)
        widths = ((8, 32), (32, 64), (64, 64), (64, GROUPER_WIDTH))
        self.layers = nn.ModuleList(EdgeConvolution(width, out) for width, out in widths)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 3) → places (B, M, 3) and features (B, M, 128); N is at least `centers[0]`."""
        features = self.enter(points)
        for count, (around, thinned) in zip(
            self.centers, ((self.layers[0], self.layers[1]), (self.layers[2], self.layers[3])), strict=True
        ):
            index = neighborhoods(points, points, GROUPER_NEIGHBORS)
            features = around(features, features, index)
            chosen = farthest_points(points, count)
            centers = group_points(points, chosen)
            index = neighborhoods(centers, points, GROUPER_NEIGHBORS)
            features = thinned(features, group_points(features, chosen), index)
            points = centers
        return points, features


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017), without dropout."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.leave = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """queries (B, M, C), memory (B, N, C), mask (M, N) bool, what is seen → (B, M, C)."""

        def split(features: Tensor) -> Tensor:
            return features.unflatten(2, (self.heads, -1)).transpose(1, 2)

        query, key, value = split(self.query(queries)), split(self.key(memory)), split(self.value(memory))
        # Few tokens: written out, this is several times as fast on a CPU as torch's fused attention.
        weights = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        if mask is not None:
            weights = weights.masked_fill(~mask, -torch.inf)
        return self.leave((weights.softmax(-1) @ value).transpose(1, 2).flatten(2))


class GeometryAwareAttention(nn.Module):
    """Attention to all and, where `graph` is, a convolution over the nearest in space beside it (PoinTr, fig. 3)."""

    def __init__(self, width: int, heads: int, *, graph: bool, bias: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads, bias=bias)
        self.graph = nn.Linear(2 * width, width) if graph else None
        self.merge = nn.Linear(2 * width, width) if graph else None

    def forward(self, queries: Tensor, memory: Tensor, index: Tensor, mask: Tensor | None = None) -> Tensor:
        """queries (B, M, C), memory (B, N, C), index (B, M, k) into memory → (B, M, C)."""
        mixed = self.attention(queries, memory, mask)
        if self.graph is None or self.merge is None:
            return mixed
        of_neighbor, of_center = edge_parts(self.graph)
        greatest, _ = pool_neighbors(functional.linear(memory, of_neighbor).float(), index)
        # The rectifier rises, so that it may follow the maximum.
        local = functional.leaky_relu(greatest + functional.linear(queries, of_center, self.graph.bias), SLOPE)
        return self.merge(torch.cat([mixed, local], dim=-1))


class Block(nn.Module):
    """A transformer's block: tokens look at each other, in a decoder (`cross`) at a memory too, and at themselves."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, *, graph: bool, cross: bool, bias: bool, epsilon: float
    ) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width, epsilon)
        self.self_attention = GeometryAwareAttention(width, heads, graph=graph, bias=bias)
        self.norm_query = nn.LayerNorm(width, epsilon) if cross else None
        self.norm_memory = nn.LayerNorm(width, epsilon) if cross else None
        self.cross_attention = GeometryAwareAttention(width, heads, graph=graph, bias=bias) if cross else None
        self.norm_mlp = nn.LayerNorm(width, epsilon)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self,
        tokens: Tensor,
        near_self: Tensor,
        memory: Tensor | None = None,
        near_memory: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, M, C), near_self (B, M, k) into them; memory (B, N, C), near_memory (B, M, k) into it; mask (M, M)
        bool, which tokens each token sees → (B, M, C)."""
        own = self.norm_self(tokens)
        tokens = tokens + self.self_attention(own, own, near_self, mask)
        if self.cross_attention is not None:
            assert self.norm_query is not None and self.norm_memory is not None
            assert memory is not None and near_memory is not None
            tokens = tokens + self.cross_attention(self.norm_query(tokens), self.norm_memory(memory), near_memory)
        return tokens + self.mlp(self.norm_mlp(tokens))
