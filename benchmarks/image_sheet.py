"""A sheet of what image to 3D makes of pictures: the picture, views that were made of the other sides, the mesh.

    python3 build.py bench image_sheet photo.png … --out sheet.jpg [--elevation 15] [--iterations 200]

A row a picture: the object as it was cut out, three of the views, and the mesh of "multiview" from the picture's own
camera and from two others; the last column is "feed-forward" from the second of these.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from backend import Recipe, Result, generate
from backend.data.cut_out import cut_out, resized
from backend.data.pictures import read_picture
from backend.errors import InputError, MachineError
from backend.representations.cameras import Cameras
from backend.representations.mesh_rendering import render_mesh

TILE = 160
SUPERSAMPLING = 2
VIEWS = (2, 5, 8)
ASIDE, BEHIND = math.radians(60), math.radians(200)
SEEN_ELEVATION = math.radians(20)


def row(picture: Path, elevation: float, iterations: int) -> np.ndarray:
    """One picture's row, (TILE, W, 3) uint8. Raises InputError or MachineError."""
    common: dict[str, Any] = {"picture": str(picture), "elevation": elevation}
    fitted = generate(Recipe.create("image_to_3d", "multiview", iterations=iterations, keep_views=True, **common))
    direct = generate(Recipe.create("image_to_3d", "feed-forward", **common))
    tiles = [resized(cut_out(read_picture(picture)).pixels, TILE)]
    assert fitted.views is not None
    tiles += [_enlarged(fitted.views[index]) for index in VIEWS]
    tiles += [_seen(fitted, 0.0), _seen(fitted, ASIDE), _seen(fitted, BEHIND), _seen(direct, ASIDE)]
    joined = np.concatenate(tiles, axis=1)
    over_white = joined[..., :3] * joined[..., 3:] + 1 - joined[..., 3:]
    return np.rint(over_white * 255).astype(np.uint8)


def _enlarged(view: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(view).resize((TILE, TILE), Image.Resampling.BILINEAR), np.float32) / 255


def _seen(result: Result, turn: float) -> np.ndarray:
    """The mesh from `turn` radians beside the picture's camera, (TILE, TILE, 4) float32."""
    assert result.viewpoint is not None
    place = result.viewpoint.matrix[:3, 3]
    azimuth = math.atan2(place[0], -place[1]) + turn
    elevation = math.asin(place[2] / np.linalg.norm(place)) if turn == 0 else SEEN_ELEVATION
    camera = Cameras.framing(torch.tensor([azimuth]), torch.tensor([elevation]))
    return resized(render_mesh(result.mesh, camera, size=TILE * SUPERSAMPLING), TILE)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="image_sheet", description="Make a sheet of image to 3D's answers.")
    parser.add_argument("pictures", type=Path, nargs="+", help="pictures of one object each")
    parser.add_argument("--out", type=Path, required=True, help="the JPEG to write")
    parser.add_argument("--elevation", type=float, default=15.0, help="of the pictures' cameras, degrees")
    parser.add_argument("--iterations", type=int, default=200, help="of the multi-view fit")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        rows = [row(picture, options.elevation, options.iterations) for picture in options.pictures]
    except (InputError, MachineError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    Image.fromarray(np.concatenate(rows)).save(options.out, quality=88)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
