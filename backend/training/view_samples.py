"""A picture of what the view model makes while it is trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.orbit_packing import OrbitViews
from ..models.noise_schedule import sample_ddim
from ..models.text_encoder import TextEncoder
from ..models.view_diffusion import SIZE, ViewConditions, ViewDiffusion, over_white
from ..representations.cameras import Cameras

SHOWN_OBJECTS = 5
SHOWN_VIEWS = 2
STEPS = 4
PROMPTS = ("a chair", "a wooden table", "a red car", "a tree", "a house", "a lamp", "a green sofa", "a sword")
TEXT_STEPS, TEXT_SCALE = 12, 3.0


def as_images(pictures: np.ndarray) -> Tensor:
    """(n, 64, 64, 4) uint8, not premultiplied → (n, 4, 64, 64) float32 in [−1, 1]: sRGB over white, and alpha."""
    values = torch.from_numpy(pictures.astype(np.float32) / 255).permute(0, 3, 1, 2)
    alpha = values[:, 3:]
    return torch.cat([values[:, :3] * alpha + 1 - alpha, alpha], dim=1) * 2 - 1


def _tiles(images: Tensor) -> np.ndarray:
    """(n, 3 or more, H, W) in [−1, 1] side by side, (64, n · 64, 3) uint8."""
    enlarged = torch.nn.functional.interpolate(images[:, :3].float(), (SIZE, SIZE))
    return np.concatenate((enlarged.permute(0, 2, 3, 1).cpu() * 127.5 + 127.5).clamp(0, 255).byte().numpy(), axis=1)


@torch.no_grad()
def sampled_views(model: ViewDiffusion, views: OrbitViews, objects: np.ndarray, encoder: TextEncoder) -> np.ndarray:
    """For every object a row: its picture, then for each of SHOWN_VIEWS what it is, what the picture's volume shows,
    and a sample; below them samples for PROMPTS. (H, W, 3) uint8."""
    device = next(model.parameters()).device
    rows = []
    for index in objects:
        picture = as_images(views.inputs[index, :1]).to(device)
        truth = as_images(views.targets[index, :SHOWN_VIEWS]).to(device)
        angles, own = torch.tensor(views.target_angles[index, :SHOWN_VIEWS]), views.input_angles[index, 0]
        elevation = torch.tensor([float(own[1])], device=device)
        cameras = Cameras.framing(angles[:, 0] - float(own[0]), angles[:, 1]).to(device)
        encoded = model.encoder(picture, elevation)
        conditions = model.of_pictures(encoded, encoded.window, elevation, cameras)
        made = _sampled(model, conditions, STEPS)
        seen = over_white(conditions.seen)
        tiles = [_tiles(picture)]
        for view in range(SHOWN_VIEWS):
            tiles += [_tiles(part[view : view + 1]) for part in (truth, seen, made)]
        rows.append(np.concatenate(tiles, axis=1))
    angle = torch.full((len(PROMPTS),), 0.5, device=device)
    told = model.of_sentences(encoder(PROMPTS).to(device), Cameras.framing(angle, angle / 2))
    rows.append(_tiles(_sampled(model, told, TEXT_STEPS, model.of_nothing(len(PROMPTS)))))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _sampled(
    model: ViewDiffusion, conditions: ViewConditions, steps: int, free: ViewConditions | None = None
) -> Tensor:
    def denoise(state: Tensor, time: Tensor) -> Tensor:
        told = model(state, time, conditions)
        if free is None:
            return told
        untold = model(state, time, free)
        return untold + TEXT_SCALE * (told - untold)

    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(conditions), 4, SIZE, SIZE, generator=generator).to(conditions.vector.device)
    return sample_ddim(denoise, noise, steps=steps)
