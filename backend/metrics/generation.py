"""How well a set of generated shapes stands for a set of real ones.

All take matrices of `pairwise_distances`, so that one matrix serves them all. PVD's and LION's protocol: as many
generated shapes as reference shapes, 2,048 points each, in the unit of the data set's files (both undo their
normalisation by the training set's mean and standard deviation before they measure), with "chamfer" for the CD columns
and "approximate earth movers" for the EMD columns.
"""

import torch

from .pairwise import pairwise_distances


def minimum_matching_distance(generated_to_reference: torch.Tensor) -> float:
    """MMD: the mean over reference shapes of the distance to the nearest generated one; fidelity, lower is better.

    generated_to_reference: (S, R) float32. In the distance's unit. Source: Achlioptas et al., "Learning representations
    and generative models for 3D point clouds", 2018, §2.
    """
    _check_matrix("generated_to_reference", generated_to_reference)
    return float(generated_to_reference.amin(dim=0).mean())


def coverage(generated_to_reference: torch.Tensor) -> float:
    """COV: the share of reference shapes that are the nearest one of some generated shape; diversity, in [0, 1].

    generated_to_reference: (S, R) float32. Source: Achlioptas et al. 2018, §2.
    """
    _check_matrix("generated_to_reference", generated_to_reference)
    return len(generated_to_reference.argmin(dim=1).unique()) / generated_to_reference.shape[1]


def one_nearest_neighbor_accuracy(
    generated_to_generated: torch.Tensor, generated_to_reference: torch.Tensor, reference_to_reference: torch.Tensor
) -> float:
    """1-NNA: how often a shape's nearest other shape is of its own set; 0.5 means that the sets cannot be told apart.

    generated_to_generated: (S, S), generated_to_reference: (S, R), reference_to_reference: (R, R) float32; the
    diagonals of the square ones are not looked at. In [0, 1]; tables show it in percent. Of equally near shapes the
    generated one counts. Where the distance is not symmetric, the one from the other shape to the shape counts, and
    PVD's value needs generated_to_reference as the transposed matrix of reference to generated shapes. Source: Yang et
    al., "PointFlow", 2019, §4.1, eq. 11; used by PVD and LION.
    """
    samples, references = generated_to_reference.shape
    for name, matrix, size in (
        ("generated_to_generated", generated_to_generated, samples),
        ("reference_to_reference", reference_to_reference, references),
    ):
        if matrix.shape != (size, size):
            raise ValueError(f"{name} must have the shape ({size}, {size}), not {tuple(matrix.shape)}.")
    if samples + references < 2 or samples == 0 or references == 0:
        raise ValueError("1-NNA needs at least one generated and one reference shape.")
    everything = torch.cat(
        [
            torch.cat([generated_to_generated, generated_to_reference], dim=1),
            torch.cat([generated_to_reference.T, reference_to_reference], dim=1),
        ]
    ).clone()
    everything.fill_diagonal_(torch.inf)
    is_generated = torch.arange(samples + references, device=everything.device) < samples
    nearest_is_generated = everything.argmin(dim=0) < samples
    return float((nearest_is_generated == is_generated).float().mean())


def total_mutual_difference(completions: torch.Tensor) -> float:
    """TMD: how much the completions of one input differ: the sum over them of the mean Chamfer distance to the others.

    completions: (K, N, 3) float32, K ≥ 2; papers take K = 10 and 2,048 points and show the mean over inputs. The
    Chamfer distance is the sum of both mean squared nearest distances; in the points' unit squared. Source: Wu et al.
    2020 (multimodal shape completion), §4; AutoSDF and SDFusion use it.
    """
    if len(completions) < 2:
        raise ValueError(f"TMD needs at least 2 completions, not {len(completions)}.")
    return float(pairwise_distances(completions).sum() / (len(completions) - 1))


def _check_matrix(name: str, matrix: torch.Tensor) -> None:
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise ValueError(f"{name} must be a matrix (S, R) with S, R ≥ 1, not {tuple(matrix.shape)}.")
