"""The figures that published code gave for the points which this file draws from NumPy's seeded generator."""

import numpy as np
import pytest
import torch

from backend.metrics import (
    chamfer_l1,
    chamfer_l2,
    coverage,
    f_score,
    hausdorff_distance,
    minimum_matching_distance,
    normal_consistency,
    one_nearest_neighbor_accuracy,
    pairwise_distances,
    psnr,
    ssim,
    total_mutual_difference,
    unidirectional_hausdorff_distance,
    volumetric_iou,
)

RANDOM_STATE = 2026


def generated_and_reference() -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of stretched and shifted Gaussian clouds, (6, 128, 3) and (8, 128, 3) float32."""
    random = np.random.default_rng(RANDOM_STATE)
    sets = []
    for count in (6, 8):
        clouds = random.normal(size=(count, 128, 3)) * random.uniform(0.1, 0.3, (count, 1, 3))
        sets.append(torch.from_numpy((clouds + 0.05 * random.normal(size=(count, 1, 3))).astype(np.float32)))
    return sets[0], sets[1]


def surfaces() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points and normals of a sphere and of an ellipsoid, (3, 200, 3) and (3, 256, 3) float32."""
    random = np.random.default_rng(RANDOM_STATE + 1)
    arrays = []
    for count, axes in ((200, (0.4, 0.4, 0.4)), (256, (0.4, 0.36, 0.44))):
        directions = random.normal(size=(3, count, 3))
        directions /= np.linalg.norm(directions, axis=2, keepdims=True)
        arrays += [directions * axes, directions / axes]
    return tuple(torch.from_numpy(a.astype(np.float32)) for a in arrays)  # type: ignore[return-value]


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture and the same with noise, both (2, 3, 32, 40) float64 in [0, 1]."""
    random = np.random.default_rng(RANDOM_STATE + 2)
    rows, columns = np.linspace(0, 3, 32)[:, None], np.linspace(0, 4, 40)
    phases = random.uniform(0, 6, (2, 3, 1, 1))
    smooth = 0.5 + 0.4 * np.sin(rows * columns + phases)
    noisy = np.clip(smooth + 0.1 * random.normal(size=smooth.shape), 0, 1)
    return torch.from_numpy(smooth), torch.from_numpy(noisy)


def occupancies() -> tuple[torch.Tensor, torch.Tensor]:
    """(4, 1000) bool each, seven in ten of the places alike."""
    random = np.random.default_rng(RANDOM_STATE + 3)
    truth = random.random((4, 1000)) < 0.4
    return torch.from_numpy(truth ^ (random.random((4, 1000)) < 0.3)), torch.from_numpy(truth)


def test_pairwise_chamfer_and_generation_metrics_of_pvd() -> None:
    generated, reference = generated_and_reference()
    between = pairwise_distances(generated, reference)
    # alexzhou907/PVD 9747265, metrics/evaluation_metrics.py, _pairwise_EMD_CD_, with the squared nearest distances of
    # ThibaultGROUEIX/ChamferDistancePytorch 364c03c, chamfer_python.py, distChamfer
    row = [0.03849458, 0.08223416, 0.02596972, 0.04033521, 0.05494159, 0.02763284, 0.05544357, 0.02125758]
    np.testing.assert_allclose(between[0], row, rtol=1e-6)
    # compute_all_metrics of the same file; knn and lgan_mmd_cov of nv-tlabs/LION 7711b3d,
    # utils/evaluation_metrics_fast.py, give the same three figures
    assert minimum_matching_distance(between) == pytest.approx(0.03187771, rel=1e-6)
    assert coverage(between) == 0.375
    accuracy = one_nearest_neighbor_accuracy(pairwise_distances(generated), between, pairwise_distances(reference))
    assert accuracy == pytest.approx(4 / 14)


def test_approximate_earth_movers_distance_and_generation_metrics_of_pvd() -> None:
    generated, reference = generated_and_reference()
    # alexzhou907/PVD 9747265, _pairwise_EMD_CD_ and compute_all_metrics over the kernels approxmatch and matchcost of
    # metrics/PyTorchEMD/cuda/emd_kernel.cu, run on the CPU as one thread; LION 7711b3d has the same kernels
    row = [0.123318, 0.198676, 0.112514, 0.115345, 0.121544, 0.073435, 0.133525, 0.093201]
    np.testing.assert_allclose(
        pairwise_distances(generated[:1], reference, "approximate earth movers")[0], row, rtol=3e-5
    )
    between = pairwise_distances(reference, generated, "approximate earth movers").T
    assert minimum_matching_distance(between) == pytest.approx(0.0814952, rel=3e-5)
    assert coverage(between) == 0.25
    itself = [pairwise_distances(shapes, distance="approximate earth movers") for shapes in (generated, reference)]
    assert one_nearest_neighbor_accuracy(itself[0], between, itself[1]) == pytest.approx(6 / 14)


def test_earth_movers_distance_of_pointflow() -> None:
    generated, reference = generated_and_reference()
    # stevenygd/PointFlow 26e8c26, metrics/evaluation_metrics.py, emd_approx (the best bijection by SciPy)
    row = [0.2153219, 0.3047881, 0.1873699, 0.2165839, 0.2177467, 0.1625598, 0.2288903, 0.1589978]
    np.testing.assert_allclose(
        pairwise_distances(generated[:1], reference, "earth movers", epsilon=1e-4)[0], row, rtol=1e-4
    )


def test_reconstruction_metrics_of_pointr() -> None:
    prediction, _, truth, _ = surfaces()
    # yuxumin/PoinTr 2e53e72, utils/metrics.py, Metrics with Open3D 0.20.0 and extensions/chamfer_dist/__init__.py,
    # both Chamfer distances as it prints them, ×10³
    np.testing.assert_allclose(1000 * chamfer_l1(prediction, truth), [53.544434, 53.488411, 51.244480], rtol=1e-6)
    np.testing.assert_allclose(1000 * chamfer_l2(prediction, truth), [7.0283294, 6.7474933, 6.2197914], rtol=1e-6)
    np.testing.assert_allclose(f_score(prediction, truth), [0.00438596] * 3, rtol=1e-5)
    np.testing.assert_allclose(f_score(prediction, truth, 0.05), [0.5086272, 0.4774907, 0.5100516], rtol=1e-6)
    # ThibaultGROUEIX/ChamferDistancePytorch 364c03c, fscore.py, fscore, whose threshold 0.001 is of squared distances
    np.testing.assert_allclose(f_score(prediction, truth, 0.001**0.5), [0.2257119, 0.1554021, 0.1866474], rtol=1e-6)


def test_normal_consistency_chamfer_and_iou_of_occupancy_networks() -> None:
    # autonomousvision/occupancy_networks 406f794, im2mesh/eval.py, MeshEvaluator.eval_pointcloud
    found = surfaces()
    np.testing.assert_allclose(normal_consistency(*found), [0.9832013, 0.9828858, 0.9841343], rtol=1e-6)
    np.testing.assert_allclose(chamfer_l1(found[0], found[2]), [0.05354443, 0.05348842, 0.05124448], rtol=1e-6)
    # im2mesh/common.py, compute_iou
    np.testing.assert_allclose(
        volumetric_iou(*occupancies()), [0.46619216, 0.48736462, 0.52749139, 0.48857644], rtol=1e-6
    )


def test_completion_metrics_of_multimodal_shape_completion() -> None:
    prediction, _, truth, _ = surfaces()
    completions, reference = generated_and_reference()
    # ChrisWu1997/Multimodal-Shape-Completion 2b91571, evaluation/completeness.py, directed_hausdorff and process_one
    found = unidirectional_hausdorff_distance(prediction, truth)
    np.testing.assert_allclose(found, [0.11248241, 0.11642964, 0.11604420], rtol=1e-6)
    of_each = unidirectional_hausdorff_distance(reference[:1].expand(6, -1, -1), completions)
    assert float(of_each.mean()) == pytest.approx(0.37100003, rel=1e-6)
    # evaluation/total_mutual_diff.py, process_one
    assert total_mutual_difference(completions) == pytest.approx(0.21720222, rel=1e-6)


def test_image_metrics_of_scikit_image() -> None:
    # scikit-image 0.26.0, skimage.metrics: peak_signal_noise_ratio, and structural_similarity with Wang's settings
    # (gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    np.testing.assert_allclose(psnr(*pictures()), [20.45437361821023, 20.366961035760568], rtol=1e-12)
    np.testing.assert_allclose(ssim(*pictures()), [0.6415759916803112, 0.6507186899378549], rtol=1e-12)


def test_hausdorff_distance_of_scikit_image() -> None:
    random = np.random.default_rng(RANDOM_STATE + 4)
    clouds = [
        torch.from_numpy(np.argwhere(random.random((12, 12, 12)) < 0.01).astype(np.float32))[None] for _ in range(2)
    ]
    # scikit-image 0.26.0, skimage.metrics.hausdorff_distance of the two voxel grids
    assert float(hausdorff_distance(*clouds)) == pytest.approx(22**0.5, rel=1e-6)
