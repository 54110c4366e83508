"""The parts of the point transformers against their definitions written out plainly."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from backend.models.point_transformer import (
    Attention,
    Block,
    EdgeConvolution,
    GeometryAwareAttention,
    Grouper,
    PointNorm,
    neighborhoods,
)


def cloud(batch: int, count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (batch, count, 3)).astype(np.float32))


def test_an_edge_convolution_is_linear_norm_rectifier_and_maximum_over_all_edges() -> None:
    torch.manual_seed(0)
    layer = EdgeConvolution(6, 8)
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([1, -1, 0.5, -0.2, 2, 1, -3, 0]))
        layer.norm.bias.normal_()
    features, centers = torch.randn(2, 40, 6), torch.randn(2, 12, 6)
    index = torch.randint(0, 40, (2, 12, 5))
    near = torch.stack([own[rows] for own, rows in zip(features, index, strict=True)])
    own = centers[:, :, None].expand_as(near)
    edges = functional.linear(torch.cat([near - own, own], dim=-1), layer.linear.weight).permute(0, 3, 1, 2)
    expected = functional.leaky_relu(layer.norm(edges), 0.2).amax(-1).transpose(1, 2)
    torch.testing.assert_close(layer(features, centers, index), expected, rtol=1e-4, atol=1e-5)


def test_attention_is_torchs_own() -> None:
    torch.manual_seed(1)
    ours = Attention(12, 3, bias=True)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.leave.state_dict())
    queries, memory = torch.randn(2, 5, 12), torch.randn(2, 9, 12)
    torch.testing.assert_close(ours(queries, memory), theirs(queries, memory, memory)[0])
    seen = torch.rand(5, 9) < 0.5
    seen[:, 0] = True
    masked = theirs(queries, memory, memory, attn_mask=~seen)[0]
    torch.testing.assert_close(ours(queries, memory, seen), masked)


def test_the_local_branch_sees_the_named_neighbours_alone() -> None:
    torch.manual_seed(2)
    layer = GeometryAwareAttention(8, 2, graph=True, bias=False)
    torch.nn.init.zeros_(layer.attention.leave.weight)
    torch.nn.init.zeros_(layer.attention.leave.bias)
    queries, memory = torch.randn(1, 4, 8), torch.randn(1, 10, 8)
    index = torch.tensor([[[0, 1], [1, 2], [2, 3], [3, 4]]])
    before = layer(queries, memory, index)
    memory[:, 4] += 10
    moved = (layer(queries, memory, index) - before).abs().amax(-1)[0]
    assert moved[:3].max() == 0 and moved[3] > 0.01


def test_a_block_keeps_the_order_of_its_tokens() -> None:
    torch.manual_seed(3)
    block = Block(8, 2, 2.0, graph=True, cross=True, bias=False, epsilon=1e-5)
    tokens, memory = torch.randn(1, 6, 8), torch.randn(1, 9, 8)
    places, far = cloud(1, 6), cloud(1, 9, 1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])

    def run(tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return block(tokens, neighborhoods(places, places, 3), memory, neighborhoods(places, far, 3))

    torch.testing.assert_close(run(tokens[:, order], places[:, order]), run(tokens, places)[:, order])


def test_the_grouper_does_not_depend_on_the_order_of_the_points_but_for_the_first() -> None:
    torch.manual_seed(4)
    grouper = Grouper((60, 20))
    points = cloud(2, 200)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(199)])
    places, features = grouper(points)
    assert places.shape == (2, 20, 3) and features.shape == (2, 20, 128)
    again_places, again = grouper(points[:, order])
    assert torch.equal(places, again_places)
    torch.testing.assert_close(features, again, rtol=1e-4, atol=1e-5)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to 30"):
        Grouper((60, 20))(cloud(1, 30))


def test_the_norm_counts_every_point_of_every_cloud() -> None:
    norm = PointNorm(4)
    features = torch.randn(3, 50, 4) * 2 + 1
    out = norm(features)
    torch.testing.assert_close(out.mean((0, 1)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * features.mean((0, 1)))
