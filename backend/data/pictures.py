"""Reading pictures: any file that Pillow knows, as sRGB with alpha."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..errors import InputError

SMALLEST = 16
"""Pixels on each side below which nothing can be recognised."""
LARGEST = 2048
"""Pixels on the longer side that a picture is scaled down to: finer than any texture made of it."""
NEARLY_OPAQUE = 250 / 255
"""An alpha channel that nowhere lies below this tells nothing of where the object is."""


@dataclass(frozen=True, eq=False)
class Picture:
    """pixels: (H, W, 4) float32 in [0, 1], sRGB and alpha, not premultiplied, row 0 on top."""

    pixels: np.ndarray

    @property
    def is_cut_out(self) -> bool:
        """Whether its own alpha tells the object from the ground."""
        return bool((self.pixels[..., 3] < NEARLY_OPAQUE).any())


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """The picture of a file, the right way up (EXIF), in sRGB whatever its colour space, at most LARGEST pixels long.

    Raises InputError, with one sentence, for a missing file, a file that is no picture or a damaged one, one of more
    pixels than is safe to decode (Pillow's limit, about 89 million), one that is too small, and a fully transparent
    one.
    """
    path = Path(path)
    image = _opened(path)
    if min(image.size) < SMALLEST:
        raise InputError(
            f"'{path.name}' has only {image.width} × {image.height} pixels: "
            f"use a picture of at least {SMALLEST} × {SMALLEST}."
        )
    try:
        image.draft("RGB", (LARGEST, LARGEST))  # a JPEG is decoded at a half, a quarter or an eighth of its size
        pixels = _srgb_and_alpha(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"'{path.name}' is damaged and cannot be read as a picture: export it again.") from error
    if not pixels[..., 3].any():
        raise InputError(f"'{path.name}' is fully transparent: there is nothing to see in it.")
    return Picture(pixels)


def read_mask(path: str | os.PathLike[str], like: Picture) -> np.ndarray:
    """A mask that the user made for a picture, (H, W) float32 in [0, 1] of its size, 1 where the object is: the mask's
    alpha where it has one, else its brightness.

    Raises InputError as `read_picture` does, and for a mask of other proportions than the picture.
    """
    mask = read_picture(path)
    values = mask.pixels[..., 3] if mask.is_cut_out else mask.pixels[..., :3].mean(axis=2)
    height, width = like.pixels.shape[:2]
    if abs(values.shape[1] * height / (values.shape[0] * width) - 1) > 0.02:
        raise InputError(
            f"The mask has the proportions {values.shape[1]} × {values.shape[0]}, the picture {width} × {height}: "
            "make the mask from the same picture."
        )
    if values.shape != (height, width):
        values = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(values, np.float32)


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(f"There is no picture '{path}'.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise InputError(f"'{path.name}' has more than {limit} million pixels: scale it down first.") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"'{path.name}' is not a picture that can be read: use PNG, JPEG, WebP, TIFF or BMP."
        ) from error
    except OSError as error:
        raise InputError(f"The picture '{path}' cannot be opened: {error.strerror or error}.") from error


def _srgb_and_alpha(image: Image.Image) -> np.ndarray:
    """(H, W, 4) float32 of a picture in whatever mode."""
    if image.mode.startswith(("I", "F")):  # 16 bits and more; what is brighter than its range allows is white
        values = np.asarray(image, np.float64)
        top = 65535.0 if image.mode.startswith("I") else 1.0
        image = Image.fromarray(np.clip(np.rint(values / top * 255), 0, 255).astype(np.uint8))
    profile = image.info.get("icc_profile")
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if has_alpha:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _to_srgb(image, profile)
    image = image.convert("RGB")
    image.putalpha(alpha if has_alpha else 255)
    if max(image.size) > LARGEST:
        image = _reduced(image)
    return np.asarray(image, np.float32) / 255


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Through the file's own colour profile; one that does not fit the picture is as good as none."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return image
    return image if converted is None else converted


def _reduced(image: Image.Image) -> Image.Image:
    """At most LARGEST pixels long; colours are averaged by their alpha."""
    image = image.convert("RGBa")
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    return image.convert("RGBA")
