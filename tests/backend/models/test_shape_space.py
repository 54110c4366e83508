from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.color import srgb_to_linear
from backend.errors import Cancelled, InputError, MachineError
from backend.mesh import Mesh
from backend.models import shape_space
from backend.models.candidates import AS_WHOLE, wholeness
from backend.models.shape_space import ShapeSpace
from backend.weights.bundled import AUTOENCODER, PRIOR


@pytest.fixture(scope="module")
def space(random_weights: Path) -> ShapeSpace:
    return ShapeSpace.load(folder=random_weights)


@pytest.fixture(scope="module")
def octahedron(octahedron_weights: Path) -> ShapeSpace:
    return ShapeSpace.load(folder=octahedron_weights)


@pytest.fixture
def cube(box) -> Mesh:
    vertices, faces = box((-0.6, -0.6, -0.9), (0.6, 0.6, 0.9))
    return Mesh(vertices, faces, colors=np.tile([0.8, 0.1, 0.1], (8, 1)))


def draw(space: ShapeSpace, prompt: str = "a chair", seed: int = 0) -> torch.Tensor:
    return space.sample(prompt, seed=seed, steps=3, guidance_scale=2.0)


def test_weights_are_named_with_their_hashes(space: ShapeSpace, random_weights: Path) -> None:
    assert space.weights == {
        name: hashlib.sha256((random_weights / name).read_bytes()).hexdigest() for name in (AUTOENCODER, PRIOR)
    }


def test_the_same_seed_gives_the_same_latent(space: ShapeSpace) -> None:
    torch.manual_seed(1)
    latent = draw(space, seed=5)
    torch.manual_seed(2)  # what else runs in the process must not matter
    assert latent.shape == (4, 8, 8, 8) and latent.dtype == torch.float32
    assert torch.equal(draw(space, seed=5), latent)
    assert not torch.equal(draw(space, seed=6), latent)
    assert not torch.equal(draw(space, prompt="a boat", seed=5), latent)


def test_classes_and_pictures_are_conditions_too(space: ShapeSpace) -> None:
    picture = np.random.default_rng(0).random((64, 64, 4), np.float32)
    latents = [
        space.sample(seed=0, steps=3, guidance_scale=1.0),
        space.sample("a chair", seed=0, steps=3, guidance_scale=1.0),
        space.sample(class_name="chair", seed=0, steps=3, guidance_scale=1.0),
        space.sample(class_name="boat", seed=0, steps=3, guidance_scale=1.0),
        space.sample(image=picture, seed=0, steps=3, guidance_scale=1.0),
        space.sample(image=picture[::-1], seed=0, steps=3, guidance_scale=1.0),
    ]
    for index, latent in enumerate(latents):
        assert all(not torch.equal(latent, other) for other in latents[:index])
    with pytest.raises(InputError, match="no class 'spoon'; the classes are boat, chair"):
        space.sample(class_name="spoon", seed=0, steps=3, guidance_scale=1.0)
    with pytest.raises(InputError, match=r"shape \(64, 64, 4\)"):
        space.sample(image=picture[:32], seed=0, steps=3, guidance_scale=1.0)


def test_latents_are_plain_tensors(space: ShapeSpace) -> None:
    latent = draw(space)
    assert not latent.requires_grad and not latent.is_inference()
    latent += 1  # which a tensor of inference mode does not allow with autograd on


def test_a_candidate_that_hangs_together_is_kept(space: ShapeSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []

    def choose(fields) -> int:
        shown.extend(wholeness(field) for field in fields)
        return 2

    kept = draw(space)
    monkeypatch.setattr(shape_space, "first_whole", choose)
    third = draw(space)
    assert len(shown) == shape_space.CANDIDATES
    assert wholeness(space.field(third)) == shown[2]
    assert wholeness(space.field(kept)) >= max(shown) - AS_WHOLE


@pytest.mark.parametrize("last", [2, 7])
def test_sampling_stops_at_any_step_and_any_candidate(space: ShapeSpace, last: int) -> None:
    total = 5 + shape_space.CANDIDATES
    told: list[tuple[int, int]] = []

    def step(done: int, of: int) -> None:
        told.append((done, of))
        if done == last:
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        space.sample("a chair", seed=0, steps=5, guidance_scale=1, step=step)
    assert told == [(done, total) for done in range(1, last + 1)]


def test_a_field_answers_what_the_decoder_says(octahedron: ShapeSpace) -> None:
    points = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (500, 3)).astype(np.float32))
    field = octahedron.field(torch.zeros(4, 8, 8, 8))
    distance = field.signed_distance(points)
    assert distance.shape == (500,) and distance.dtype == torch.float32 and not distance.is_inference()
    wanted = (points.abs().sum(1) - 1.2) * 0.1
    # silu(s) + silu(-s) = s tanh(s / 2), and weights are stored in half precision.
    assert (distance - wanted).abs().max() < 0.01
    assert ((distance < 0) == (wanted < 0)).float().mean() > 0.95
    color = field.color(points)
    assert color.shape == (500, 3) and color.dtype == torch.float32
    np.testing.assert_allclose(color.numpy(), np.tile(srgb_to_linear(np.array([0.8, 0.2, 0.5])), (500, 1)), atol=2e-3)


