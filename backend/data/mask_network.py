"""Telling an object from its ground by a network: ONNX files of the kind that the `rembg` package uses.

U²-Net (Qin et al., "U²-Net: Going Deeper with Nested U-Structure for Salient Object Detection", 2020) sees pictures of
320 pixels, IS-Net (Qin et al., "Highly Accurate Dichotomous Image Segmentation", 2022) of 1024; both answer with a map
of how likely each pixel is the object's, whose range is then stretched to [0, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError, MachineError

U2NET = 320, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ISNET = 1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)
"""The side of the pictures, and the mean and the deviation that their colours are brought to 0 and 1 from."""
FLAT = 1e-6
"""A map whose range is smaller finds nothing."""


class MaskNetwork:
    """A network of one of those kinds. Make it with `load`."""

    def __init__(self, session: Any, size: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        self.session, self.size = session, size
        self.mean, self.deviation = np.array(mean, np.float32), np.array(deviation, np.float32)

    @classmethod
    def load(cls, path: Path) -> MaskNetwork:
        """Reads an ONNX file; it runs on the CPU.

        Raises MachineError where onnxruntime is missing, InputError for a file that is no such network.
        """
        if not path.is_file():
            raise InputError(f"There is no mask model '{path}'.")
        try:
            import onnxruntime
        except ImportError as error:
            raise MachineError(
                "A mask model needs the package 'onnxruntime': install requirements/published_models.txt with 'python "
                "-m pip install -r requirements/published_models.txt -c requirements/constraints.txt'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own types have no base but this
            raise InputError(f"'{path}' is no ONNX file that can be run: fetch it again.") from error
        asked = session.get_inputs()
        shape = asked[0].shape if len(asked) == 1 else []
        for size, mean, deviation in (U2NET, ISNET):
            if shape[1:] == [3, size, size]:
                return cls(session, size, mean, deviation)
        raise InputError(
            f"'{path}' is no mask model: it takes {shape}; U²-Net and IS-Net take pictures of 320 and 1024 pixels."
        )

    def __call__(self, srgb: np.ndarray) -> np.ndarray:
        """Where the object is: (H, W) float32 in [0, 1], from a picture (H, W, 3) float32 sRGB; all 0 where the network
        sees none."""
        height, width = srgb.shape[:2]
        image = Image.fromarray(np.rint(srgb * 255).astype(np.uint8))
        small = np.asarray(image.resize((self.size, self.size), Image.Resampling.LANCZOS), np.float32)
        scaled = (small / max(float(small.max()), 1e-6) - self.mean) / self.deviation
        asked = {self.session.get_inputs()[0].name: scaled.transpose(2, 0, 1)[None].astype(np.float32)}
        likely = np.asarray(self.session.run(None, asked)[0], np.float32)[0, 0]
        low, high = float(likely.min()), float(likely.max())
        if high - low < FLAT:
            return np.zeros((height, width), np.float32)
        stretched = Image.fromarray((likely - low) / (high - low))
        return np.asarray(stretched.resize((width, height), Image.Resampling.BILINEAR), np.float32).clip(0, 1)
