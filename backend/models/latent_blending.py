"""Between shapes: blends of latents, and the weights of a walk from one to the next.

blend([chair, sofa], [0.5, 0.5], components=space.components)          halfway, along a straight line
linear_blend([a, b, c], [1, 1, -1])                                    latent arithmetic: a + b − c
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .principal_components import PrincipalComponents

MEAN_ITERATIONS = 20
OPPOSITE = 1e-3
"""Directions whose mean is shorter than this point opposite ways: no arc between them is the shortest."""


def walk_weights(count: int, places: Sequence[float]) -> np.ndarray:
    """The weights (len(places), count) float64 on a walk through `count` shapes in their order, at places from 0, the
    first shape, to count − 1, the last; each row adds up to 1, and has one or two neighbouring entries that are not 0.
    """
    return np.maximum(0, 1 - np.abs(np.asarray(places)[:, None] - np.arange(count))).round(12)


def blend(
    latents: Sequence[Tensor], weights: Sequence[float], *, components: PrincipalComponents, path: str = "linear"
) -> Tensor:
    """One latent (C, 8, 8, 8) float32 between `latents` of that shape: `path` is "linear" or "spherical".

    A shape that has all of the weight comes out as it is, bit for bit. Raises InputError as the two below do.
    """
    shares = _shares(latents, weights)
    if path == "linear":
        return linear_blend(latents, weights)
    if path != "spherical":
        raise InputError(f"The path must be 'linear' or 'spherical', not {path!r}.")
    alone = [latent for latent, share in zip(latents, shares, strict=True) if share == 1]
    return alone[0].clone() if alone else spherical_blend(latents, weights, components)


def linear_blend(latents: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ wᵢ zᵢ / Σ wᵢ: with weights 1, 1, −1 latent arithmetic (Mikolov et al. 2013, Wu et al., "3D-GAN", 2016, §4.3).

    Raises InputError when there is not one weight for each latent, or when they add up to 0.
    """
    shares = _shares(latents, weights)
    terms = [share * latent for share, latent in zip(shares, latents, strict=True) if share]
    return torch.stack(terms).sum(0)


def spherical_blend(latents: Sequence[Tensor], weights: Sequence[float], components: PrincipalComponents) -> Tensor:
    """The weighted mean on the sphere, of whitened coefficients.

    There shapes lie near a sphere, as all draws of many independent unit normals do, and a straight line cuts through
    its empty inside. The direction is the spherical weighted average (Buss and Fillmore 2001; for two shapes that is
    Shoemake's slerp, 1985), the length and what the components leave over are blended linearly.

    Raises InputError for negative weights and for shapes that lie exactly opposite one another.
    """
    shares = torch.tensor(_shares(latents, weights))
    if (shares < 0).any():
        raise InputError("The spherical path takes no negative weights: choose the linear one.")
    stacked = torch.stack(list(latents))
    whitened = components.whiten(stacked)
    rest = linear_blend(list(stacked - components.restore(whitened)), weights)
    coefficients = whitened.double()
    shares = shares.to(coefficients)
    lengths = coefficients.norm(dim=1)
    directions = coefficients / lengths.clamp(min=1e-12)[:, None]
    mean = shares @ directions
    if mean.norm() < OPPOSITE:
        raise InputError("The shapes lie exactly opposite one another: choose the linear path.")
    mean = mean / mean.norm()
    for _ in range(MEAN_ITERATIONS):
        mean = _from_tangent(mean, shares @ _to_tangent(mean, directions))
    blended = (shares @ lengths) * mean
    return components.restore(blended.to(whitened)[None])[0] + rest


def _shares(latents: Sequence[Tensor], weights: Sequence[float]) -> list[float]:
    """The weights, made to add up to 1."""
    if not len(latents) or len(weights) != len(latents):
        raise InputError(f"There must be one weight for each shape: {len(latents)} shapes, {len(weights)} weights.")
    total = float(sum(weights))
    if abs(total) < 1e-9 or not np.isfinite(total):
        raise InputError("The weights of the shapes add up to 0: raise one of them.")
    return [float(weight) / total for weight in weights]


def _to_tangent(center: Tensor, directions: Tensor) -> Tensor:
    """Where unit vectors (N, K) lie as seen from the unit vector `center` (K,): along each arc, as long as it is."""
    cosine = (directions @ center).clamp(-1, 1)
    across = directions - cosine[:, None] * center
    return across / across.norm(dim=1, keepdim=True).clamp(min=1e-12) * torch.arccos(cosine)[:, None]


def _from_tangent(center: Tensor, arc: Tensor) -> Tensor:
    """The unit vector at the end of `arc` (K,), which is tangent at `center`."""
    length = arc.norm()
    moved = center * torch.cos(length) + arc / length.clamp(min=1e-12) * torch.sin(length)
    return moved / moved.norm()
