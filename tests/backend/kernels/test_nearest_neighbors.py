"""Nearest neighbours against all pairs in float64."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernels import nearest, nearest_neighbors
from backend.kernels.block_tree import SMALL_CLOUD
from backend.kernels.nearest import PAIRS_UP_TO
from tests.backend.kernels.cloud_reference import KINDS, clouds, squared_distances


def check(source: torch.Tensor, target: torch.Tensor, k: int = 1) -> None:
    squared, index = nearest_neighbors(source, target, k)
    if k == 1:
        squared, index = squared[..., None], index[..., None]
    pairs = squared_distances(source, target)
    torch.testing.assert_close(squared.double(), pairs.topk(k, 2, largest=False).values, rtol=1e-6, atol=1e-30)
    # Each index is of a point at that distance, and none is given twice.
    torch.testing.assert_close(pairs.gather(2, index), squared.double(), rtol=1e-6, atol=1e-30)
    ordered = index.sort(2).values
    assert bool((ordered[..., 1:] != ordered[..., :-1]).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "pairs_up_to"), [(1, PAIRS_UP_TO), (1, 0), (5, PAIRS_UP_TO)])
def test_neighbours_are_those_of_all_pairs(
    monkeypatch: pytest.MonkeyPatch, kind: str, k: int, pairs_up_to: int
) -> None:
    monkeypatch.setattr(nearest, "PAIRS_UP_TO", pairs_up_to)
    check(clouds(kind, 333), clouds(kind, 471, seed=1), k)
    check(clouds("random", 100), clouds(kind, 900, seed=1), k)
    check(clouds(kind, 300), clouds("surface", 200, seed=1), k)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 31, 32, 33, PAIRS_UP_TO, PAIRS_UP_TO + 1, 4096, 4097])
@pytest.mark.parametrize("by_pairs", [True, False])
def test_sizes_at_the_borders_of_blocks_groups_and_methods(
    monkeypatch: pytest.MonkeyPatch, count: int, by_pairs: bool
) -> None:
    if not by_pairs:
        monkeypatch.setattr(nearest, "PAIRS_UP_TO", 0)
    check(clouds("random", 50, batch=1), clouds("surface", count, batch=1, seed=1))
    check(clouds("surface", count, batch=1, seed=1), clouds("random", 50, batch=1))


@pytest.mark.parametrize("kind", ["surface", "clustered", "duplicated"])
def test_clouds_large_enough_for_the_finer_order(kind: str) -> None:
    target = clouds(kind, SMALL_CLOUD + 5, batch=1)
    check(clouds(kind, 100, batch=1, seed=1), target)
    squared, index = nearest_neighbors(target, target)
    assert float(squared.max()) == 0.0
    assert torch.equal(target[0, index[0]], target[0])


def test_most_neighbours() -> None:
    check(clouds("random", 40), clouds("random", 500, seed=1), 32)
    check(clouds("random", 40), clouds("random", 32, seed=1), 32)


@pytest.mark.parametrize("pairs_up_to", [PAIRS_UP_TO, 0])
def test_lengths_hide_padding(monkeypatch: pytest.MonkeyPatch, pairs_up_to: int) -> None:
    monkeypatch.setattr(nearest, "PAIRS_UP_TO", pairs_up_to)
    source, target = clouds("random", 200, batch=3), clouds("random", 300, batch=3, seed=1)
    target[1, 20:] = source[1, :1]  # padding that would be nearest if it were looked at
    source_lengths, target_lengths = torch.tensor([200, 1, 77]), torch.tensor([300, 20, 33])
    squared, index = nearest_neighbors(source, target, source_lengths=source_lengths, target_lengths=target_lengths)
    for b, (n, m) in enumerate(zip(source_lengths.tolist(), target_lengths.tolist(), strict=True)):
        alone, alone_index = nearest_neighbors(source[b : b + 1, :n].contiguous(), target[b : b + 1, :m].contiguous())
        assert torch.equal(squared[b, :n], alone[0])
        assert torch.equal(index[b, :n], alone_index[0])
        assert not squared[b, n:].any() and not index[b, n:].any()


@pytest.mark.parametrize("k", [1, 3])
def test_gradient_is_twice_the_difference(k: int) -> None:
    source, target = clouds("random", 60).requires_grad_(), clouds("random", 80, seed=1).requires_grad_()
    upstream = torch.rand(2, 60, k)
    squared, _ = nearest_neighbors(source, target, k)
    squared.reshape(2, 60, k).mul(upstream).sum().backward()
    exact_source, exact_target = source.detach().double().requires_grad_(), target.detach().double().requires_grad_()
    nearest = (exact_source[:, :, None] - exact_target[:, None]).square().sum(3).topk(k, 2, largest=False).values
    nearest.mul(upstream.double()).sum().backward()
    assert source.grad is not None and target.grad is not None
    torch.testing.assert_close(source.grad.double(), exact_source.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(target.grad.double(), exact_target.grad, rtol=1e-4, atol=1e-6)


def test_padding_gets_no_gradient() -> None:
    source, target = clouds("random", 30).requires_grad_(), clouds("random", 30, seed=1).requires_grad_()
    lengths = torch.tensor([10, 30])
    nearest_neighbors(source, target, source_lengths=lengths, target_lengths=lengths)[0].sum().backward()
    assert source.grad is not None and target.grad is not None
    assert not source.grad[0, 10:].any() and not target.grad[0, 10:].any()
    assert source.grad[0, :10].any() and source.grad[1, 10:].any()


def test_layout_in_memory_does_not_matter() -> None:
    source, target = clouds("random", 90), clouds("random", 70, seed=1)
    turned = source.transpose(1, 2).contiguous().transpose(1, 2)
    strided = torch.stack((target, target + 1), 2)[:, :, 0]
    assert not turned.is_contiguous() and not strided.is_contiguous()
    for result, expected in zip(nearest_neighbors(turned, strided), nearest_neighbors(source, target), strict=True):
        assert torch.equal(result, expected)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    source, target = clouds("surface", 3000), clouds("duplicated", 3000, seed=1)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            leaf = target.clone().requires_grad_()
            squared, index = nearest_neighbors(source, leaf)
            squared.sum().backward()
            results.append((squared.detach(), index, leaf.grad))
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


@pytest.mark.parametrize("pairs_up_to", [PAIRS_UP_TO, 0])
def test_distances_beyond_float32_are_infinite(monkeypatch: pytest.MonkeyPatch, pairs_up_to: int) -> None:
    monkeypatch.setattr(nearest, "PAIRS_UP_TO", pairs_up_to)
    squared, index = nearest_neighbors(torch.full((1, 1, 3), 3e30), torch.zeros(1, 2, 3))
    assert squared.isinf().all() and int(index) in (0, 1)


@pytest.mark.parametrize(
    ("source", "target", "options", "error", "words"),
    [
        (torch.zeros(1, 0, 3), torch.zeros(1, 4, 3), {}, ValueError, "source is empty"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 0, 3), {}, ValueError, "target is empty"),
        (torch.zeros(4, 3), torch.zeros(1, 4, 3), {}, ValueError, "shape"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 4, 3), {}, ValueError, "shape"),
        (torch.zeros(1, 4, 3), torch.zeros(2, 4, 3), {}, ValueError, "pair up"),
        (torch.zeros(1, 4, 3).double(), torch.zeros(1, 4, 3), {}, TypeError, "float32"),
        (torch.zeros(1, 4, 3).half(), torch.zeros(1, 4, 3), {}, TypeError, "float32"),
        ([[[0.0, 0.0, 0.0]]], torch.zeros(1, 4, 3), {}, TypeError, "torch tensor"),
        (torch.zeros(1, 4, 3), torch.full((1, 4, 3), torch.nan), {}, ValueError, "target holds NaN"),
        (torch.full((1, 4, 3), torch.inf), torch.zeros(1, 4, 3), {}, ValueError, "source holds NaN"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), {"k": 0}, ValueError, "1 to 4"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), {"k": 5}, ValueError, "1 to 4"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 40, 3), {"k": 33}, ValueError, "1 to 32"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3, device="meta"), {}, ValueError, "one device"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), {"source_lengths": torch.tensor([5])}, ValueError, "between 1"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), {"target_lengths": torch.tensor([0])}, ValueError, "between 1"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), {"target_lengths": torch.tensor([1.0])}, TypeError, "int64"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), {"target_lengths": torch.tensor([1, 1])}, ValueError, "shape"),
    ],
)
def test_bad_input_is_refused_with_a_reason(source, target, options, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        nearest_neighbors(source, target, **options)


def test_large_finite_values_are_not_mistaken_for_infinities() -> None:
    huge = torch.full((1, 4, 3), 3e38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        squared, _ = nearest_neighbors(huge, huge)
    assert not squared.any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(-30, 30), st.integers(0, 2**31))
def test_any_small_clouds_on_a_lattice(n: int, m: int, power: int, seed: int) -> None:
    # Lattice points make ties and coincident points common, and distances exact in float32.
    generator = torch.Generator().manual_seed(seed)
    scale = 2.0**power
    source = torch.randint(-4, 5, (1, n, 3), generator=generator).float() * scale
    target = torch.randint(-4, 5, (1, m, 3), generator=generator).float() * scale
    pairs = squared_distances(source, target)
    for k in {1, min(m, 2)}:
        squared, index = (result.reshape(1, n, k) for result in nearest_neighbors(source, target, k))
        assert torch.equal(squared.double(), pairs.topk(k, 2, largest=False).values)
        assert torch.equal(pairs.gather(2, index), squared.double())
