"""How near an auto-encoded object is to the original, and how near the best training shape would have been.

Definitions, all in model units (an object's longest side is 1.8) and against the data's own meshes:

- Chamfer-L1: half the sum of both mean distances from 50,000 samples of one surface to the other *surface* (exact
  point-to-triangle distances), so that sampling adds nothing.
- F-score: harmonic mean of the shares of those samples nearer than 1 % of the longest side of the object's bounds.
- Normal consistency and volumetric IoU: as backend.metrics defines them, from the same samples and from 100,000 points
  drawn uniformly from the bounds of both shapes. What counts as the inside of a mesh is backend.data.volume's word.

The truth's faces inside of an object (drawers, engines) count as surface that a solid never has. "The truth as a solid"
says what that and a grid of as many cells cost: the object's own signed distance, meshed as the decoder's is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from backend.color import srgb_to_linear
from backend.data.archive import Archive, DataObject
from backend.data.sampling import SURFACE_POINTS
from backend.data.surface import sample_surface
from backend.data.volume import Volume
from backend.kernels import point_to_mesh_distance
from backend.mesh import Mesh
from backend.meshing.mesh_from_field import surface_from_field
from backend.meshing.topology import connected_parts
from backend.metrics import normal_consistency, volumetric_iou
from backend.models.shape_space import ShapeSpace
from benchmarks.shape_clouds import TrainingShapes, cloud, quarter_turn
from benchmarks.text_to_3d import soundness

SAMPLES = 50_000
VOLUME_POINTS = 100_000
THRESHOLD = 0.01
DETAIL = 128
FACES = 20_000


@dataclass(frozen=True)
class Surface:
    """A mesh as tensors: vertices (V, 3) float32, faces (F, 3) int32."""

    vertices: torch.Tensor
    faces: torch.Tensor

    @classmethod
    def of(cls, vertices: np.ndarray, faces: np.ndarray) -> Surface:
        """From arrays of any float and integer width."""
        return cls(
            torch.from_numpy(np.ascontiguousarray(vertices, np.float32)),
            torch.from_numpy(np.ascontiguousarray(faces, np.int32)),
        )

    def samples(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and normals, (SAMPLES, 3) float32 each."""
        points = sample_surface(self.vertices.numpy(), self.faces.numpy(), SAMPLES, np.random.default_rng(seed))
        return torch.from_numpy(points.positions), torch.from_numpy(points.normals)

    def distances(self, points: torch.Tensor) -> torch.Tensor:
        """From points (N, 3) to the nearest place on a face, (N,)."""
        return point_to_mesh_distance(points, self.vertices, self.faces)[0].sqrt()

    def contains(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) → (N,) bool."""
        return Volume.of(self.vertices.numpy(), self.faces.numpy()).at_points(points) < 0


@dataclass(frozen=True)
class Fidelity:
    """The four figures of one shape against the truth; see the module's words."""

    iou: float
    chamfer_l1: float
    f_score: float
    normal_consistency: float


@dataclass(frozen=True)
class Reconstruction:
    """One object's figures: through the auto-encoder, of the training shape nearest to it, and of what the truth is as
    a solid; how many parts the decoded mesh has, and how many that solid. Seconds are those of decode, by the clock and
    of the processor."""

    caption: str
    decoded: Fidelity
    nearest: Fidelity
    solid: Fidelity
    watertight: bool
    parts: int
    solid_parts: int
    seconds: float
    processor_seconds: float


def fidelity(shape: Surface, truth: Surface) -> Fidelity:
    """Measures `shape` against `truth`."""
    points, normals = shape.samples(1)
    true_points, true_normals = truth.samples(2)
    there, back = truth.distances(points), shape.distances(true_points)
    threshold = THRESHOLD * float((truth.vertices.amax(dim=0) - truth.vertices.amin(dim=0)).max())
    precision, recall = (float((side < threshold).float().mean()) for side in (there, back))
    corners = torch.cat([shape.vertices, truth.vertices])
    low, high = corners.amin(dim=0), corners.amax(dim=0)
    places = low + (high - low) * torch.rand(VOLUME_POINTS, 3, generator=torch.Generator().manual_seed(0))
    return Fidelity(
        iou=float(volumetric_iou(shape.contains(places)[None], truth.contains(places)[None])),
        chamfer_l1=float(there.mean() + back.mean()) / 2,
        f_score=2 * precision * recall / max(precision + recall, 1e-12),
        normal_consistency=float(
            normal_consistency(points[None], normals[None], true_points[None], true_normals[None])
        ),
    )


