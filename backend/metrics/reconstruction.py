"""How near a reconstructed or completed shape is to the true one."""

import torch

from ..kernels import chamfer_distance, chamfer_distance_l1, nearest_neighbors


def chamfer_l1(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Chamfer-L1 as PCN and PoinTr report it: half the sum of both mean plain nearest distances.

    prediction: (B, N, 3) float32. truth: (B, M, 3) float32. Returns (B,) float32 in the points' unit; tables show it
    ×10³, of shapes as the data set normalises them (PCN: ShapeNet's unit box). Source: Yuan et al., "PCN", 2018, §5.1,
    with PoinTr's code (Yu et al. 2021). Not squared, in spite of what some call L1.
    """
    return chamfer_distance_l1(prediction, truth, reduction="none")


def chamfer_l2(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Chamfer-L2 as PoinTr reports it: the sum (not half of it) of both mean squared nearest distances.

    Shapes as chamfer_l1. Returns (B,) float32 in the points' unit squared; tables show it ×10³. Source: Yu et al.,
    "PoinTr", 2021, §4.1; PVD and LION use the same as their CD.
    """
    return chamfer_distance(prediction, truth, reduction="none")


def f_score(prediction: torch.Tensor, truth: torch.Tensor, threshold: float = 0.01) -> torch.Tensor:
    """Harmonic mean of precision and recall at a distance: the shares of prediction and of truth nearer than threshold.

    Shapes as chamfer_l1; threshold in the points' unit (plain, not squared); 0.01 is PoinTr's F-Score@1%.
    Returns (B,) float32 in [0, 1], 0 where nothing is near. Source: Tatarchenko et al., "What do single-view 3D
    reconstruction networks learn?", 2019, §5.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, not {threshold}.")
    precision = (_distances(prediction, truth) < threshold).float().mean(dim=1)
    recall = (_distances(truth, prediction) < threshold).float().mean(dim=1)
    return 2 * precision * recall / (precision + recall).clamp(min=torch.finfo(torch.float32).tiny)


def hausdorff_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The greatest distance from a point of either cloud to the other cloud.

    a: (B, N, 3) float32. b: (B, M, 3) float32. Returns (B,) float32 in the points' unit.
    """
    return torch.maximum(unidirectional_hausdorff_distance(a, b), unidirectional_hausdorff_distance(b, a))


def unidirectional_hausdorff_distance(partial: torch.Tensor, completion: torch.Tensor) -> torch.Tensor:
    """UHD: the greatest distance from a point of the partial input to the completion; 0 keeps all that was given.

    partial: (B, N, 3) float32. completion: (B, M, 3) float32. Returns (B,) float32 in the points' unit, not squared;
    papers show the mean over inputs and over ten completions of each. Source: Wu et al., "Multimodal shape completion
    via conditional generative adversarial networks", 2020, §4; AutoSDF and SDFusion use it.
    """
    return _distances(partial, completion).amax(dim=1)


def normal_consistency(
    prediction: torch.Tensor, prediction_normals: torch.Tensor, truth: torch.Tensor, truth_normals: torch.Tensor
) -> torch.Tensor:
    """The mean absolute cosine between the normals at each point and at the other surface's nearest point, both ways.

    prediction, prediction_normals: (B, N, 3) float32; truth, truth_normals: (B, M, 3) float32. Normals need not have
    unit length; one of length 0 counts 0. Returns (B,) float32 in [0, 1]. Source: Mescheder et al., "Occupancy
    Networks", 2019, §4 and its code: the absolute value, because meshes may be wound either way, and the mean of both
    directions.
    """
    for name, points, normals in (
        ("prediction_normals", prediction, prediction_normals),
        ("truth_normals", truth, truth_normals),
    ):
        if normals.shape != points.shape:
            raise ValueError(f"{name} must have its points' shape {tuple(points.shape)}, not {tuple(normals.shape)}.")
    prediction_normals = torch.nn.functional.normalize(prediction_normals, dim=-1)
    truth_normals = torch.nn.functional.normalize(truth_normals, dim=-1)
    accuracy = _cosines(prediction, prediction_normals, truth, truth_normals)
    completeness = _cosines(truth, truth_normals, prediction, prediction_normals)
    return (accuracy + completeness) / 2


def volumetric_iou(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Intersection over union of two volumes, given whether the same places are inside each.

    prediction, truth: (B, ...) bool, over a grid or over points drawn uniformly from the bounds (Occupancy Networks
    draws 100,000). Returns (B,) float32 in [0, 1]; 1 where both are empty. Source: Mescheder et al. 2019, §4.
    """
    if prediction.dtype != torch.bool or truth.dtype != torch.bool:
        raise TypeError(
            f"Occupancies must be bool, not {prediction.dtype} and {truth.dtype}: compare them first, as in sdf < 0."
        )
    if prediction.shape != truth.shape or prediction.ndim < 2:
        raise ValueError(
            f"Occupancies must share a shape (B, ...), not {tuple(prediction.shape)}, {tuple(truth.shape)}."
        )
    intersection = (prediction & truth).flatten(1).sum(dim=1)
    union = (prediction | truth).flatten(1).sum(dim=1)
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


def _distances(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """From every point of source to the nearest of target, (B, N)."""
    squared, _ = nearest_neighbors(source.detach(), target.detach())
    return squared.sqrt()


def _cosines(
    source: torch.Tensor, source_normals: torch.Tensor, target: torch.Tensor, target_normals: torch.Tensor
) -> torch.Tensor:
    _, index = nearest_neighbors(source.detach(), target.detach())
    matched = target_normals.gather(1, index[..., None].expand(-1, -1, 3))
    return (source_normals * matched).sum(dim=-1).abs().mean(dim=1)
