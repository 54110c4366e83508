"""Where an operation is computed, and how tensors get there and back."""

import warnings

import torch

_warned: set[str] = set()


def fall_back_to_cpu(device: torch.device, reason: str) -> torch.device:
    """The CPU, with one warning a process for each kind of device and reason."""
    key = f"{device.type}: {reason}"
    if key not in _warned:
        _warned.add(key)
        warnings.warn(f"Gen3D's kernels compute on the CPU for tensors on {device.type!r}: {reason}.", stacklevel=3)
    return torch.device("cpu")


def computing_device(device: torch.device, *, cuda: bool = True) -> torch.device:
    """The device that computes for tensors on `device`: itself where a kernel exists for it, else the CPU.

    cuda: whether the operation has a CUDA kernel. AMD GPUs call themselves "cuda" in torch but cannot run one.
    """
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        return fall_back_to_cpu(device, "there are no kernels for this kind of device")
    if torch.version.hip is not None:
        return fall_back_to_cpu(device, "there are no kernels for AMD GPUs")
    if not cuda:
        return fall_back_to_cpu(device, "this operation has no CUDA kernel")
    from .cuda import why_not_available

    reason = why_not_available()
    return device if reason is None else fall_back_to_cpu(device, reason)
