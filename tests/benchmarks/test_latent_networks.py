from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.models.shape_codes import LEVELS
from benchmarks.latent_networks.grid import GridNetwork, QuantizedGridNetwork
from benchmarks.latent_networks.latent_set import LatentSetConfig, LatentSetNetwork
from benchmarks.latent_networks.network import LatentNetwork
from benchmarks.latent_networks.triplane import PLANES, TriplaneConfig, TriplaneNetwork, sampled

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
KINDS = (GridNetwork, QuantizedGridNetwork, LatentSetNetwork, TriplaneNetwork)


@pytest.fixture(scope="module")
def spheres() -> Inputs:
    """Two spheres of different size and colour, as encoders take them."""
    axis = (torch.arange(64) + 0.5) / 32 - 1
    radius = torch.tensor([0.5, 0.8])
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0) - radius[:, None, None, None]
    directions = torch.randn(2, 500, 3, generator=torch.Generator().manual_seed(0))
    positions = directions / directions.norm(dim=-1, keepdim=True) * radius[:, None, None]
    colors = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]])[:, None].expand(-1, 500, -1)
    return torch.tanh(distance / 0.08), positions, colors.contiguous()


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest) -> LatentNetwork:
    torch.manual_seed(0)
    return request.param()


def test_every_kind_has_as_many_numbers_and_parameters(network: LatentNetwork, spheres: Inputs) -> None:
    latent = network.encode(*spheres)
    assert latent.shape[0] == 2 and latent[0].numel() == 6144
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(1.25e6, rel=0.1)


def test_every_kind_answers_at_points_and_teaches_all_its_weights(network: LatentNetwork, spheres: Inputs) -> None:
    expanded = network.expand(network.encode(*spheres))
    points = torch.rand(2, 30, 3) * 2 - 1
    distance, color = network.signed_distance(expanded, points), network.srgb(expanded, points)
    assert distance.shape == (2, 30) and color.shape == (2, 30, 3)
    assert color.min() >= 0 and color.max() <= 1
    (distance.square().sum() + color.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_a_point_s_answer_depends_on_no_other_point_and_no_other_shape(network: LatentNetwork, spheres: Inputs) -> None:
    points = torch.rand(2, 30, 3) * 2 - 1
    with torch.no_grad():
        together = network.signed_distance(network.expand(network.encode(*spheres)), points)
        second = [tensor[1:] for tensor in spheres]
        alone = network.signed_distance(network.expand(network.encode(*second)), points[1:, 7:8])
    torch.testing.assert_close(alone[0], together[1, 7:8], atol=1e-5, rtol=1e-4)


def test_a_few_steps_tell_the_spheres_apart(network: LatentNetwork, spheres: Inputs) -> None:
    """Every kind learns which radius each of two spheres has."""
    radius = torch.tensor([0.5, 0.8])
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(1)

    def error() -> torch.Tensor:
        points = torch.rand(2, 400, 3, generator=generator) * 1.6 - 0.8
        found = network.signed_distance(network.expand(network.encode(*spheres)), points)
        wanted = (points.norm(dim=-1) - radius[:, None]).clamp(-0.1, 0.1)
        return (found.clamp(-0.1, 0.1) - wanted).abs().mean()

    before = error().item()
    for _ in range(20):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    assert error().item() < 0.85 * before


def test_quantised_latents_are_of_eight_levels(spheres: Inputs) -> None:
    torch.manual_seed(0)
    latent = QuantizedGridNetwork().encode(*spheres)
    levels = (latent + 1) * (LEVELS / 2) - 0.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-5, rtol=0)
    assert levels.min() >= 0 and levels.max() <= LEVELS - 1 and len(levels.round().unique()) > 2


def test_a_latent_set_has_no_order(spheres: Inputs) -> None:
    torch.manual_seed(0)
    network = LatentSetNetwork(LatentSetConfig(vectors=16, blocks=1))
    points = torch.rand(2, 30, 3) * 2 - 1
    with torch.no_grad():
        latent = network.encode(*spheres)
        mixed = latent[:, torch.randperm(16)]
        answers = [network.signed_distance(network.expand(each), points) for each in (latent, mixed)]
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-4)


def bilinear(plane: np.ndarray, first: float, second: float) -> np.ndarray:
    """plane (C, R, R) with values at cell centres, at a place well inside: the plain definition."""
    size = plane.shape[1]
    a, b = ((place + 1) * size / 2 - 0.5 for place in (first, second))
    i, j = int(np.floor(a)), int(np.floor(b))
    s, t = a - i, b - j
    low = plane[:, i, j] * (1 - t) + plane[:, i, j + 1] * t
    return low * (1 - s) + (plane[:, i + 1, j] * (1 - t) + plane[:, i + 1, j + 1] * t) * s


def test_planes_are_read_at_the_two_axes_that_are_theirs() -> None:
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(2, PLANES * 4, 8, 8, generator=generator)
    points = torch.rand(2, 9, 3, generator=generator) * 1.4 - 0.7
    found = sampled(planes, points)
    for shape in range(2):
        for index, (x, y, z) in enumerate(points[shape].tolist()):
            yz, xz, xy = planes[shape].double().numpy().reshape(3, 4, 8, 8)
            wanted = bilinear(yz, y, z) + bilinear(xz, x, z) + bilinear(xy, x, y)
            np.testing.assert_allclose(found[shape, index].numpy(), wanted, atol=1e-5)


def test_a_plane_sees_the_columns_behind_it_and_no_more() -> None:
    """What changes at one place of the grid changes each plane's entry where that place is seen."""
    torch.manual_seed(0)
    network = TriplaneNetwork(TriplaneConfig(width=8, coarse_channels=8, fine_channels=8))
    network.encoder = network.encoder[:1]  # before convolutions spread what is seen
    point = torch.zeros(1, 1, 3)
    grid = torch.zeros(1, 64, 64, 64)
    touched = grid.clone()
    touched[0, 4 * 3 : 4 * 3 + 4, 4 * 5 : 4 * 5 + 4, 4 * 11 : 4 * 11 + 4] = 1
    with torch.no_grad():
        before, after = (network.encode(each, point, point) for each in (grid, touched))
    changed = (after - before).unflatten(1, (PLANES, -1)).abs().sum(dim=2)[0]
    for plane, place in zip(changed, ((5, 11), (3, 11), (3, 5)), strict=True):
        assert plane[place] > 0
        plane[place] = 0
        assert not plane.any()
