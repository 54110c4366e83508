"""Telling an object from the ground of a photograph, when nothing but the picture is there.

The ground is what the picture's frame shows: a smooth change of colour across the picture, and a mixture of Gaussians
of what is left over. The object's colours are a mixture of their own, and a minimum cut decides, in turns, as in
GrabCut (Rother, Kolmogorov and Blake, 2004; edge weights as there). The mask is brought to the picture's own resolution
and its soft edges by a guided filter (He, Sun and Tang, 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from ..color import srgb_to_linear

CUT_SIZE = 192
"""Pixels on the longer side of the picture that is cut."""
FRAME = 0.05
"""Width of the frame that is taken for ground, a share of the picture's longer side."""
COMPONENTS = 5
CLUSTERING_STEPS = 8
ROUNDS = 4
SMOOTHNESS = 6.0
"""Cost of a border between object and ground where the colour does not change, in nats."""
LEAST_SPREAD = 1.5
"""Standard deviation, in Lab units, that no colour model goes below: noise and compression are no objects."""
OUTLIER_DENSITY = 1e-12
"""Density that every model gives to colours that it does not know."""
SURPRISING = 8.0
"""From this cost on (nats over the frame's median) a pixel does not belong to the ground at first sight."""
CAPACITY = 1000
"""Whole numbers of the minimum cut for one nat."""
SOFTNESS = 1e-4