def test_points_are_asked_in_parts(space: ShapeSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    field = space.field(draw(space))
    points = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (100, 3)).astype(np.float32))
    whole = field.signed_distance(points), field.color(points)
    monkeypatch.setattr(shape_space, "QUERIES_AT_ONCE", 7)
    torch.testing.assert_close(field.signed_distance(points), whole[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(field.color(points), whole[1], atol=1e-6, rtol=0)
    assert field.signed_distance(points[:0]).shape == (0,) and field.color(points[:0]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(4, 8, 8), (3, 8, 8, 8), (1, 4, 8, 8, 8), (4, 16, 16, 16)])
def test_a_latent_of_another_shape_is_refused(space: ShapeSpace, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"must have the shape \(4, 8, 8, 8\)"):
        space.field(torch.zeros(shape))


def test_a_mesh_has_one_latent(space: ShapeSpace, cube: Mesh) -> None:
    latent = space.encode(cube)
    assert latent.shape == (4, 8, 8, 8) and latent.dtype == torch.float32 and not latent.is_inference()
    assert torch.equal(space.encode(cube), latent)
    other_color = Mesh(cube.vertices, cube.faces, colors=1 - cube.colors)
    assert not torch.equal(space.encode(other_color), latent)


def test_an_encoder_is_told_srgb(space: ShapeSpace, cube: Mesh) -> None:
    """A texture of one sRGB colour and vertex colours of its linear value are the same surface."""
    srgb = np.array([200, 90, 30], np.uint8)
    linear = srgb_to_linear(srgb / 255)
    uvs = np.full((len(cube.faces), 3, 2), 0.5)
    textured = Mesh(cube.vertices, cube.faces, uvs=uvs, texture=np.tile(srgb, (4, 4, 1)))
    colored = Mesh(cube.vertices, cube.faces, colors=np.tile(linear, (8, 1)))
    torch.testing.assert_close(
        space.encode(textured, refine=False), space.encode(colored, refine=False), atol=1e-5, rtol=0
    )


def test_faces_that_share_no_vertices_are_still_a_closed_surface(space: ShapeSpace, cube: Mesh) -> None:
    apart = Mesh(
        cube.vertices[cube.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3), np.tile([0.8, 0.1, 0.1], (36, 1))
    )
    torch.testing.assert_close(space.encode(apart, refine=False), space.encode(cube, refine=False), atol=1e-5, rtol=0)


def test_meshes_that_cannot_be_encoded_are_refused(space: ShapeSpace, cube: Mesh) -> None:
    with pytest.raises(InputError, match="reaches out of model space"):
        space.encode(Mesh(cube.vertices * 2, cube.faces))
    with pytest.raises(InputError, match="no surface"):
        space.encode(Mesh(cube.vertices, np.empty((0, 3), np.int32)))
    with pytest.raises(InputError, match="no surface"):
        space.encode(Mesh(cube.vertices * 0, cube.faces))


def test_a_decoded_mesh_is_finished(octahedron: ShapeSpace) -> None:
    mesh = octahedron.decode(torch.zeros(4, 8, 8, 8), 48, face_count=300)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    # The corners beyond the cube are cut off at ±1, and edges are rounded: an octahedron's volume, roughly.
    assert volume == pytest.approx(4 / 3 * 1.2**3 - 6 * (4 / 3 * 0.2**3) / 2, rel=0.1)
    assert len(mesh.faces) <= 330
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all(), "closed"
    assert mesh.texture is not None and mesh.uvs is not None and mesh.colors is not None
    np.testing.assert_allclose(mesh.colors.mean(0), srgb_to_linear(np.array([0.8, 0.2, 0.5])), atol=5e-3)


@pytest.mark.parametrize("name", [AUTOENCODER, PRIOR])
def test_weights_that_are_not_there_are_told_when_loading(name: str, random_weights: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(random_weights, tmp_path / "weights")
    (folder / name).unlink()
    with pytest.raises(MachineError, match=f"{name} are missing"):
        ShapeSpace.load(folder=folder)


def test_latents_are_blended_and_added(random_weights):
    space = ShapeSpace.load(folder=random_weights)
    a, b, c = torch.randn(3, 4, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(space.blend([a, b, c], [1, 1, -1]), a + b - c)
    torch.testing.assert_close(space.blend([a, b], [1, 3]), 0.25 * a + 0.75 * b)
    assert torch.equal(space.blend([a, b], [0, 1], path="spherical"), b)
    with pytest.raises(InputError, match="add up to 0"):
        space.blend([a, b], [1, -1])
