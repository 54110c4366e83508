"""Any picture file becomes sRGB with alpha; what is none is refused in one sentence."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from backend.data.pictures import LARGEST, read_mask, read_picture
from backend.errors import InputError


@pytest.fixture
def photo() -> Image.Image:
    """40 × 24: red left, green right, blue lower half."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:, :20] = 200, 30, 10
    pixels[:, 20:] = 20, 180, 40
    pixels[12:] = 10, 20, 220
    return Image.fromarray(pixels)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_reads_every_usual_format(photo: Image.Image, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"photo.{ending}"
    photo.save(path, **({"quality": 95} if ending in ("jpg", "webp") else {}))
    picture = read_picture(path)
    assert picture.pixels.shape == (24, 40, 4) and picture.pixels.dtype == np.float32
    assert not picture.is_cut_out
    assert np.allclose(picture.pixels[4, 6, :3] * 255, (200, 30, 10), atol=12)
    assert np.allclose(picture.pixels[18, 30, :3] * 255, (10, 20, 220), atol=12)


def test_turns_a_photo_as_its_exif_says(photo: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    photo.save(tmp_path / "upright.png", exif=exif)
    pixels = read_picture(tmp_path / "upright.png").pixels
    assert pixels.shape == (40, 24, 4)
    assert pixels[4, 4, 2] > 0.8 and pixels[4, 20, 0] > 0.7  # the lower half is on the left now


def test_cmyk_palette_grey_and_sixteen_bits(photo: Image.Image, tmp_path: Path) -> None:
    photo.convert("CMYK").save(tmp_path / "cmyk.tiff")
    assert np.allclose(read_picture(tmp_path / "cmyk.tiff").pixels[4, 6, :3] * 255, (200, 30, 10), atol=3)

    palette = photo.quantize(8)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((30, 4)))
    cut = read_picture(tmp_path / "palette.png")
    assert cut.is_cut_out
    assert cut.pixels[4, 30, 3] == 0 and cut.pixels[4, 6, 3] == 1

    deep = np.linspace(0, 65535, 24 * 40).reshape(24, 40).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    grey = read_picture(tmp_path / "deep.png").pixels
    assert np.allclose(grey[..., 1], deep / 65535, atol=1 / 255)
    assert (grey[..., 3] == 1).all()

    photo.convert("LA").save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png").pixels.shape == (24, 40, 4)


def test_a_colour_profile_is_applied_and_a_broken_one_passed_over(photo: Image.Image, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.save(tmp_path / "tagged.png", icc_profile=profile)
    photo.save(tmp_path / "broken.png", icc_profile=b"no profile")
    for name in ("tagged.png", "broken.png"):
        assert np.allclose(read_picture(tmp_path / name).pixels[4, 6, :3] * 255, (200, 30, 10), atol=2)


def test_a_large_picture_is_scaled_down(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1500), (50, 60, 70)).save(tmp_path / "large.jpg")
    assert max(read_picture(tmp_path / "large.jpg").pixels.shape) <= LARGEST


def _bomb() -> bytes:
    """The first bytes of a PNG that says it has 20,000 × 20,000 pixels."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("text.png", b"this is no picture", "is not a picture"),
        ("empty.png", b"", "is not a picture"),
        ("bomb.png", _bomb(), "million pixels"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_picture(tmp_path / name)


def test_missing_tiny_damaged_and_transparent_pictures_are_refused(photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no picture"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(InputError, match="There is no picture"):
        read_picture(tmp_path)
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(InputError, match="only 1 × 1 pixels"):
        read_picture(tmp_path / "dot.png")
    photo.save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-60])
    with pytest.raises(InputError, match="damaged"):
        read_picture(tmp_path / "half.png")
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match="fully transparent"):
        read_picture(tmp_path / "clear.png")


def test_a_mask_is_brought_to_the_pictures_size(photo: Image.Image, tmp_path: Path) -> None:
    photo.resize((80, 48)).save(tmp_path / "photo.png")
    mask = np.zeros((24, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    picture = read_picture(tmp_path / "photo.png")
    values = read_mask(tmp_path / "mask.png", picture)
    assert values.shape == (48, 80)
    assert (values[:, :36] == 1).all() and (values[:, 44:] == 0).all()
    Image.fromarray(mask.T.copy()).save(tmp_path / "turned.png")
    with pytest.raises(InputError, match="proportions"):
        read_mask(tmp_path / "turned.png", picture)
