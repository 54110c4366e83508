"""Image to 3D with a shape space of coloured boxes: the right one, from where it was seen, with the right colours."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backend.data.cut_out import FILLED
from backend.errors import Cancelled, InputError, MachineError
from backend.mesh import Mesh
from backend.meshing.mesh_from_field import coarse_mesh
from backend.meshing.validity import is_watertight
from backend.recipe import Recipe, Result
from backend.representations.cameras import Cameras
from backend.representations.mesh_rendering import Window, render_mesh, silhouette_window
from backend.tasks.feed_forward import PicturedShape, expected_errors, shape_of_picture
from backend.tasks.image_to_3d import run
from backend.tasks.picture_pose import Pose, find_pose
from backend.tasks.unseen_sides import UnseenSides

BOXES = ((0.9, 0.3, 0.3), (0.3, 0.3, 0.9), (0.5, 0.25, 0.85), (0.6, 0.6, 0.6))
ELEVATION = math.radians(15)
AZIMUTH = math.radians(30)
RED, BLUE = (0.6, 0.05, 0.05), (0.05, 0.05, 0.6)


class Box:
    """Red on its right half (+X), blue on its left."""

    def __init__(self, half: tuple[float, ...]) -> None:
        self.half = torch.tensor(half)

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        beyond = points.abs() - self.half
        return beyond.clamp(min=0).norm(dim=1) + beyond.max(dim=1).values.clamp(max=0)

    def color(self, points: torch.Tensor) -> torch.Tensor:
        return torch.where(points[:, :1] > 0, torch.tensor(RED), torch.tensor(BLUE))


class BoxSpace:
    """The latents are the boxes, in turn."""

    weights = {"prior.safetensors": "a" * 64}  # noqa: RUF012

    def candidates(self, prompt=None, *, count, seed, steps, guidance_scale, image, step):
        assert image.shape == (64, 64, 4) and image.dtype == np.float32
        for done in range(steps):
            step(done + 1)
        return torch.tensor([BOXES[index % len(BOXES)] for index in range(count)])

    def field(self, latent: torch.Tensor) -> Box:
        return Box(tuple(latent.tolist()))


class SidesOf:
    """What a view model would say that knows the box, in whose front the picture was taken."""

    weights = {"views.safetensors": "b" * 64}  # noqa: RUF012

    def __init__(self, half: tuple[float, ...], azimuth: float = 0.0) -> None:
        self.mesh, self.azimuth = coarse_mesh(Box(half), 28), azimuth

    def views(self, picture, *, elevation, azimuth, cameras, seed):
        assert azimuth == 0.0 and self.mesh is not None
        turned = Cameras.framing(cameras.azimuth + self.azimuth, cameras.elevation)
        return np.stack([render_mesh(self.mesh, turned, index, size=64) for index in range(len(turned))])


class NoOpinion(SidesOf):
    def __init__(self) -> None:
        super().__init__(BOXES[0])

    def views(self, picture, *, elevation, azimuth, cameras, seed):
        return np.full((len(cameras), 64, 64, 4), 0.5, np.float32)


class EmptySpace(BoxSpace):
    def field(self, latent: torch.Tensor) -> Box:
        return Box((-1.0, -1.0, -1.0))


def _picture_of(half: tuple[float, ...], folder: Path) -> Path:
    mesh = coarse_mesh(Box(half), 28)
    assert mesh is not None
    camera = Cameras.framing(torch.tensor([AZIMUTH]), torch.tensor([ELEVATION]))
    window = silhouette_window(mesh.vertices, camera, filled=FILLED)
    pixels = render_mesh(mesh, camera, size=128, window=window)
    path = folder / "picture.png"
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(path)
    return path


def _made(recipe: Recipe, **options) -> Result:
    return run(recipe, load_shape_space=BoxSpace, load_sides=NoOpinion, **options)


def _recipe(picture: Path, **values) -> Recipe:
    values = {"detail": 48, "face_count": 2000, "steps": 2, "candidates": 4} | values
    return Recipe.create("image_to_3d", "feed-forward", picture=str(picture), **values)


def test_the_box_in_the_picture_is_found_from_where_it_was_seen(tmp_path):
    stages: list[str] = []
    shown: list[tuple[np.ndarray, str, float]] = []
    previews: list[Mesh] = []
    result = _made(
        _recipe(_picture_of(BOXES[2], tmp_path)),
        progress=lambda stage, fraction: stages.append(stage),
        preview=previews.append,
        glimpse=lambda *given: shown.append(given),
    )
    extent = np.ptp(result.mesh.vertices, axis=0)
    assert extent / extent.max() == pytest.approx(np.array(BOXES[2]) / 0.85, abs=0.03)
    assert is_watertight(result.mesh.faces)
    assert list(dict.fromkeys(stages)) == ["Loading", "Sampling", "Extracting", "Simplifying", "Texturing"]
    assert result.recipe.weights == BoxSpace.weights | NoOpinion.weights

    assert result.viewpoint is not None
    place = result.viewpoint.matrix[:3, 3]
    assert math.atan2(place[0], -place[1]) == pytest.approx(AZIMUTH, abs=0.06)
    assert math.asin(place[2] / np.linalg.norm(place)) == pytest.approx(ELEVATION, abs=1e-5)

    ((picture, caption, loss),) = shown
    assert picture.dtype == np.uint8 and picture.shape == (128, 128, 3)
    assert "picture" in caption and math.isnan(loss)
    (preview,) = previews
    assert np.ptp(preview.vertices, axis=0).max() == pytest.approx(1.0, abs=1e-5), "a picture tells no size: 1 m"
    assert any("1 m" in note for note in result.notes)


def test_a_crowd_that_nearly_agrees_wins_over_one_of_its_own_kind_that_agrees_a_little_better():
    def shape(half: tuple[float, ...], agreement: float) -> PicturedShape:
        coarse = coarse_mesh(Box(half), 28)
        assert coarse is not None
        return PicturedShape(Box(half), coarse, Pose(0.0, ELEVATION, Window(0, 0, 1), agreement), agreement)

    odd, crowd = (0.85, 0.2, 0.2), [(0.3, 0.3, z) for z in (0.75, 0.8, 0.85)]
    close = [shape(odd, 0.8), *(shape(half, 0.79) for half in crowd)]
    assert int(expected_errors(close).argmin()) > 0
    sure = [shape(odd, 0.95), *(shape(half, 0.4) for half in crowd)]
    assert int(expected_errors(sure).argmin()) == 0


def test_of_shapes_with_one_front_the_expected_sides_decide(tmp_path):
    flat, deep = (0.5, 0.15, 0.85), (0.5, 0.6, 0.85)
    mesh = coarse_mesh(Box(flat), 28)
    assert mesh is not None
    camera = Cameras.framing(torch.zeros(1), torch.zeros(1))
    picture = render_mesh(mesh, camera, size=64, window=silhouette_window(mesh.vertices, camera, filled=FILLED))

    class Both(BoxSpace):
        def candidates(self, prompt=None, *, count, seed, steps, guidance_scale, image, step):
            return torch.tensor([flat, deep])

    def depth(sides: SidesOf) -> float:
        shape = shape_of_picture(
            Both(),
            sides,
            picture,
            elevation=0.0,
            prompt=None,
            seed=0,
            steps=1,
            guidance_scale=1.0,
            candidates=2,
            step=lambda _: None,
        )
        return float(np.ptp(shape.coarse.vertices[:, 1]))

    assert depth(SidesOf(flat)) == pytest.approx(0.3, abs=0.05)
    assert depth(SidesOf(deep)) == pytest.approx(1.2, abs=0.05)


def test_the_true_shape_does_not_disagree_a_turned_one_does_and_none_is_the_unit():
    mesh = coarse_mesh(Box(BOXES[0]), 28)
    assert mesh is not None
    unseen = UnseenSides.of(SidesOf(BOXES[0], azimuth=0.5), np.zeros((64, 64, 4), np.float32), ELEVATION)
    assert unseen.disagreement(mesh, 0.5) == 0.0
    assert unseen.disagreement(mesh, 0.5 + math.pi / 2) > 0.3
    hidden = Mesh(mesh.vertices * np.float32(1e-4), mesh.faces)
    assert unseen.disagreement(hidden, 0.5) == pytest.approx(1.0, abs=0.02)


def test_the_viewpoint_reproduces_the_picture(tmp_path):
    """A point of model space is seen at the same place of the picture through the viewpoint as through the window."""
    mesh = coarse_mesh(Box(BOXES[2]), 28)
    assert mesh is not None
    camera = Cameras.framing(torch.tensor([AZIMUTH]), torch.tensor([ELEVATION]))
    picture = render_mesh(mesh, camera, size=96, window=silhouette_window(mesh.vertices, camera, filled=FILLED))
    pose = find_pose(mesh, picture, ELEVATION)
    shown = render_mesh(mesh, pose.cameras, size=96, window=pose.window)
    alpha = picture[..., 3] > 0
    assert (alpha & (shown[..., 3] > 0)).sum() / (alpha | (shown[..., 3] > 0)).sum() > 0.9

    viewpoint = pose.viewpoint
    to_camera = np.linalg.inv(viewpoint.matrix)
    seen = mesh.vertices @ to_camera[:3, :3].T + to_camera[:3, 3]
    slope = math.tan(viewpoint.field_of_view / 2)
    across = seen[:, 0] / -seen[:, 2] / slope - 2 * viewpoint.shift[0]
    up = seen[:, 1] / -seen[:, 2] / slope - 2 * viewpoint.shift[1]
    rows, columns = np.nonzero(shown[..., 3])
    assert (across.min(), across.max()) == pytest.approx(
        (columns.min() / 48 - 1, (columns.max() + 1) / 48 - 1), abs=0.03
    )
    assert (up.min(), up.max()) == pytest.approx((1 - (rows.max() + 1) / 48, 1 - rows.min() / 48), abs=0.03)


def test_what_the_picture_shows_has_its_colours_and_the_rest_the_models(tmp_path):
    path = _picture_of(BOXES[2], tmp_path)
    pixels = np.asarray(Image.open(path)).copy()
    pixels[..., :3] = np.where(
        pixels[..., :1] > pixels[..., 2:3], (20, 200, 20), (200, 200, 20)
    )  # red, blue: repainted
    Image.fromarray(pixels).save(path)
    result = _made(_recipe(path))
    colors, vertices = result.mesh.colors, result.mesh.vertices
    assert colors is not None
    front = (vertices[:, 1] < -0.2) & (np.abs(vertices[:, 2]) < 0.6)
    right, left = front & (vertices[:, 0] > 0.1), front & (np.abs(vertices[:, 0] + 0.25) < 0.15)
    assert (colors[right, 1] > 3 * colors[right, 0]).mean() > 0.9, "green where the picture is green"
    assert (colors[left, 0] > 0.4).mean() > 0.9 and (colors[left, 1] > 0.4).mean() > 0.9, "yellow where it is yellow"
    back = vertices[:, 1] > 0.2
    assert (colors[back & (vertices[:, 0] < -0.1), 2] > 0.1).any(), "the back keeps what the model says, evened out"


def test_the_same_recipe_gives_the_same_mesh(tmp_path):
    recipe = _recipe(_picture_of(BOXES[1], tmp_path))
    first, second = _made(recipe), _made(recipe)
    assert np.array_equal(first.mesh.vertices, second.mesh.vertices)
    assert np.array_equal(first.mesh.texture, second.mesh.texture)


def test_a_prompt_tells_the_size(tmp_path):
    result = _made(_recipe(_picture_of(BOXES[1], tmp_path), prompt="a mug"))
    size = np.ptp(result.mesh.vertices, axis=0).max() * result.transform[0, 0]
    assert size == pytest.approx(0.1, rel=1e-4)
    assert result.notes == []


def test_bad_pictures_empty_shapes_other_weights_and_a_cancel_end_it(tmp_path):
    path = _picture_of(BOXES[1], tmp_path)
    with pytest.raises(InputError, match="There is no picture"):
        _made(_recipe(tmp_path / "missing.png"))
    with pytest.raises(InputError, match="There is no picture"):
        _made(_recipe(path, mask=str(tmp_path / "missing.png")))
    with pytest.raises(InputError, match="empty"):
        run(_recipe(path), load_shape_space=EmptySpace, load_sides=NoOpinion)
    with pytest.raises(MachineError, match="other weights"):
        _made(Recipe.from_dict(_recipe(path).to_dict() | {"weights": {"prior.safetensors": "b" * 64}}))
    with pytest.raises(Cancelled):
        _made(_recipe(path), cancelled=lambda: True)


def test_a_window_holds_the_silhouette_in_its_middle():
    mesh = coarse_mesh(Box(BOXES[0]), 28)
    assert mesh is not None
    camera = Cameras.framing(torch.tensor([1.0]), torch.tensor([0.3]))
    whole = render_mesh(mesh, camera, size=64, window=Window())
    window = silhouette_window(mesh.vertices, camera, filled=0.5)
    rows, columns = np.nonzero(render_mesh(mesh, camera, size=64, window=window)[..., 3])
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(32, abs=1)
    assert rows.min() + rows.max() == pytest.approx(63, abs=1) and columns.min() + columns.max() == pytest.approx(
        63, abs=1
    )
    assert 0 < whole[..., 3].mean() < 1 and (whole[0, :, 3] == 0).all()
