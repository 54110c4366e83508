"""How near one picture is to another."""

import torch

WINDOW = 11
DEVIATION = 1.5
LUMINANCE_CONSTANT = 0.01
CONTRAST_CONSTANT = 0.03


def psnr(prediction: torch.Tensor, truth: torch.Tensor, *, value_range: float = 1.0) -> torch.Tensor:
    """Peak signal-to-noise ratio in decibels: 10 log₁₀(value_range² / mean squared error).

    prediction, truth: (B, C, H, W) floating point, of the encoded values (sRGB as displayed, as all published figures
    are). value_range: from black to white. Returns (B,), infinite for equal pictures.
    """
    _check_pictures(prediction, truth, value_range)
    error = (prediction - truth).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(value_range**2 / error)


def ssim(prediction: torch.Tensor, truth: torch.Tensor, *, value_range: float = 1.0) -> torch.Tensor:
    """Mean structural similarity, in [-1, 1]; 1 for equal pictures.

    prediction, truth: (B, C, H, W) floating point with H, W ≥ 11; each channel by itself, then the mean, over the
    places where the 11 × 11 Gaussian window of deviation 1.5 fits. Constants 0.01 and 0.03, covariances of the weighted
    population. Code that pads with zeros and counts the border, as pytorch-ssim does, gives other values.
    Returns (B,). Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
    """
    _check_pictures(prediction, truth, value_range)
    if min(prediction.shape[2:]) < WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {WINDOW} × {WINDOW} pixels, not {tuple(prediction.shape[2:])}."
        )
    batch, channels, height, width = prediction.shape
    x = prediction.reshape(batch * channels, 1, height, width)
    y = truth.reshape(batch * channels, 1, height, width)
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x.square()
    variance_y = _blur(y * y) - mean_y.square()
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (LUMINANCE_CONSTANT * value_range) ** 2, (CONTRAST_CONSTANT * value_range) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    )
    return similarity.reshape(batch, -1).mean(dim=1)


def _blur(picture: torch.Tensor) -> torch.Tensor:
    """Weighted means over each whole window, (B, 1, H, W) to (B, 1, H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=picture.dtype, device=picture.device) - WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * DEVIATION**2))
    weights = weights / weights.sum()
    rows = torch.nn.functional.conv2d(picture, weights.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(rows, weights.view(1, 1, 1, -1))


def _check_pictures(prediction: torch.Tensor, truth: torch.Tensor, value_range: float) -> None:
    if prediction.shape != truth.shape or prediction.ndim != 4 or prediction.numel() == 0:
        raise ValueError(
            f"Pictures must share a shape (B, C, H, W), not {tuple(prediction.shape)}, {tuple(truth.shape)}."
        )
    if not prediction.is_floating_point() or not truth.is_floating_point():
        raise TypeError(f"Pictures must be floating point, not {prediction.dtype}, {truth.dtype}: divide bytes by 255.")
    if not value_range > 0:
        raise ValueError(f"value_range must be positive, not {value_range}.")
