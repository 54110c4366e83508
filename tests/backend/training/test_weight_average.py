"""The mean of two priors' weights, as a file that loads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from backend.errors import InputError
from backend.models.latent_prior import LatentPrior, LatentPriorConfig
from backend.models.principal_components import PrincipalComponents
from backend.models.prior_weights import prior_state
from backend.training import weight_average
from backend.weights.bundled import PRIOR, load_weights, save_weights


def written(folder: Path, width: int, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    config = LatentPriorConfig(components=6, width=width, hidden=24, blocks=2)
    state = prior_state(LatentPrior(config), PrincipalComponents(6, (4, 2, 2, 2)))
    state = {key: torch.randn(value.shape) if value.is_floating_point() else value for key, value in state.items()}
    folder.mkdir()
    save_weights(PRIOR, state, asdict(config), folder, matrices_in_bytes=True)
    return state


def test_every_tensor_is_the_mean_of_both(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a", 16, 0), written(tmp_path / "b", 16, 1)
    mean = tmp_path / "mean"
    mean.mkdir()
    weight_average.main([str(tmp_path / "a"), str(tmp_path / "b"), "--weights", str(mean)])
    state, config = load_weights(PRIOR, mean)
    assert config["width"] == 16 and state.keys() == one.keys()
    for key, value in state.items():
        wanted = (one[key] + other[key]) / 2
        assert torch.allclose(value, wanted, atol=0.05), key  # matrices take a byte a number


def test_different_networks_have_no_mean(tmp_path: Path) -> None:
    written(tmp_path / "a", 16, 0)
    written(tmp_path / "b", 24, 1)
    with pytest.raises(InputError, match="different networks"):
        weight_average.main([str(tmp_path / "a"), str(tmp_path / "b"), "--weights", str(tmp_path)])
    assert not (tmp_path / PRIOR).exists()
