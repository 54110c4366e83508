"""Chamfer distances, hard and soft, against their definitions in float64."""

import pytest
import torch

from backend.kernels import chamfer_distance, chamfer_distance_l1, soft_chamfer_distance
from tests.backend.kernels.cloud_reference import KINDS, chamfer, clouds, soft_chamfer, squared_distances


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("squared", [True, False])
def test_chamfer_is_its_definition(kind: str, squared: bool) -> None:
    a, b = clouds(kind, 150), clouds(kind, 220, seed=1)
    result = chamfer_distance(a, b, squared=squared, reduction="none")
    torch.testing.assert_close(result.double(), chamfer(a, b, squared=squared), rtol=1e-5, atol=1e-12)
    assert torch.equal(chamfer_distance(a, b, squared=squared), result.mean())
    assert torch.equal(chamfer_distance(a, b, squared=squared, reduction="sum"), result.sum())


def test_l1_is_half_of_the_plain_sum() -> None:
    a, b = clouds("surface", 100), clouds("surface", 130, seed=1)
    expected = chamfer(a, b, squared=False).mean() / 2
    torch.testing.assert_close(chamfer_distance_l1(a, b).double(), expected, rtol=1e-5, atol=0)


def test_a_worked_example() -> None:
    a = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]])
    b = torch.tensor([[[0.0, 0, 0], [1, 2, 0], [1, 0, 0.5]]])
    # a → b: 0 and 0.25; b → a: 0, 4 and 0.25.
    assert float(chamfer_distance(a, b)) == pytest.approx(0.125 + 4.25 / 3)
    assert float(chamfer_distance_l1(a, b)) == pytest.approx((0.25 + 2.5 / 3) / 2)


@pytest.mark.parametrize("squared", [True, False])
def test_chamfer_gradient_agrees_with_finite_differences(squared: bool) -> None:
    a, b = clouds("random", 12, batch=1).requires_grad_(), clouds("random", 9, batch=1, seed=1).requires_grad_()

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return chamfer_distance(a, b, squared=squared)

    assert torch.autograd.gradcheck(distance, (a, b), eps=1e-3, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("squared", [True, False])
def test_chamfer_gradient_is_that_of_float64(squared: bool) -> None:
    a, b = clouds("surface", 300).requires_grad_(), clouds("random", 400, seed=1).requires_grad_()
    exact = [cloud.detach().double().requires_grad_() for cloud in (a, b)]
    chamfer_distance(a, b, squared=squared).backward()
    chamfer(*exact, squared=squared).mean().backward()
    for cloud, reference in zip((a, b), exact, strict=True):
        assert cloud.grad is not None
        torch.testing.assert_close(cloud.grad.double(), reference.grad, rtol=1e-3, atol=1e-7)


def test_coincident_points_have_the_subgradient_zero() -> None:
    a = clouds("random", 50).requires_grad_()
    chamfer_distance(a, a.detach().clone(), squared=False).backward()
    assert a.grad is not None and not a.grad.any()


def test_lengths_hide_padding() -> None:
    a, b = clouds("random", 60), clouds("random", 50, seed=1)
    a_lengths, b_lengths = torch.tensor([60, 21]), torch.tensor([7, 50])
    for operation in (chamfer_distance, lambda *clouds, **options: soft_chamfer_distance(*clouds, 0.1, **options)):
        together = operation(a, b, reduction="none", a_lengths=a_lengths, b_lengths=b_lengths)
        for pair in range(2):
            n, m = int(a_lengths[pair]), int(b_lengths[pair])
            alone = operation(a[pair : pair + 1, :n], b[pair : pair + 1, :m], reduction="none")
            torch.testing.assert_close(together[pair : pair + 1], alone, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1e-3, 0.1, 30.0])
