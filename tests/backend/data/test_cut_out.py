"""The object of a picture is found, cut out and recentred; masks win over alpha, alpha over guessing."""

from __future__ import annotations

import numpy as np
import pytest

from backend.data.background import object_mask
from backend.data.cut_out import FILLED, cut_out, mask_preview, resized
from backend.data.pictures import Picture
from backend.errors import InputError

HEIGHT, WIDTH = 96, 128


def _disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def _ground(kind: str) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    ground = np.full((HEIGHT, WIDTH, 3), (0.9, 0.88, 0.85))
    if kind == "gradient":
        ground = np.stack([0.3 + 0.5 * rows, 0.4 + 0.3 * columns, 0.7 - 0.3 * rows], axis=-1)
    if kind == "noise":
        ground = ground - 0.3 + np.random.default_rng(0).normal(0, 0.05, ground.shape)
    return ground.clip(0, 1).astype(np.float32)


def _overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    return float((found & wanted).sum() / (found | wanted).sum())


@pytest.mark.parametrize("kind", ["plain", "gradient", "noise"])
def test_an_object_with_a_hole_is_told_from_its_ground(kind: str) -> None:
    srgb = _ground(kind)
    ring = _disc(50, 60, 30) & ~_disc(50, 60, 14)
    srgb[ring] = (0.7, 0.15, 0.1)
    assert _overlap(object_mask(srgb) > 0.5, ring) > 0.94


@pytest.mark.parametrize("kind", ["plain", "gradient", "noise"])
def test_mere_ground_has_no_object(kind: str) -> None:
    with pytest.raises(InputError, match="No object"):
        cut_out(_opaque(_ground(kind)))


def _opaque(srgb: np.ndarray) -> Picture:
    return Picture(np.concatenate([srgb, np.ones((HEIGHT, WIDTH, 1), np.float32)], axis=-1))


def _with_alpha(*shapes: np.ndarray) -> Picture:
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    for shape, color in zip(shapes, ((0.8, 0.2, 0.2), (0.2, 0.8, 0.2)), strict=False):
        pixels[shape] = (*color, 1)
    return Picture(pixels)


def test_the_object_is_recentred_and_fills_the_square() -> None:
    cut = cut_out(_with_alpha(_disc(30, 90, 20)))
    assert cut.notes == []
    side = len(cut.pixels)
    rows, columns = np.nonzero(cut.pixels[..., 3] > 0.5)
    assert abs(np.ptp(rows) + 1 - FILLED * side) <= 1
    assert abs(rows.min() + rows.max() + 1 - side) <= 1 and abs(columns.min() + columns.max() + 1 - side) <= 1
    small = cut.resized(16)
    assert small.shape == (16, 16, 4)
    assert small[8, 8] == pytest.approx([0.8, 0.2, 0.2, 1], abs=1e-5)
    assert small[0, 0, 3] == 0


def test_an_object_at_the_edge_of_the_picture_is_padded() -> None:
    cut = cut_out(_with_alpha(_disc(0, 64, 40)))
    rows, columns = np.nonzero(cut.pixels[..., 3] > 0.5)
    assert abs(np.ptp(columns) + 1 - FILLED * len(cut.pixels)) <= 1
    assert rows.min() > 0


def test_of_several_objects_the_largest_is_kept_with_a_note() -> None:
    cut = cut_out(_with_alpha(_disc(48, 30, 12), _disc(48, 95, 25)))
    assert [note for note in cut.notes if "2 objects" in note]
    assert cut.mask[48, 30] == 0 and cut.mask[48, 95] == 1
    assert cut.resized(16)[8, 8, :3] == pytest.approx([0.2, 0.8, 0.2], abs=1e-5)


def test_dust_is_no_object_and_parts_close_together_are_one() -> None:
    parts = (_disc(48, 40, 18), _disc(48, 78, 18) | _disc(5, 120, 1.5))
    cut = cut_out(_with_alpha(*parts))
    assert cut.notes == []
    assert cut.mask[48, 40] == 1 and cut.mask[48, 78] == 1 and cut.mask[5, 120] == 0


def test_the_users_mask_wins() -> None:
    srgb = _ground("plain")
    srgb[_disc(48, 30, 20)] = (0.7, 0.1, 0.1)
    srgb[_disc(48, 95, 20)] = (0.1, 0.1, 0.7)
    picture = _opaque(srgb)
    cut = cut_out(picture, _disc(48, 30, 20).astype(np.float32))
    assert cut.notes == []
    assert cut.resized(16)[8, 8, :3] == pytest.approx([0.7, 0.1, 0.1], abs=1e-5)
    preview = mask_preview(picture, cut, WIDTH)
    assert preview.shape == (HEIGHT, WIDTH, 3) and preview.dtype == np.uint8
    assert preview[48, 30, 0] == round(0.7 * 255) and preview[48, 95].min() > 200


def test_no_and_too_much_object_are_refused() -> None:
    with pytest.raises(InputError, match="No object"):
        cut_out(_opaque(_ground("plain")), np.zeros((HEIGHT, WIDTH), np.float32))
    with pytest.raises(InputError, match="fills the whole picture"):
        cut_out(_opaque(_ground("plain")), np.ones((HEIGHT, WIDTH), np.float32))


def test_colours_are_averaged_by_their_alpha() -> None:
    pixels = np.zeros((4, 4, 4), np.float32)
    pixels[:2] = (1, 0, 0, 1)
    pixels[2:] = (0, 1, 0, 0)
    assert resized(pixels, 1)[0, 0] == pytest.approx([1, 0, 0, 0.5])
