"""A mesh is moved until it looks like pictures of another, smoothly, and always in the same way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.errors import Cancelled
from backend.meshing.mesh_from_field import surface_from_field
from backend.representations.cameras import Cameras
from backend.representations.initial_fields import ball
from backend.representations.mesh_fitting import SMOOTHNESS, UniformAdam, diffusion, edges_of, refine
from backend.representations.mesh_rasterizer import MeshRasterizer
from backend.representations.views import Views

SIZE = 40


@pytest.fixture(scope="module")
def ball_mesh() -> tuple[np.ndarray, np.ndarray]:
    return surface_from_field(ball(16, radius=0.6), detail=32, face_count=800)


def test_a_ball_becomes_what_the_pictures_show(ball_mesh: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = ball_mesh
    cameras = Cameras.framing(torch.arange(4) * (torch.pi / 2), torch.tensor([0.1, 0.5, -0.3, 0.3]))
    wanted = vertices * np.float32([1.1, 0.9, 1.06])
    colors = (0.5 + 0.5 * vertices).clip(0, 1)
    rasterizer = MeshRasterizer(torch.from_numpy(faces.astype(np.int64)))

    def pictures(places: np.ndarray) -> torch.Tensor:
        return rasterizer.render(torch.from_numpy(places), torch.from_numpy(colors), cameras, SIZE)

    shown = pictures(wanted).permute(0, 2, 3, 1)
    straight = torch.cat([shown[..., :3] / shown[..., 3:].clamp(min=1e-6), shown[..., 3:]], dim=-1)
    views = Views.alike(straight, cameras)
    moved, _ = refine(vertices, faces, colors, views, steps=40)
    before, after = (float((pictures(places) - pictures(wanted)).square().mean()) for places in (vertices, moved))
    assert after < 0.3 * before
    apart = [np.linalg.norm(places - wanted, axis=1).mean() for places in (vertices, moved)]
    assert apart[1] < 0.75 * apart[0]
    again, _ = refine(vertices, faces, colors, views, steps=2, seed=1)
    np.testing.assert_array_equal(again, refine(vertices, faces, colors, views, steps=2, seed=1)[0])

    def cancel(_: float) -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        refine(vertices, faces, colors, views, steps=2, step=cancel)


def test_diffusion_is_that_of_the_dense_matrix(ball_mesh: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = ball_mesh
    first, last = (part.numpy() for part in edges_of(torch.from_numpy(faces.astype(np.int64))))
    assert len(first) == 3 * len(faces) // 2, "each edge of a closed mesh has two faces"
    laplacian = np.zeros((len(vertices), len(vertices)))
    np.add.at(laplacian, (np.r_[first, last], np.r_[last, first]), -1)
    laplacian -= np.diag(laplacian.sum(axis=1))
    wanted = np.linalg.solve(np.eye(len(vertices)) + SMOOTHNESS * laplacian, vertices.astype(np.float64))
    found = diffusion(len(vertices), first, last).solve(vertices.astype(np.float64))
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_a_step_keeps_the_direction_of_the_gradient() -> None:
    values = torch.zeros(3, requires_grad=True)
    (values * torch.tensor([4.0, -2.0, 0.0])).sum().backward()
    UniformAdam(values).step(0.1)
    torch.testing.assert_close(values.detach(), torch.tensor([-0.1, 0.05, 0.0]))
