"""The weights that are measured have the published sizes, and every kind of work is measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from backend.models.latent_diffusion_layout import clip_state, unet_state, vae_state
from benchmarks import published_layouts, published_models
from benchmarks.published_models import GRADIENT, VIEW, ZERO123, Need
from tests.backend.models.published_layout import zero123_state


def _published() -> dict[str, tuple[published_layouts.Shapes, dict[str, torch.Tensor], torch.nn.Module, int]]:
    """Of each part: what we write, the same as it is read, diffusers' or transformers' own network, and how many
    weights are published."""
    unet = published_layouts.unet_shapes(seen=8, attended=768)
    vae = published_layouts.autoencoder_shapes()
    clip = published_layouts.clip_shapes()
    with torch.device("meta"):
        empty = [{name: torch.empty(shape) for name, shape in shapes.items()} for shapes in (unet, vae, clip)]
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
        networks = (
            UNet2DConditionModel(in_channels=8, cross_attention_dim=768),
            AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks),
            CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=1024,
                    intermediate_size=4096,
                    num_hidden_layers=24,
                    num_attention_heads=16,
                    patch_size=14,
                    projection_dim=768,
                )
            ),
        )
        read = (unet_state(empty[0]), vae_state(empty[1]), clip_state(empty[2]))
    # Stable Diffusion 1's U-Net has 859,520,964 weights; Zero123's sees four channels more.
    counts = (859_520_964 + 4 * 320 * 9, 83_653_863, 303_966_208)
    parts = zip((unet, vae, clip), read, networks, counts, strict=True)
    return dict(zip(("U-Net", "auto-encoder", "picture encoder"), parts, strict=True))


def test_the_weights_have_the_published_names_and_shapes() -> None:
    for part, (shapes, read, network, count) in _published().items():
        assert sum(math.prod(shape) for shape in shapes.values()) == count, part
        own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        assert {name: tuple(tensor.shape) for name, tensor in read.items()} == own, part


@pytest.mark.parametrize("work", [VIEW, GRADIENT])
def test_a_piece_of_work_is_measured(tmp_path: Path, work: str) -> None:
    torch.save({"state_dict": zero123_state()}, tmp_path / "zero123.ckpt")
    need = published_models.measure(ZERO123, tmp_path / "zero123.ckpt", "none", work, 1)
    assert need.peak >= need.loading_peak > 0 and need.seconds > 0 and need.loading_seconds > 0


def test_a_row_says_what_did_not_fit() -> None:
    assert published_models.row("a", "none", [Need(1, 2, 3, 4), None]) == (
        "| a | none | 1.0 | 2 | 3.0 | 4 | too much |  |"
    )
    assert published_models.row("b", "none", [Need(1, 2, 3, 4)]) == "| b | none | 1.0 | 2 |  |  | 3.0 | 4 |"
