"""PSNR and SSIM against SciPy's filters and known values."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from backend.metrics import psnr, ssim


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 5, 6, generator=random), (40, 50), mode="bilinear")
    return smooth, (smooth + 0.1 * torch.randn(smooth.shape, generator=random)).clamp(0, 1)


def filtered_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004 with SciPy's Gaussian, cut off at 5 pixels, over the places that see no border."""

    def mean(picture: np.ndarray) -> np.ndarray:
        return gaussian_filter(picture, 1.5, truncate=5 / 1.5)

    mean_x, mean_y = mean(x), mean(y)
    covariance = mean(x * y) - mean_x * mean_y
    spread = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))
    return float(similarity[5:-5, 5:-5].mean())


def test_ssim() -> None:
    x, y = pictures()
    expected = [
        np.mean([filtered_ssim(x[b, c].double().numpy(), y[b, c].double().numpy()) for c in range(3)]) for b in range(2)
    ]
    np.testing.assert_allclose(ssim(x.double(), y.double()), expected, rtol=1e-6)
    np.testing.assert_allclose(ssim(x, y), expected, rtol=1e-3)
    torch.testing.assert_close(ssim(x, x), torch.ones(2))
    torch.testing.assert_close(ssim(255 * x, 255 * y, value_range=255), ssim(x, y), rtol=1e-3, atol=0)


def test_psnr() -> None:
    x = torch.zeros(2, 3, 8, 8)
    y = torch.stack([torch.full((3, 8, 8), 0.1), torch.zeros(3, 8, 8)])
    found = psnr(x, y)
    assert float(found[0]) == pytest.approx(20, abs=1e-4)
    assert torch.isinf(found[1])
    assert float(psnr(255 * x, 255 * y, value_range=255)[0]) == pytest.approx(20, abs=1e-4)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_bad_pictures_are_named(metric) -> None:  # type: ignore[no-untyped-def]
    x, y = pictures()
    with pytest.raises(ValueError, match="share a shape"):
        metric(x, y[:1])
    with pytest.raises(ValueError, match="share a shape"):
        metric(x[0], y[0])
    with pytest.raises(TypeError, match="divide bytes"):
        metric((x * 255).byte(), (y * 255).byte())
    with pytest.raises(ValueError, match="value_range"):
        metric(x, y, value_range=0)


def test_a_picture_smaller_than_the_window_is_named() -> None:
    with pytest.raises(ValueError, match="11"):
        ssim(torch.rand(1, 3, 10, 30), torch.rand(1, 3, 10, 30))
