"""Codes of shapes: quantisation, patches, and that no patch knows of another."""

from __future__ import annotations

import torch

from backend.models.shape_codes import (
    CODES,
    TOKEN_RESOLUTION,
    TOKENS,
    ShapeCodes,
    ShapeCodesConfig,
    codes_of,
    quantized,
    reconstruction_loss,
    split,
    values_of,
)

CONFIG = ShapeCodesConfig(groups=2, patch_channels=8, widths=(8, 8, 8))


def test_every_code_stands_for_the_vector_that_has_it():
    codes = torch.arange(CODES)[:, None]
    values = values_of(codes)
    assert torch.equal(codes_of(values), codes) and len(values.unique(dim=0)) == CODES
    assert values.min() == -7 / 8 and values.max() == 7 / 8


def test_numbers_go_to_the_nearest_level_and_the_gradient_passes():
    vectors = torch.linspace(-4, 4, 101, requires_grad=True)
    found = quantized(vectors)
    levels = torch.arange(-7, 8, 2) / 8
    nearest = levels[(torch.tanh(vectors.detach())[:, None] - levels).abs().argmin(1)]
    assert torch.equal(found.detach(), nearest)
    found.sum().backward()
    torch.testing.assert_close(vectors.grad, 1 - torch.tanh(vectors.detach()).square())


def test_patches_are_in_the_order_of_their_cells():
    grid = torch.arange(64.0**3).view(1, 64, 64, 64)
    side = 64 // TOKEN_RESOLUTION
    assert torch.equal(split(grid)[0, 1], grid[0, :side, :side, side : 2 * side])
    assert torch.equal(split(grid)[0, 16], grid[0, side : 2 * side, :side, :side])


def test_a_patch_is_encoded_by_itself():
    torch.manual_seed(0)
    model = ShapeCodes(CONFIG)
    grid = torch.rand(1, 64, 64, 64) * 2 - 1
    other = grid.clone()
    other[:, :16, :16, 16:32] = -grid[:, :16, :16, 16:32]
    changed = (model.vectors(grid) != model.vectors(other)).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [1]


def test_codes_come_back_as_a_grid_and_the_model_learns_one():
    torch.manual_seed(0)
    model = ShapeCodes(CONFIG)
    axis = (torch.arange(64) + 0.5) / 32 - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    grid = torch.tanh(((x**2 + y**2 + z**2).sqrt() - 0.6) / 0.08)[None]
    codes = model.encode(grid)
    assert codes.shape == (1, TOKENS, 2) and torch.equal(model.decode(codes), model(grid))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = reconstruction_loss(model(grid), grid).item()
    for _ in range(12):
        optimizer.zero_grad()
        reconstruction_loss(model(grid), grid).backward()
        optimizer.step()
    assert reconstruction_loss(model(grid), grid).item() < 0.6 * before
