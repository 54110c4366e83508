"""The greatest and the sum of neighbours against copies of every neighbour, values and gradients."""

import pytest
import torch

from backend.kernels import pool_neighbors


def groups(batch: int = 2, points: int = 30, centers: int = 11, k: int = 5, channels: int = 7):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(batch, points, channels, generator=generator)
    return features, torch.randint(0, points, (batch, centers, k), generator=generator)


def copies(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return torch.stack([own[rows] for own, rows in zip(features, index, strict=True)])


def test_values_and_gradients_are_those_of_the_copied_neighbours() -> None:
    features, index = groups()
    ours, theirs = features.clone().requires_grad_(), features.double().requires_grad_()
    greatest, total = pool_neighbors(ours, index)
    around = copies(theirs, index)
    torch.testing.assert_close(greatest, around.amax(2).float())
    torch.testing.assert_close(total, around.sum(2).float())
    weight = torch.linspace(-1, 2, greatest.numel()).view_as(greatest)
    (greatest * weight + total * weight.flip(1)).sum().backward()
    (around.max(2).values * weight + around.sum(2) * weight.flip(1)).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad.float())


def test_one_of_the_two_may_be_left_unused() -> None:
    features, index = groups()
    for which in (0, 1):
        leaf = features.clone().requires_grad_()
        pool_neighbors(leaf, index)[which].sum().backward()
        assert leaf.grad.sum() == pytest.approx(index[..., 0].numel() * 7 * (5 if which else 1))


def test_of_equals_the_first_has_the_gradient() -> None:
    leaf = torch.ones(1, 3, 1, requires_grad=True)
    pool_neighbors(leaf, torch.tensor([[[2, 0, 1]]]))[0].sum().backward()
    assert leaf.grad.flatten().tolist() == [0, 0, 1]


def test_bad_input_is_refused() -> None:
    features, index = groups()
    with pytest.raises(TypeError, match="float32"):
        pool_neighbors(features.double(), index)
    with pytest.raises(TypeError, match="int64"):
        pool_neighbors(features, index.int())
    with pytest.raises(ValueError, match="k up to 127"):
        pool_neighbors(features, index[0])
    with pytest.raises(IndexError, match="0 to 29"):
        pool_neighbors(features, index + 30)
