from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from backend.models.shape_autoencoder import (
    PixelShuffle3d,
    ShapeAutoencoder,
    ShapeAutoencoderConfig,
    cell_indices,
    interpolate,
    patches,
    place_in_cell,
    pool_points,
)

TINY = ShapeAutoencoderConfig(
    latent_channels=4,
    patch_channels=8,
    mid_channels=8,
    latent_width=8,
    coarse_channels=8,
    fine_channels=8,
    hidden_channels=8,
)


def uniform(shape: tuple[int, ...], seed: int, low: float = -1, high: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape)


@pytest.mark.parametrize("resolution", [2, 5, 16])
def test_interpolation_is_trilinear_with_values_at_cell_centres(resolution: int) -> None:
    grid = uniform((2, 3, resolution, resolution, resolution), 0)
    points = uniform((2, 200, 3), 1, -1.1, 1.1)  # some outside of the cube
    points[0, :8] = [[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    ours = interpolate(torch.from_numpy(grid), torch.from_numpy(points)).numpy()
    for shape in range(2):
        place = ((points[shape] + 1) / 2 * resolution - 0.5).T
        for channel in range(3):
            wanted = ndimage.map_coordinates(grid[shape, channel], place, order=1, mode="nearest")
            np.testing.assert_allclose(ours[shape, :, channel], wanted, atol=1e-12)


def test_interpolation_passes_gradients_to_the_grid() -> None:
    grid = torch.from_numpy(uniform((1, 2, 3, 3, 3), 2)).requires_grad_()
    points = torch.from_numpy(uniform((1, 6, 3), 3))
    values = interpolate(grid, points)
    values.sum().backward()
    assert grid.grad is not None
    # The weights of every point sum to one, in each of the two channels.
    assert grid.grad.sum().item() == pytest.approx(12)
    step = torch.from_numpy(uniform((1, 2, 3, 3, 3), 4))
    moved = interpolate(grid.detach() + step, points) - values.detach()
    torch.testing.assert_close(moved.sum(), (grid.grad * step).sum())


def test_points_are_pooled_to_the_mean_of_their_cell() -> None:
    resolution, points, features = 4, uniform((2, 60, 3), 5), uniform((2, 60, 5), 6)
    points[0, :3] = [[-1, -1, -1], [1, 1, 1], [0, 0, 0]]
    wanted = np.zeros((2, 5, resolution, resolution, resolution))
    count = np.zeros((2, resolution, resolution, resolution))
    for shape in range(2):
        for point, feature in zip(points[shape], features[shape], strict=True):
            x, y, z = (min(int(np.floor((value + 1) / 2 * resolution)), resolution - 1) for value in point)
            wanted[shape, :, x, y, z] += feature
            count[shape, x, y, z] += 1
    assert (count == 0).any(), "the case of an empty cell is part of the test"
    wanted /= np.maximum(count, 1)[:, None]
    ours = pool_points(torch.from_numpy(features), torch.from_numpy(points), resolution)
    np.testing.assert_allclose(ours.numpy(), wanted, atol=1e-12)


def test_cells_are_counted_along_z_first_and_hold_the_whole_cube() -> None:
    points = torch.tensor([[[-1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1], [3, 0, 0]]])
    assert cell_indices(points, 8).tolist() == [[0, 7, 56, 511, 7 * 64 + 4 * 8 + 4]]


def test_pixel_shuffle_makes_eight_cells_of_each() -> None:
    grid = torch.from_numpy(uniform((2, 24, 3, 3, 3), 7))
    fine = PixelShuffle3d()(grid)
    assert fine.shape == (2, 3, 6, 6, 6)
    for x, y, z in np.ndindex(6, 6, 6):
        part = (x % 2 * 2 + y % 2) * 2 + z % 2
        torch.testing.assert_close(fine[:, :, x, y, z], grid[:, 3 * part : 3 * part + 3, x // 2, y // 2, z // 2])


def test_places_in_cells_repeat_from_cell_to_cell() -> None:
    points = torch.tensor([[[0.03, -0.4, 0.71]]])
    here, next_cell = place_in_cell(points), place_in_cell(points + 2 / 8)
    assert here.shape == (1, 1, 15)
    torch.testing.assert_close(here[..., :3], points)
    torch.testing.assert_close(here[..., 3:], next_cell[..., 3:], atol=1e-4, rtol=0)
    angle = points[0, 0] * np.pi
    torch.testing.assert_close(here[0, 0, 3:6], torch.sin(8 * angle))
    torch.testing.assert_close(here[0, 0, 12:], torch.cos(32 * angle), atol=1e-5, rtol=0)


@pytest.fixture
def autoencoder() -> ShapeAutoencoder:
    torch.manual_seed(0)
    return ShapeAutoencoder(TINY).eval()


def surface(batch: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Distance grids of balls of random sizes, and 300 coloured points on each."""
    generator = np.random.default_rng(seed)
    radii = generator.uniform(0.4, 0.8, (batch, 1, 1))
    directions = generator.normal(size=(batch, 300, 3))
    normals = directions / np.linalg.norm(directions, axis=2, keepdims=True)
    axis = (np.arange(64) + 0.5) / 32 - 1
    lengths = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij")), axis=0)
    arrays = (np.tanh((lengths - radii[..., None]) / 0.08), normals * radii, np.abs(normals))
    return tuple(torch.from_numpy(array.astype(np.float32)) for array in arrays)


def test_patches_are_the_blocks_of_a_grid() -> None:
    grid = torch.from_numpy(uniform((2, 6, 6, 6), 12))
    taken = patches(grid, 3)
    assert taken.shape == (2, 8, 3, 3, 3)
    for x, y, z in np.ndindex(3, 3, 3):
        block = grid[:, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2]
        torch.testing.assert_close(taken[:, :, x, y, z], block.reshape(2, 8))
    torch.testing.assert_close(PixelShuffle3d()(taken)[:, 0], grid)


def test_latents_do_not_depend_on_the_order_of_points_nor_on_the_rest_of_the_batch(
    autoencoder: ShapeAutoencoder,
) -> None:
    autoencoder.double()  # eight channels in eight groups: the norms enlarge single precision's rounding
    grids, positions, colors = (part.double() for part in surface(3, 8))
    latents = autoencoder.encoder(grids, positions, colors)
    assert latents.shape == (3, 4, 8, 8, 8)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    alone = autoencoder.encoder(grids[1:2], positions[1:2, order], colors[1:2, order])
    torch.testing.assert_close(alone[0], latents[1], atol=1e-9, rtol=0)
    assert (latents[0] - latents[1]).abs().max() > 1e-3


def test_a_latent_changes_with_distances_and_with_colours(autoencoder: ShapeAutoencoder) -> None:
    grids, positions, colors = surface(1, 9)
    latent = autoencoder.encoder(grids, positions, colors)
    assert (autoencoder.encoder(-grids, positions, colors) - latent).abs().max() > 1e-3
    assert (autoencoder.encoder(grids, positions, 1 - colors) - latent).abs().max() > 1e-3


def test_a_decoded_latent_is_asked_at_points(autoencoder: ShapeAutoencoder) -> None:
    latents = torch.randn(2, 4, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    points = torch.from_numpy(uniform((2, 50, 3), 10).astype(np.float32))
    decoder = autoencoder.decoder
    grids = decoder.grids(latents)
    assert grids.coarse.shape == (2, 8, 16, 16, 16) and grids.fine.shape == (2, 8, 32, 32, 32)
    distance, srgb = decoder.signed_distance(grids, points), decoder.srgb(grids, points)
    assert distance.shape == (2, 50) and srgb.shape == (2, 50, 3)
    assert srgb.min() >= 0 and srgb.max() <= 1
    alone = decoder.signed_distance(decoder.grids(latents[1:]), points[1:, 7:9])
    torch.testing.assert_close(alone[0], distance[1, 7:9], atol=1e-6, rtol=0)


def test_gradients_reach_every_parameter(autoencoder: ShapeAutoencoder) -> None:
    distances, positions, colors = surface(2, 11)
    grids = autoencoder.decoder.grids(autoencoder.encoder(distances, positions, colors))
    loss = autoencoder.decoder.signed_distance(grids, positions).square().mean()
    (loss + (autoencoder.decoder.srgb(grids, positions) - colors).square().mean()).backward()
    without = [name for name, value in autoencoder.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []
