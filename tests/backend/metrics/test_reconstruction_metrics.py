"""Each figure against the published definition, written out with a full distance matrix."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import directed_hausdorff

from backend.metrics import (
    chamfer_l1,
    chamfer_l2,
    f_score,
    hausdorff_distance,
    normal_consistency,
    unidirectional_hausdorff_distance,
    volumetric_iou,
)


def clouds() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(3, 70, 3, generator=random) - 0.5, torch.rand(3, 90, 3, generator=random) - 0.5


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")


def test_chamfer_distances_as_pcn_and_pointr_print_them() -> None:
    a, b = clouds()
    between = distances(a, b)
    forth, back = between.amin(2), between.amin(1)
    torch.testing.assert_close(chamfer_l1(a, b).double(), (forth.mean(1) + back.mean(1)) / 2, rtol=1e-5, atol=0)
    expected = forth.square().mean(1) + back.square().mean(1)
    torch.testing.assert_close(chamfer_l2(a, b).double(), expected, rtol=1e-5, atol=0)


def test_chamfer_by_hand() -> None:
    a, b = torch.zeros(1, 2, 3), torch.tensor([[[0.0, 0, 0], [0, 3, 0], [0, 0, 4]]])
    assert float(chamfer_l1(a, b)) == pytest.approx((0 + 7 / 3) / 2)
    assert float(chamfer_l2(a, b)) == pytest.approx(0 + 25 / 3)


@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.3])
def test_f_score(threshold: float) -> None:
    a, b = clouds()
    between = distances(a, b)
    precision = (between.amin(2) < threshold).double().mean(1)
    recall = (between.amin(1) < threshold).double().mean(1)
    expected = torch.nan_to_num(2 * precision * recall / (precision + recall))
    torch.testing.assert_close(f_score(a, b, threshold).double(), expected, rtol=1e-6, atol=1e-7)
    assert f_score(a, a, threshold).tolist() == [1, 1, 1]
    assert f_score(a, b + 100, threshold).tolist() == [0, 0, 0]


def test_hausdorff_distances() -> None:
    a, b = clouds()
    for i in range(3):
        forth, back = (directed_hausdorff(x[i].numpy(), y[i].numpy())[0] for x, y in ((a, b), (b, a)))
        assert float(unidirectional_hausdorff_distance(a, b)[i]) == pytest.approx(forth, rel=1e-5)
        assert float(hausdorff_distance(a, b)[i]) == pytest.approx(max(forth, back), rel=1e-5)
    assert float(unidirectional_hausdorff_distance(a[:, :10], a).max()) == 0


def test_normal_consistency() -> None:
    a, b = clouds()
    random = torch.Generator().manual_seed(1)
    a_normals, b_normals = torch.randn(a.shape, generator=random), torch.randn(b.shape, generator=random)
    between = distances(a, b).numpy()
    unit_a = (a_normals / a_normals.norm(dim=2, keepdim=True)).numpy()
    unit_b = (b_normals / b_normals.norm(dim=2, keepdim=True)).numpy()
    for i in range(3):
        accuracy = np.abs((unit_a[i] * unit_b[i][between[i].argmin(1)]).sum(1)).mean()
        completeness = np.abs((unit_b[i] * unit_a[i][between[i].argmin(0)]).sum(1)).mean()
        expected = (accuracy + completeness) / 2
        assert float(normal_consistency(a, a_normals, b, b_normals)[i]) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(normal_consistency(a, a_normals, a, -7 * a_normals), torch.ones(3))


def test_volumetric_iou() -> None:
    prediction = torch.tensor([[[True, True, False]], [[False] * 3], [[True] * 3]])
    truth = torch.tensor([[[False, True, True]], [[False] * 3], [[False] * 3]])
    torch.testing.assert_close(volumetric_iou(prediction, truth), torch.tensor([1 / 3, 1.0, 0.0]))


def test_iou_of_two_balls_is_near_the_exact_volumes() -> None:
    axis = torch.linspace(-1, 1, 100)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    shift = torch.tensor([0.25, 0.0, 0.0])
    balls = [((grid - s).norm(dim=-1) < 0.5)[None] for s in (shift, -shift)]
    lens = np.pi * (4 * 0.5 + 0.5) * (2 * 0.5 - 0.5) ** 2 / 12  # radius 0.5, centres 0.5 apart
    ball = 4 / 3 * np.pi * 0.5**3
    assert float(volumetric_iou(*balls)) == pytest.approx(lens / (2 * ball - lens), abs=0.01)


def test_bad_input_is_named() -> None:
    a, b = clouds()
    with pytest.raises(ValueError, match="threshold"):
        f_score(a, b, 0)
    with pytest.raises(TypeError, match="bool"):
        volumetric_iou(a, a)
    with pytest.raises(ValueError, match="shape"):
        volumetric_iou(a > 0, b > 0)
    with pytest.raises(ValueError, match="truth_normals"):
        normal_consistency(a, a, b, a)
    with pytest.raises(ValueError, match="clouds"):
        chamfer_l1(a, b[:1])
