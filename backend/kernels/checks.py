"""What every operation asks of its tensors, with one sentence for whatever is wrong."""

import torch


def check_cloud(name: str, cloud: torch.Tensor, *, channels: int | None = 3) -> None:
    """Raise TypeError or ValueError unless cloud is a float32 tensor (B, N, channels) with B ≥ 1 and N ≥ 1.

    On the CPU every value must be finite. On a GPU that is not looked at, because looking would wait for the device.
    """
    check_tensor(name, cloud, torch.float32)
    wanted = f"(B, N, {channels if channels is not None else 'C'})"
    if cloud.ndim != 3 or (channels is not None and cloud.shape[2] != channels):
        raise ValueError(f"{name} must have the shape {wanted}, not {tuple(cloud.shape)}.")
    if cloud.numel() == 0:
        raise ValueError(f"{name} is empty (shape {tuple(cloud.shape)}): give at least one point in every cloud.")
    check_finite(name, cloud)


def check_tensor(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> None:
    """Raise TypeError unless tensor is a torch tensor of that dtype."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, not {type(tensor).__name__}.")
    if tensor.dtype != dtype:
        wanted = str(dtype).removeprefix("torch.")
        raise TypeError(f"{name} must be {wanted}, not {tensor.dtype}: convert it with .to(torch.{wanted}).")


def check_finite(name: str, tensor: torch.Tensor) -> None:
    """Raise ValueError where a CPU tensor holds NaN or infinity."""
    # A sum is not finite if any term is not, and is far cheaper than a mask; only a doubtful sum is looked into.
    if tensor.device.type == "cpu" and not torch.isfinite(tensor.detach().sum()) and not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinite values: remove those points first.")


def check_same_device(**tensors: torch.Tensor | None) -> None:
    """Raise ValueError unless all given tensors lie on one device."""
    devices = {name: tensor.device for name, tensor in tensors.items() if tensor is not None}
    if len(set(devices.values())) > 1:
        where = ", ".join(f"{name} on {device}" for name, device in devices.items())
        raise ValueError(f"All tensors must be on one device, but {where}.")


def check_same_batch(a_name: str, a: torch.Tensor, b_name: str, b: torch.Tensor) -> None:
    """Raise ValueError unless both have the same number of clouds."""
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"{a_name} has {a.shape[0]} clouds but {b_name} has {b.shape[0]}: they must pair up.")


def check_lengths(name: str, lengths: torch.Tensor | None, cloud: torch.Tensor) -> torch.Tensor:
    """The number of valid points of each cloud as int64 (B,) on the CPU; all of them where lengths is None."""
    batch, count = cloud.shape[:2]
    if lengths is None:
        return torch.full((batch,), count, dtype=torch.int64)
    if not isinstance(lengths, torch.Tensor) or lengths.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"{name} must be an int64 tensor of shape ({batch},).")
    if lengths.shape != (batch,):
        raise ValueError(f"{name} must have the shape ({batch},), not {tuple(lengths.shape)}.")
    on_cpu = lengths.to("cpu", torch.int64)
    if bool((on_cpu < 1).any()) or bool((on_cpu > count).any()):
        raise ValueError(f"{name} must lie between 1 and {count}, the number of points that a cloud has room for.")
    return on_cpu