class VolumeField:
    """A data-set object's own signed distance, grey all over."""

    def __init__(self, shape: DataObject) -> None:
        self.volume = Volume.of(shape.vertices, shape.faces)

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N,) float32."""
        return self.volume.at_points(points)

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N, 3) float32."""
        return torch.full_like(points, 0.5)


def colored_mesh(shape: DataObject) -> Mesh:
    """A data-set object as users' meshes come: every face with corners and a colour of its own."""
    corners = shape.vertices[shape.faces].reshape(-1, 3)
    colors = srgb_to_linear(shape.face_colors.astype(np.float32) / 255).repeat(3, axis=0)
    return Mesh(corners, np.arange(len(corners)).reshape(-1, 3), colors)


def reconstruct(space: ShapeSpace, shape: DataObject, training: TrainingShapes, source: Archive) -> Reconstruction:
    """Encodes and decodes one object and looks for the training shape that is most like it, in any of four turns."""
    truth = Surface.of(shape.vertices, shape.faces)
    latent = space.encode(colored_mesh(shape))
    began, processor_began = time.perf_counter(), time.process_time()
    decoded = space.decode(latent, DETAIL)
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - processor_began
    points = sample_surface(shape.vertices, shape.faces, SURFACE_POINTS, np.random.default_rng(0))
    index, turns = training.nearest_in_any_turn(cloud(points.positions, shape.face_colors[points.faces]).positions)
    other = source[index]
    turned = Surface.of(quarter_turn(other.vertices, turns), other.faces)
    solid = surface_from_field(VolumeField(shape), detail=DETAIL, face_count=FACES)
    return Reconstruction(
        caption=shape.caption,
        decoded=fidelity(Surface.of(decoded.vertices, decoded.faces), truth),
        nearest=fidelity(turned, truth),
        solid=fidelity(Surface.of(*solid), truth),
        watertight=soundness(decoded.vertices, decoded.faces).watertight,
        parts=count_parts(decoded.faces),
        solid_parts=count_parts(solid[1]),
        seconds=seconds,
        processor_seconds=processor_seconds,
    )


def count_parts(faces: np.ndarray) -> int:
    """The connected parts of faces (F, 3)."""
    return int(connected_parts(faces).max(initial=-1)) + 1


def measure(space: ShapeSpace, dev: Archive, training: TrainingShapes, source: Archive) -> list[Reconstruction]:
    """All objects of `dev`; `source` is the archive that `training` was packed from."""
    return [
        reconstruct(space, shape, training, source) for shape in tqdm(dev, "Reconstructing", len(dev), unit="object")
    ]


def tables(results: Sequence[Reconstruction]) -> str:
    """Markdown: the means, and every object's figures."""
    count = len(results)
    lines = [
        f"| mean of {count} objects | IoU | Chamfer-L1 | F-score | normal consistency |",
        "|---|---:|---:|---:|---:|",
        _means("encoded and decoded", [result.decoded for result in results]),
        _means("nearest training shape, four turns", [result.nearest for result in results]),
        _means("the truth as a solid", [result.solid for result in results]),
        "| the same, as the aims have it | | 0.043 | 0.37 | |",
        "| aim at least | ≥ 0.80 | ≤ 0.0108 | | |",
        "",
        "| decoded meshes at detail 128 | |",
        "|---|---:|",
        f"| watertight | {sum(result.watertight for result in results)} of {count} |",
        f"| one component | {sum(result.parts == 1 for result in results)} of {count} |",
        "| one component, or as many as the truth as a solid | "
        f"{sum(result.parts <= max(result.solid_parts, 1) for result in results)} of {count} |",
        f"| seconds of decode, median · most | {_seconds([result.seconds for result in results])} |",
        f"| processor seconds, median · most | {_seconds([result.processor_seconds for result in results])} |",
        "",
        "| object | IoU | Chamfer-L1 | F-score | normal consistency | nearest training shape's Chamfer-L1 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result in sorted(results, key=lambda result: result.decoded.chamfer_l1):
        lines.append(f"{_row(result.caption, result.decoded)} {result.nearest.chamfer_l1:.4f} |")
    return "\n".join(lines)


def _means(name: str, figures: Sequence[Fidelity]) -> str:
    columns = ("iou", "chamfer_l1", "f_score", "normal_consistency")
    means = {column: float(np.mean([getattr(figure, column) for figure in figures])) for column in columns}
    return _row(name, Fidelity(**means))


def _row(name: str, figure: Fidelity) -> str:
    numbers = f"{figure.iou:.3f} | {figure.chamfer_l1:.4f} | {figure.f_score:.3f} | {figure.normal_consistency:.3f}"
    return f"| {name} | {numbers} |"


def _seconds(seconds: Sequence[float]) -> str:
    return f"{np.median(seconds):.1f} · {max(seconds):.1f}"
