"""A cut-out picture at its place in the standard framing of its camera."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ..representations.mesh_rendering import Window


def framed(picture: np.ndarray, window: Window, size: int) -> np.ndarray:
    """A cut-out picture (S, S, 4) float32 at its place in the standard framing: (size, size, 4) float32."""
    premultiplied = picture.copy()
    premultiplied[..., :3] *= picture[..., 3:]
    places = (torch.arange(size) + 0.5) * (2 / size) - 1
    across, down = (places - window.x) / window.half, (places - window.y) / window.half
    grid = torch.stack([across[None].expand(size, -1), down[:, None].expand(-1, size)], dim=-1)
    # As fine as the whole picture, so that no pixel of it is passed over.
    fine = max(round(size * window.half), 1)
    source = torch.from_numpy(premultiplied).permute(2, 0, 1)[None]
    source = functional.interpolate(source, (fine, fine), mode="bilinear", antialias=True, align_corners=False)
    read = functional.grid_sample(source, grid[None].float(), align_corners=False, padding_mode="zeros")[0]
    alpha = read[3:].clamp(0, 1)
    colors = (read[:3] / alpha.clamp(min=1e-6)).clamp(0, 1) * (alpha > 0)
    return torch.cat([colors, alpha]).permute(1, 2, 0).numpy()
