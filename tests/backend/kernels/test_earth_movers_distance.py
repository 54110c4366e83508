"""The auction against the exact optimum, and its own proof against both."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernels import earth_movers_distance, minimum_of_n_loss
from backend.kernels.chamfer import chamfer_distance
from tests.backend.kernels.cloud_reference import KINDS, clouds, optimal_cost, squared_distances


def check(a: torch.Tensor, b: torch.Tensor, epsilon: float, squared: bool) -> None:
    count = a.shape[1]
    distance, assignment, lower_bound = earth_movers_distance(a, b, epsilon, squared=squared)
    assert torch.equal(assignment.sort(1).values, torch.arange(count).expand(len(a), count))
    costs = squared_distances(a, b).gather(2, assignment[..., None])[..., 0]
    costs = costs if squared else costs.sqrt()
    torch.testing.assert_close(distance.double(), costs.mean(1), rtol=1e-5, atol=1e-12)
    optimum = optimal_cost(a, b, squared=squared)
    found, bound = costs.mean(1).numpy(), lower_bound.numpy()
    resolution = 2e-6 * squared_distances(a, b).amax((1, 2)).pow(1 if squared else 0.5).numpy()
    assert (bound <= optimum * (1 + 1e-9)).all()
    assert (found <= optimum * (1 + epsilon) + resolution).all()
    assert (found <= bound * (1 + epsilon) + resolution).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("squared", [False, True])
def test_within_epsilon_of_the_optimum_and_proven(kind: str, squared: bool) -> None:
    check(clouds(kind, 120), clouds(kind, 120, seed=1), 0.01, squared)
    check(clouds("random", 90), clouds(kind, 90, seed=1), 0.01, squared)


@pytest.mark.parametrize("epsilon", [1e-4, 0.001, 0.1, 1.0])
def test_any_epsilon_is_kept(epsilon: float) -> None:
    check(clouds("surface", 200, batch=1), clouds("surface", 200, batch=1, seed=1), epsilon, False)


@pytest.mark.parametrize("count", [1, 2, 3, 31, 128, 129])
def test_sizes_at_the_borders(count: int) -> None:
    check(clouds("random", count), clouds("random", count, seed=1), 0.01, False)


def test_a_permutation_is_found_and_costs_nothing() -> None:
    a = clouds("surface", 256)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(3))
    distance, assignment, lower_bound = earth_movers_distance(a, a[:, order])
    assert torch.equal(order[assignment], torch.arange(256).expand(2, 256))
    assert not distance.any() and not lower_bound.any()


def test_a_shift_costs_its_length() -> None:
    # With squared costs the best matching of a shifted cloud is the shift itself.
    a = clouds("random", 200)
    shift = torch.tensor([0.3, -0.4, 0.0])
    distance = earth_movers_distance(a, a + shift, 1e-3, squared=True).distance
    torch.testing.assert_close(distance, torch.full((2,), 0.25), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("squared", [False, True])
def test_gradient_passes_through_the_assignment(squared: bool) -> None:
    a, b = clouds("random", 20, batch=1).requires_grad_(), clouds("random", 20, batch=1, seed=1).requires_grad_()

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return earth_movers_distance(a, b, 1e-3, squared=squared).distance

    assert torch.autograd.gradcheck(distance, (a, b), eps=1e-3, atol=2e-3, rtol=1e-2)
    c = a.detach().clone().requires_grad_()
    earth_movers_distance(c, a.detach()).distance.sum().backward()
    assert c.grad is not None and not c.grad.any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 24), st.integers(0, 2**31), st.booleans())
def test_any_small_clouds_on_a_lattice(count: int, seed: int, squared: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(-3, 4, (1, count, 3), generator=generator).float() for _ in range(2))
    check(a, b, 0.02, squared)


def test_unequal_sizes_and_epsilons_out_of_range_are_refused() -> None:
    a = clouds("random", 8)
    with pytest.raises(ValueError, match="equal size, not 8 and 7 points"):
        earth_movers_distance(a, a[:, :7])
    for epsilon in (0.0, 1e-5, 2.0, float("nan")):
        with pytest.raises(ValueError, match="epsilon must lie between"):
            earth_movers_distance(a, a, epsilon)


@pytest.mark.parametrize("name", ["chamfer", "emd"])
def test_minimum_of_n_takes_the_best_sample_and_trains_only_it(name: str) -> None:
    target = clouds("surface", 64, batch=3)
    noise = torch.tensor([[0.3, 0.05, 0.2], [0.02, 0.4, 0.3], [0.3, 0.2, 0.1]])
    generator = torch.Generator().manual_seed(0)
    samples = target[:, None] + noise[..., None, None] * torch.randn(3, 3, 64, 3, generator=generator)
    samples.requires_grad_()
    losses = minimum_of_n_loss(samples, target, name, reduction="none")
    best = noise.argmin(1)
    chosen = samples[torch.arange(3), best]
    if name == "chamfer":
        assert torch.equal(losses, chamfer_distance(chosen, target, reduction="none"))
    else:
        assert torch.equal(losses, earth_movers_distance(chosen, target).distance)
    losses.sum().backward()
    assert samples.grad is not None
    trained = samples.grad.abs().sum((2, 3)) > 0
    assert np.array_equal(trained.numpy(), np.eye(3, dtype=bool)[best.numpy()])


def test_minimum_of_n_takes_any_distance_and_refuses_unknown_names() -> None:
    samples, target = torch.rand(2, 4, 10, 3), torch.rand(2, 10, 3)
    loss = minimum_of_n_loss(samples, target, lambda a, b: (a - b).abs().sum((1, 2)), reduction="none")
    assert torch.equal(loss, (samples - target[:, None]).abs().sum((2, 3)).amin(1))
    with pytest.raises(ValueError, match='"chamfer", "emd" or a function'):
        minimum_of_n_loss(samples, target, "sinkhorn")
    with pytest.raises(ValueError, match="samples must have the shape"):
        minimum_of_n_loss(samples[0], target)