def test_soft_chamfer_is_its_definition(kind: str, temperature: float) -> None:
    a, b = clouds(kind, 110).requires_grad_(), clouds(kind, 170, seed=1).requires_grad_()
    exact = [cloud.detach().double().requires_grad_() for cloud in (a, b)]
    result = soft_chamfer_distance(a, b, temperature, reduction="none")
    expected = soft_chamfer(exact[0], exact[1], temperature)
    torch.testing.assert_close(result.double(), expected, rtol=2e-5, atol=2e-6 * temperature)
    result.sum().backward()
    expected.sum().backward()
    # Rounded squared distances are divided by the temperature, so its inverse scales the gradient's error.
    pairs = squared_distances(a.detach(), b.detach())
    tolerance = 1e-5 + 1e-6 * float(max(pairs.amin(1).max(), pairs.amin(2).max())) / temperature
    for cloud, reference in zip((a, b), exact, strict=True):
        assert cloud.grad is not None and reference.grad is not None
        difference = (cloud.grad.double() - reference.grad).norm()
        assert difference <= tolerance * reference.grad.norm() + 1e-5 * tolerance


def test_what_soft_chamfer_skips_is_within_the_stated_bound() -> None:
    temperature = 1e-3  # of these points about one in a hundred then matters to another
    a, b = clouds("surface", 1500).requires_grad_(), clouds("surface", 1300, seed=1).requires_grad_()
    a_lengths, b_lengths = torch.tensor([1500, 1013]), torch.tensor([1001, 1300])
    result = soft_chamfer_distance(a, b, temperature, reduction="none", a_lengths=a_lengths, b_lengths=b_lengths)
    result.sum().backward()
    for pair, (n, m) in enumerate(zip(a_lengths.tolist(), b_lengths.tolist(), strict=True)):
        exact = [
            cloud[pair : pair + 1, :length].detach().double().requires_grad_() for cloud, length in ((a, n), (b, m))
        ]
        expected = soft_chamfer(exact[0], exact[1], temperature)
        expected.sum().backward()
        error, rounding = abs(result[pair].item() - expected.item()), 4e-7 * expected.item()
        assert error <= 1e-6 * temperature + rounding
        for cloud, reference, length in ((a, exact[0], n), (b, exact[1], m)):
            assert cloud.grad is not None and reference.grad is not None
            difference = (cloud.grad[pair, :length].double() - reference.grad[0]).norm()
            assert difference <= 2e-5 * reference.grad.norm()
            assert not cloud.grad[pair, length:].any()


def test_soft_chamfer_tends_to_chamfer() -> None:
    a, b = clouds("surface", 200), clouds("surface", 200, seed=1)
    torch.testing.assert_close(soft_chamfer_distance(a, b, 1e-9), chamfer_distance(a, b), rtol=1e-5, atol=1e-8)


def test_a_far_point_and_a_small_temperature_give_finite_gradients() -> None:
    # The far point's squared distance is rounded by far more than the temperature.
    a, b = clouds("random", 40), clouds("random", 50, seed=1)
    a[:, 0] = 1e3
    a, b = a.requires_grad_(), b.requires_grad_()
    distance = soft_chamfer_distance(a, b, 1e-6)
    distance.backward()
    torch.testing.assert_close(distance, chamfer_distance(a, b), rtol=1e-5, atol=0)
    assert a.grad is not None and b.grad is not None
    assert a.grad.isfinite().all() and b.grad.isfinite().all()
    # The far point is drawn straight towards the cloud, and what draws it is drawn as much.
    torch.testing.assert_close(a.grad[:, 0], torch.full((2, 3), 2 * 1e3 / 40 / 2), rtol=5e-3, atol=0)
    torch.testing.assert_close(a.grad.sum(1), -b.grad.sum(1), rtol=1e-4, atol=1e-4)


def test_soft_chamfer_gradient_agrees_with_finite_differences() -> None:
    a, b = clouds("random", 12, batch=1).requires_grad_(), clouds("random", 9, batch=1, seed=1).requires_grad_()

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return soft_chamfer_distance(a, b, 0.5)

    assert torch.autograd.gradcheck(distance, (a, b), eps=1e-2, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        soft_chamfer_distance(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), temperature)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="reduction must be"):
        chamfer_distance(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), reduction="median")
