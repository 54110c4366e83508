"""Launching NVIDIA Warp kernels on torch tensors. Warp compiles without a toolkit and keeps the result on disk."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import warp as wp

wp.config.log_level = wp.LOG_ERROR  # its greeting would go to standard output, and it warns where there is no GPU
wp.init()
# Kernels are told apart by module; none of them is ever differentiated, so Warp need not write their adjoints.
OPTIONS = {"enable_backward": False}
# Warp deprecates a few names between versions; what it says of them is for us, not for users.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="warp")


@contextmanager
def on_stream_of(tensor: torch.Tensor) -> Iterator[Any]:
    """The Warp device of a tensor, with Warp's work queued behind torch's on the same stream."""
    device = wp.device_from_torch(tensor.device)
    if tensor.device.type == "cuda":
        with wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(tensor.device))):
            yield device
    else:
        yield device


def array_of(tensor: torch.Tensor, dtype: Any = None) -> Any:
    """A Warp array that shares a contiguous tensor's memory; (…, 3) float32 as vectors with dtype wp.vec3."""
    return wp.from_torch(tensor.contiguous(), dtype=dtype)
