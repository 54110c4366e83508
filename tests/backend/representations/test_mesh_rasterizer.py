"""Pictures of meshes: as the plain rasteriser makes them but for smooth edges, with the derivatives of differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.mesh import Mesh
from backend.representations.cameras import Cameras
from backend.representations.mesh_rasterizer import MeshRasterizer, opposite_vertices
from backend.representations.mesh_rendering import view_surface

SIZE = 24
OCTAHEDRON = torch.tensor(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], dtype=torch.int64
)
CAMERAS = Cameras.framing(torch.tensor([0.37, 2.1]), torch.tensor([0.23, -0.4]))


def _octahedron() -> tuple[torch.Tensor, torch.Tensor]:
    axes = torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    moved = 0.9 * axes + 0.05 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    return moved, torch.rand(6, 3, generator=generator, dtype=torch.float64)


def test_a_picture_is_that_of_the_plain_rasteriser_but_for_its_edges() -> None:
    vertices, colors = _octahedron()
    picture = MeshRasterizer(OCTAHEDRON).render(vertices, colors, CAMERAS, SIZE)
    assert picture.shape == (2, 4, SIZE, SIZE)
    mesh = Mesh(vertices.numpy(), OCTAHEDRON.numpy(), colors.numpy())
    for index in range(2):
        view = view_surface(mesh, CAMERAS, index, size=SIZE)
        inside = view.covered.copy()
        for axis in (0, 1):
            inside &= np.roll(view.covered, 1, axis) & np.roll(view.covered, -1, axis)
        wanted = np.einsum("nk,nkc->nc", view.weights[inside], mesh.colors[mesh.faces[view.face[inside]]])
        np.testing.assert_allclose(picture[index, :3].numpy()[:, inside].T, wanted, atol=1e-5)
        assert (picture[index, 3].numpy()[inside] == 1).all()
        outside = ~view.covered
        for axis in (0, 1):
            outside &= ~np.roll(view.covered, 1, axis) & ~np.roll(view.covered, -1, axis)
        assert not picture[index].numpy()[:, outside].any()


def test_edges_are_as_much_covered_as_many_samples_say() -> None:
    vertices, colors = _octahedron()
    rasterizer = MeshRasterizer(OCTAHEDRON)
    smooth = rasterizer.render(vertices, colors, CAMERAS, SIZE)[:, 3]
    fine = (rasterizer.render(vertices, colors, CAMERAS, 16 * SIZE)[:, 3] > 0.5).double()
    exact = torch.nn.functional.avg_pool2d(fine[:, None], 16)[:, 0]
    jagged = (smooth > 0.5).double()
    assert (smooth - exact).abs().mean() < 0.45 * (jagged - exact).abs().mean()
    assert smooth.sum() == pytest.approx(float(exact.sum()), rel=0.01)


def _loss(vertices: torch.Tensor, colors: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    picture = MeshRasterizer(OCTAHEDRON).render(vertices, colors, CAMERAS, SIZE)
    return (picture * wanted).sum()


def test_derivatives_by_vertices_and_colours_are_those_of_differences() -> None:
    vertices, colors = _octahedron()
    wanted = torch.rand(2, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    vertices.requires_grad_()
    colors.requires_grad_()
    by_vertices, by_colors = torch.autograd.grad(_loss(vertices, colors, wanted), (vertices, colors))
    step = 1e-6
    for leaf, found in ((vertices, by_vertices), (colors, by_colors)):
        for place in np.ndindex(*leaf.shape):
            moved = torch.zeros_like(leaf)
            moved[place] = step
            up = {id(leaf): leaf + moved}
            down = {id(leaf): leaf - moved}
            with torch.no_grad():
                ends = [
                    _loss(end.get(id(vertices), vertices), end.get(id(colors), colors), wanted) for end in (up, down)
                ]
            assert float(found[place]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-5)


def test_a_moved_mesh_finds_back_to_its_picture() -> None:
    wanted_vertices, colors = _octahedron()
    rasterizer = MeshRasterizer(OCTAHEDRON)
    wanted = rasterizer.render(wanted_vertices, colors, CAMERAS, SIZE)
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    start = wanted_vertices + torch.tensor([0.12, -0.08, 0.1])
    optimizer = torch.optim.Adam([shift], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        (rasterizer.render(start + shift, colors, CAMERAS, SIZE) - wanted).square().sum().backward()
        optimizer.step()
    assert (start + shift - wanted_vertices).abs().max() < 0.01


def test_across_each_edge_lies_the_other_faces_vertex() -> None:
    opposite = opposite_vertices(OCTAHEDRON)
    assert opposite[0].tolist() == [5, 1, 3]  # of 0–2, 2–4 and 4–0
    assert opposite_vertices(OCTAHEDRON[:1]).tolist() == [[-1, -1, -1]]
