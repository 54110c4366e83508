"""The object of a picture by itself: found, cut out, and in the middle of a square."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects, label

from ..errors import InputError
from .background import object_mask
from .pictures import Picture

FILLED = 0.85
"""Share of the square's side that the object's longer side takes."""
LARGEST_SQUARE = 768
OBJECT_ALPHA = 0.5
SMALLEST_SHARE = 0.002
"""Of the picture's area; less than that is no object."""
LARGEST_SHARE = 0.97
SPECK = 0.01
"""Of the largest part's area; less than that is dust."""
ANOTHER_OBJECT = 0.1
"""Of the largest part's area: a part apart from it that is at least as large is an object of its own."""
REACH = 0.03
"""Of the picture's longer side: parts that are no farther from each other belong together."""

PALING = 0.85

NO_OBJECT = (
    "No object stands out from the ground of the picture: choose one on a plain ground, cut it out (transparent "
    "ground), or give a mask."
)


@dataclass(frozen=True, eq=False)
class CutOut:
    """pixels: (S, S, 4) float32, sRGB and alpha, not premultiplied, the object recentred on transparent ground. mask:
    (H, W) float32 over the whole picture. notes: sentences for the user."""

    pixels: np.ndarray
    mask: np.ndarray
    notes: list[str]

    def resized(self, size: int) -> np.ndarray:
        """The square at (size, size, 4) float32."""
        return resized(self.pixels, size)


def cut_out(
    picture: Picture, given_mask: np.ndarray | None = None, *, find: Callable[[np.ndarray], np.ndarray] = object_mask
) -> CutOut:
    """The object of a picture: where the user's mask (H, W) says, else the picture's own alpha, else what `find` takes
    for it, from (H, W, 3) sRGB: what stands out from the ground, unless said otherwise.

    Of several objects the largest is kept, with a note. Raises InputError when there is none.
    """
    notes: list[str] = []
    pixels = picture.pixels.copy()
    if given_mask is not None:
        mask = given_mask * pixels[..., 3]
    elif picture.is_cut_out:
        mask = pixels[..., 3]
    else:
        mask = find(pixels[..., :3])
        notes.append("The picture has no transparency: its object was told from the ground by itself (see the mask).")
    share = float((mask > OBJECT_ALPHA).mean())
    if share < SMALLEST_SHARE:
        raise InputError(NO_OBJECT)
    if share > LARGEST_SHARE:
        raise InputError("The object fills the whole picture: use one that shows all of it, with ground around it.")
    mask, others = _largest_object(mask)
    if others:
        notes.append(f"There are {others + 1} objects in the picture: the largest was taken; a mask chooses another.")
    if not picture.is_cut_out or given_mask is not None:
        pixels[..., :3] = _without_ground(pixels[..., :3], mask)
    pixels[..., 3] = mask
    return CutOut(_recentred(pixels), mask, notes)


def mask_preview(picture: Picture, cut: CutOut, size: int) -> np.ndarray:
    """The picture (H, W, 3) uint8 sRGB, at most `size` pixels long, with everything but the object paled."""
    alpha = cut.mask[..., None]
    paled = (1 - PALING) * picture.pixels[..., :3] + PALING
    shown = Image.fromarray(np.rint(255 * (picture.pixels[..., :3] * alpha + paled * (1 - alpha))).astype(np.uint8))
    shown.thumbnail((size, size), Image.Resampling.BOX)
    return np.asarray(shown)


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """A square picture (S, S, 4) float32 as (size, size, 4); colours are averaged by their alpha."""
    alpha = pixels[..., 3]
    channels = [*np.moveaxis(pixels[..., :3] * alpha[..., None], -1, 0), alpha]
    method = Image.Resampling.BOX if size < len(pixels) else Image.Resampling.BILINEAR
    scaled = [np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize((size, size), method)) for c in channels]
    alpha = scaled[3].clip(0, 1)
    colors = np.stack(scaled[:3], axis=-1) / np.maximum(alpha, 1e-6)[..., None]
    return np.concatenate([colors.clip(0, 1), alpha[..., None]], axis=-1).astype(np.float32)


def _largest_object(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The mask without other objects and dust, and how many other objects there were."""
    solid = mask > OBJECT_ALPHA
    reach = max(round(REACH * max(mask.shape)), 1)
    joined, count = label(_grown(solid, reach))
    areas = np.bincount(joined[solid], minlength=count + 1)[1:]
    largest = int(np.argmax(areas)) + 1
    others = int((areas >= ANOTHER_OBJECT * areas.max()).sum()) - 1
    kept = mask * (joined == largest)
    parts, count = label(kept > OBJECT_ALPHA, np.ones((3, 3)))
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    whole = np.isin(parts, np.flatnonzero(areas >= SPECK * areas.max()) + 1)
    return (kept * _grown(whole, 2)).astype(np.float32), others


def _grown(solid: np.ndarray, by: int) -> np.ndarray:
    return distance_transform_edt(~solid) <= by if by > 2 else binary_dilation(solid, iterations=by)


def _without_ground(colors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The colours (H, W, 3), each pixel that is partly ground with that of the nearest that is all object."""
    certain = mask > 0.95
    if not certain.any():
        return colors
    nearest = distance_transform_edt(~certain, return_distances=False, return_indices=True)
    return colors[tuple(nearest)]


def _recentred(pixels: np.ndarray) -> np.ndarray:
    rows, columns = find_objects((pixels[..., 3] > OBJECT_ALPHA).astype(np.int8))[0]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    side = int(np.ceil(max(height, width) / FILLED))
    square = np.zeros((side, side, 4), np.float32)
    top, left = (rows.start + rows.stop - side) // 2, (columns.start + columns.stop - side) // 2
    seen_rows = slice(max(top, 0), min(top + side, pixels.shape[0]))
    seen_columns = slice(max(left, 0), min(left + side, pixels.shape[1]))
    square[seen_rows.start - top : seen_rows.stop - top, seen_columns.start - left : seen_columns.stop - left] = pixels[
        seen_rows, seen_columns
    ]
    return resized(square, LARGEST_SQUARE) if side > LARGEST_SQUARE else square
