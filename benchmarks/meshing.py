"""How long meshing takes and how many points it asks the field for. Run: python -m benchmarks.meshing

Times are processor seconds of this process on one thread, without the field's own; the exact solids stand in for
models. "asked" is the share of a dense grid's nodes that extraction asked for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from backend.meshing.mesh_from_field import mesh_from_field
from backend.meshing.sparse_grid import sample_distance_grid
from backend.meshing.validity import is_manifold, is_watertight, triangle_quality
from tests.backend.meshing.exact_fields import ExactField, box, chair, sphere, torus, waves

SOLIDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sphere": sphere(),
    "torus": torus(),
    "box": box((0.9, 0.6, 0.4)),
    "chair": chair(),
    "gyroid": waves(),
}


class TimedField(ExactField):
    """Knows how long its own answers took, to take that off."""

    seconds = 0.0

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        begin = time.process_time()
        answer = super().signed_distance(points)
        self.seconds += time.process_time() - begin
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description="Time meshing on exact solids.")
    parser.add_argument("--detail", type=int, default=128)
    parser.add_argument("--face-count", type=int, default=20_000)
    parser.add_argument("--texture-size", type=int, default=1024)
    options = parser.parse_args()
    print("solid      asked   Extracting Simplifying Texturing  total     faces   sound   slivers")
    for name, distance in SOLIDS.items():
        dense = (options.detail + 1) ** 3
        asked = sample_distance_grid(ExactField(distance), options.detail).evaluations / dense
        field = TimedField(distance)
        marks: dict[str, float] = {}

        def note(stage: str, fraction: float, field: TimedField = field, marks: dict[str, float] = marks) -> None:
            now = time.process_time() - field.seconds
            marks[stage] = now - marks.get(f"{stage} began", now)
            marks.setdefault(f"{stage} began", now)

        mesh = mesh_from_field(
            field,
            detail=options.detail,
            face_count=options.face_count,
            texture_size=options.texture_size,
            progress=note,
        )
        stages = [marks[stage] for stage in ("Extracting", "Simplifying", "Texturing")]
        sound = is_watertight(mesh.faces) and is_manifold(mesh.faces)
        slivers = float((triangle_quality(mesh.vertices, mesh.faces) < 0.05).mean())
        print(
            f"{name:8s}{asked:8.1%}{stages[0]:11.2f} s{stages[1]:9.2f} s{stages[2]:9.2f} s{sum(stages):7.2f} s"
            f"{len(mesh.faces):9,}   {'yes' if sound else 'NO':5s}{slivers:8.2%}"
        )


if __name__ == "__main__":
    main()