def object_mask(srgb: np.ndarray) -> np.ndarray:
    """Where the object is: (H, W) float32 in [0, 1], from a picture (H, W, 3) float32 sRGB. All 0 where the picture
    shows nothing but ground."""
    height, width = srgb.shape[:2]
    scale = min(1.0, CUT_SIZE / max(height, width))
    small = _resized(srgb, max(round(width * scale), 4), max(round(height * scale), 4))
    cut = _grab_cut(_lab(small))
    if not cut.any():
        return np.zeros((height, width), np.float32)
    mask = np.asarray(Image.fromarray(cut.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    radius = max(round(1.5 / scale), 1)
    soft = _guided_filter(srgb.mean(axis=2), mask, radius)
    # The filter leaves a haze that no edge asks for.
    return np.clip((soft - 0.15) / 0.7, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class _Mixture:
    """Gaussians in Lab: weights (K,), means (K, 3), inverse square roots of the covariances (K, 3, 3)."""

    weights: np.ndarray
    means: np.ndarray
    whitening: np.ndarray

    @classmethod
    def of(cls, colors: np.ndarray) -> _Mixture:
        """Fitted to (N, 3) colours, one Gaussian for each of their clusters."""
        labels = _clusters(colors)
        weights, means, whitening = [], [], []
        for index in np.unique(labels):
            members = colors[labels == index]
            mean = members.mean(axis=0)
            covariance = (members - mean).T @ (members - mean) / len(members) + LEAST_SPREAD**2 * np.eye(3)
            weights.append(len(members) / len(colors))
            means.append(mean)
            whitening.append(np.linalg.cholesky(np.linalg.inv(covariance)))
        return cls(np.array(weights), np.array(means), np.array(whitening))

    def cost(self, colors: np.ndarray) -> np.ndarray:
        """−log density of (N, 3) colours, (N,)."""
        density = np.full(len(colors), OUTLIER_DENSITY)
        for weight, mean, whitening in zip(self.weights, self.means, self.whitening, strict=True):
            squared = (((colors - mean) @ whitening) ** 2).sum(axis=1)
            density += weight * np.linalg.det(whitening) * (2 * np.pi) ** -1.5 * np.exp(-squared / 2)
        return -np.log(density)


def _clusters(colors: np.ndarray) -> np.ndarray:
    """A label for each of (N, 3) colours: k-means from seeds that are far from one another."""
    seeds = [colors.mean(axis=0)]
    nearest = ((colors - seeds[0]) ** 2).sum(axis=1)
    while len(seeds) < COMPONENTS and nearest.max() > (4 * LEAST_SPREAD) ** 2:
        seeds.append(colors[np.argmax(nearest)])
        nearest = np.minimum(nearest, ((colors - seeds[-1]) ** 2).sum(axis=1))
    middles = np.array(seeds)
    for _ in range(CLUSTERING_STEPS):
        labels = np.argmin(((colors[:, None] - middles) ** 2).sum(axis=2), axis=1)
        counts = np.bincount(labels, minlength=len(middles))
        sums = np.stack([np.bincount(labels, colors[:, axis], len(middles)) for axis in range(3)], axis=1)
        middles = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], middles)
    return labels


def _grab_cut(lab: np.ndarray) -> np.ndarray:
    """Which pixels of a small picture (H, W, 3) in Lab show the object, (H, W) bool."""
    height, width = lab.shape[:2]
    frame = np.zeros((height, width), bool)
    edge = max(round(FRAME * max(height, width)), 2)
    frame[:edge] = frame[-edge:] = frame[:, :edge] = frame[:, -edge:] = True
    leftover = (lab - _smooth_ground(lab, frame)).reshape(-1, 3)
    colors, frame = lab.reshape(-1, 3), frame.ravel()

    ground = _Mixture.of(leftover[frame])
    ground_cost = ground.cost(leftover)
    usual = np.median(ground_cost[frame])
    is_object = ground_cost > usual + SURPRISING
    known_ground = frame & (ground_cost < usual + SURPRISING / 2)
    links = _links(lab)
    for _ in range(ROUNDS):
        is_object &= ~known_ground
        if not is_object.any():
            break
        ground_cost = _Mixture.of(leftover[~is_object]).cost(leftover)
        object_cost = _Mixture.of(colors[is_object]).cost(colors)
        preference = np.where(known_ground, 1e3, object_cost - ground_cost)
        cut = _minimum_cut(preference, links)
        if (cut == is_object).all():
            break
        is_object = cut
    return is_object.reshape(height, width)


def _smooth_ground(lab: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The ground's colour everywhere (H, W, 3): second-order polynomials of the place, fitted to the frame by
    iteratively reweighted least squares, so that an object which touches the frame does not bend them."""
    height, width = frame.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    basis, seen = terms[frame], lab[frame]
    weights = np.ones(len(basis))
    for _ in range(10):
        scaled = basis * weights[:, None]
        fitted = np.linalg.lstsq(scaled, seen * weights[:, None], rcond=None)[0]
        error = np.linalg.norm(seen - basis @ fitted, axis=1)
        weights = 1 / (1 + (error / max(1.5 * np.median(error), LEAST_SPREAD)) ** 2)
    return terms @ fitted


@dataclass(frozen=True)
class _Links:
    """Pairs of neighbouring pixels: (N,) int each, and the cost of a border between them."""

    first: np.ndarray
    second: np.ndarray
    cost: np.ndarray


def _links(lab: np.ndarray) -> _Links:
    """The eight neighbours of each pixel, each pair once."""
    height, width = lab.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    pairs = (
        (np.s_[:, :-1], np.s_[:, 1:], 1.0),
        (np.s_[:-1], np.s_[1:], 1.0),
        (np.s_[:-1, :-1], np.s_[1:, 1:], np.sqrt(2)),
        (np.s_[:-1, 1:], np.s_[1:, :-1], np.sqrt(2)),
    )
    squared = [((lab[one] - lab[other]) ** 2).sum(axis=-1).ravel() for one, other, _ in pairs]
    typical = max(2 * float(np.concatenate(squared).mean()), LEAST_SPREAD**2)
    cost = [
        SMOOTHNESS * np.exp(-change / typical) / distance
        for change, (_, _, distance) in zip(squared, pairs, strict=True)
    ]
    first = np.concatenate([index[one].ravel() for one, _, _ in pairs])
    second = np.concatenate([index[other].ravel() for _, other, _ in pairs])
    return _Links(first, second, np.concatenate(cost))


def _minimum_cut(preference: np.ndarray, links: _Links) -> np.ndarray:
    """Which pixels fall to the object, (N,) bool, when each costs `preference` (N,) more as object than as ground and
    each link costs what it says where it is cut (Boykov and Jolly 2001)."""
    count = len(preference)
    source, sink, pixels = count, count + 1, np.arange(count)
    rows = np.concatenate([links.first, links.second, np.full(count, source), pixels])
    columns = np.concatenate([links.second, links.first, pixels, np.full(count, sink)])
    costs = np.concatenate([links.cost, links.cost, np.maximum(-preference, 0), np.maximum(preference, 0)])
    capacities = np.rint(costs * CAPACITY).astype(np.int32)
    graph = csr_matrix((capacities, (rows, columns)), shape=(count + 2, count + 2))
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(residual, source, return_predecessors=False)] = True
    return reached[:count]


def _guided_filter(guide: np.ndarray, values: np.ndarray, radius: int) -> np.ndarray:
    """`values` (H, W) made to follow the edges of `guide` (H, W) within `radius` pixels."""

    def mean(array: np.ndarray) -> np.ndarray:
        return uniform_filter(array.astype(np.float64), 2 * radius + 1, mode="nearest")

    middle, target = mean(guide), mean(values)
    slope = (mean(guide * values) - middle * target) / (mean(guide * guide) - middle**2 + SOFTNESS)
    offset = target - slope * middle
    return mean(slope) * guide + mean(offset)


def _resized(srgb: np.ndarray, width: int, height: int) -> np.ndarray:
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(srgb[..., c])).resize((width, height), Image.Resampling.BOX))
        for c in range(3)
    ]
    return np.stack(channels, axis=-1)


def _lab(srgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) float64 of sRGB in [0, 1]."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    relative = srgb_to_linear(srgb.astype(np.float64)) @ to_xyz.T / (to_xyz @ np.ones(3))
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
