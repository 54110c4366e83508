"""A shape space small enough to make in a test, whose decoder is known exactly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from backend.models.latent_prior import LatentPrior, LatentPriorConfig
from backend.models.principal_components import PrincipalComponents
from backend.models.shape_autoencoder import ShapeAutoencoder, ShapeAutoencoderConfig
from backend.weights.bundled import AUTOENCODER, PRIOR, save_weights

AUTOENCODER_CONFIG = ShapeAutoencoderConfig(
    latent_channels=4,
    patch_channels=8,
    mid_channels=8,
    latent_width=8,
    coarse_channels=8,
    fine_channels=8,
    hidden_channels=8,
)
PRIOR_CONFIG = LatentPriorConfig(components=6, width=16, hidden=24, blocks=2, classes=("boat", "chair"))
SHARPNESS = 16.0


@torch.no_grad()
def make_octahedron(autoencoder: ShapeAutoencoder) -> None:
    """Sets the heads so that every latent decodes to |x| + |y| + |z| − 1.2 in tenths, of the colour (0.8, 0.2, 0.5).

    silu(s) + silu(−s) is close to |s| for large s, which makes absolute values of two hidden units each.
    """
    place = AUTOENCODER_CONFIG.coarse_channels + AUTOENCODER_CONFIG.fine_channels
    first, second, last = (autoencoder.decoder.distance[index] for index in (0, 2, 4))
    for layer in (first, second, last):
        layer.weight.zero_()
        layer.bias.zero_()
    for axis in range(3):
        first.weight[2 * axis, place + axis] = SHARPNESS
        first.weight[2 * axis + 1, place + axis] = -SHARPNESS
    second.weight[0, :6] = 1 / SHARPNESS
    second.bias[0] = 20.0  # far up, where silu changes nothing
    last.weight[0, 0] = 1.0
    last.bias[0] = -21.2
    final = autoencoder.decoder.color[-1]
    final.weight.zero_()
    final.bias.copy_(torch.logit(torch.tensor([0.8, 0.2, 0.5])))


def save_space(folder: Path, *, octahedron: bool = False) -> Path:
    """Writes tiny weights, random but the same each time, as the training scripts do; returns the folder."""
    torch.manual_seed(0)
    autoencoder = ShapeAutoencoder(AUTOENCODER_CONFIG)
    if octahedron:
        make_octahedron(autoencoder)
    components = PrincipalComponents(PRIOR_CONFIG.components, (4, 8, 8, 8))
    components.fit(torch.randn(20, 4, 8, 8, 8))
    prior = LatentPrior(PRIOR_CONFIG)
    for value in (prior.leave.weight, prior.modulate.weight):
        torch.nn.init.normal_(value, std=0.2)
    save_weights(AUTOENCODER, autoencoder.state_dict(), asdict(AUTOENCODER_CONFIG), folder)
    parts = {"prior.": prior.state_dict(), "principal_components.": components.state_dict()}
    state = {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}
    save_weights(PRIOR, state, asdict(PRIOR_CONFIG), folder)
    return folder


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny random weights."""
    return save_space(tmp_path_factory.mktemp("random_weights"))


@pytest.fixture(scope="session")
def octahedron_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny weights that decode every latent to one octahedron."""
    return save_space(tmp_path_factory.mktemp("octahedron_weights"), octahedron=True)
