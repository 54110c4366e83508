"""The prior over codes: what it sees, what it may not see, and drawing."""

from __future__ import annotations

import pytest
import torch

from backend.models.code_prior import CodePrior, CodePriorConfig, draw
from backend.models.shape_codes import CODES, TOKENS

GROUPS = 3


@pytest.fixture
def prior() -> CodePrior:
    torch.manual_seed(0)
    return CodePrior(CodePriorConfig(groups=GROUPS, width=16, heads=2, blocks=2)).eval()


def inputs(count: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(CODES, (count, TOKENS, GROUPS), generator=generator)
    given = torch.rand(count, TOKENS, generator=generator) < 0.4
    return codes, given, torch.rand(count, 11, 16, 16, 16, generator=generator)


@torch.no_grad()
def test_codes_that_are_not_given_are_not_seen_and_given_ones_and_the_part_are(prior: CodePrior) -> None:
    codes, given, parts = inputs()
    context = prior.context(codes, given, parts)
    hidden = torch.where(given[..., None], codes, (codes + 7) % CODES)
    assert torch.equal(prior.context(hidden, given, parts), context)
    shown = torch.where(given[..., None], (codes + 7) % CODES, codes)
    assert not torch.allclose(prior.context(shown, given, parts), context)
    assert not torch.allclose(prior.context(codes, given, parts.flip(2)), context)


@torch.no_grad()
def test_within_a_patch_a_code_sees_those_before_it_alone(prior: CodePrior) -> None:
    codes, given, parts = inputs()
    context = prior.context(codes, given, parts)
    for group in range(GROUPS):
        logits = prior.logits(context, codes, group)
        later, earlier = codes.clone(), codes.clone()
        later[..., group:] = (later[..., group:] + 5) % CODES
        assert torch.equal(prior.logits(context, later, group), logits)
        if group:
            earlier[..., group - 1] = (earlier[..., group - 1] + 100) % CODES
            assert not torch.allclose(prior.logits(context, earlier, group), logits)


def test_a_prior_that_knows_nothing_needs_nine_bits_a_code(prior: CodePrior) -> None:
    for leave in prior.leave:
        torch.nn.init.zeros_(leave.weight)
        torch.nn.init.zeros_(leave.bias)
    assert prior.loss(*inputs()).item() == pytest.approx(9.0, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 5, 200])
def test_what_is_given_stays_and_a_seed_is_a_shape(prior: CodePrior, steps: int) -> None:
    codes, given, parts = inputs()
    told: list[int] = []

    def drawn(seed: int, step=None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return draw(prior, codes, given, parts, generator, steps=steps, temperature=1.0, step=step)

    first = drawn(0, told.append)
    assert torch.equal(first[given], codes[given]) and told == list(range(1, steps + 1))
    assert torch.equal(drawn(0), first) and not torch.equal(drawn(1), first)
    assert first.min() >= 0 and first.max() < CODES and (first[~given] != codes[~given]).any()


def test_at_temperature_0_only_the_order_is_drawn(prior: CodePrior) -> None:
    codes, given, parts = inputs(1)
    both = [
        draw(prior, codes, given, parts, torch.Generator().manual_seed(seed), steps=1, temperature=0.0)
        for seed in (0, 1)
    ]
    assert torch.equal(*both)


def test_it_learns_what_a_part_says(prior: CodePrior) -> None:
    """Codes that are one of two, told by the part alone."""
    generator = torch.Generator().manual_seed(2)
    kind = torch.rand(16, generator=generator) < 0.5
    codes = torch.where(kind[:, None, None], 3, 400).expand(16, TOKENS, GROUPS)
    parts = kind[:, None, None, None, None].float().expand(16, 11, 16, 16, 16)
    given = torch.zeros(16, TOKENS, dtype=torch.bool)
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        prior.loss(codes, given, parts).backward()
        optimizer.step()
    assert prior.loss(codes, given, parts).item() < 0.3
