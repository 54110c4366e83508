"""Latent interpolation from recipe to result, with analytic shapes where the model would be."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from backend import Cancelled, InputError, MachineError, Recipe
from backend.__main__ import main
from backend.data.mesh_files import write_mesh
from backend.mesh import Mesh
from backend.meshing import metamorphosis
from backend.meshing.validity import is_watertight
from backend.models.principal_components import PrincipalComponents
from backend.recipe import Result
from backend.tasks import latent_interpolation, loaded_models, release_models
from backend.tasks.latent_interpolation import reconstruction_error

WEIGHTS = {"autoencoder.safetensors": "b" * 64}


class Ellipsoid:
    """A field whose level is only roughly a distance, as the network's is; of one colour."""

    def __init__(self, radii):
        self.radii = radii

    def signed_distance(self, points):
        return ((points / self.radii).norm(dim=1) - 1) * self.radii.min()

    def color(self, points):
        return torch.full((len(points), 3), 0.5)


class FakeShapeSpace:
    """The latent of a mesh is its half-extents, and stands for the ellipsoid that has them."""

    weights = WEIGHTS
    components = PrincipalComponents(2, (3,))

    def encode(self, mesh):
        return torch.from_numpy(np.ptp(mesh.vertices, axis=0) / 2)

    def field(self, latent):
        return Ellipsoid(latent.clamp(min=0.05))


def ellipsoid_mesh(radii):
    from backend.meshing.mesh_from_field import mesh_from_field

    made = mesh_from_field(Ellipsoid(torch.tensor([0.9, 0.9, 0.9])), detail=32, face_count=800, texture_size=None)
    return Mesh(made.vertices / 0.9 * np.array(radii), made.faces)


@pytest.fixture(autouse=True)
def coarse_distances(monkeypatch):
    """What has edges as long as these does not need finer ones."""
    monkeypatch.setattr(metamorphosis, "CELLS", 48)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A ball of 2 m, a disc of 4 m and an egg of 1 m, all away from the origin."""
    folder = tmp_path_factory.mktemp("meshes")
    for name, radii in (("ball", (1, 1, 1)), ("disc", (2, 2, 0.8)), ("egg", (0.3, 0.3, 0.5))):
        mesh = ellipsoid_mesh(radii)
        write_mesh(folder / f"{name}.ply", Mesh(mesh.vertices + np.float32([3, 0, 7]), mesh.faces))
    return {path.stem: str(path) for path in folder.iterdir()}


def recipe(*meshes, **parameters):
    values = {"steps": 3, "detail": 32, "face_count": 1000, **parameters}
    return Recipe.create("latent_interpolation", "latent interpolation", meshes=meshes, **values)


def run(asked, **options):
    return latent_interpolation.run(asked, load_shape_space=FakeShapeSpace, **options)


def in_metres(result, vertices):
    return vertices @ result.transform[:3, :3].T + result.transform[:3, 3]


def test_both_ends_come_back_and_the_middle_lies_between(files):
    result = run(recipe(files["ball"], files["disc"]))
    extents = [np.ptp(in_metres(result, mesh.vertices), axis=0) for mesh in result.meshes]
    np.testing.assert_allclose(extents[0], [2, 2, 2], rtol=0.02)
    assert 2.8 < extents[1][0] < 3.2 and 0.5 < extents[1][2] / extents[1][0] < 0.9
    np.testing.assert_allclose(extents[2], [4, 4, 1.6], rtol=0.02)
    assert len(result.notes) == 2 and "'ball' is given back to within 0." in result.notes[0]
    assert result.recipe.weights == WEIGHTS and result.shape_keys is None


def test_every_step_is_closed_and_stands_near_the_ground_in_the_same_place(files):
    result = run(recipe(files["ball"], files["disc"], steps=4))
    assert len(result.meshes) == 4
    for mesh in result.meshes:
        metres = in_metres(result, mesh.vertices)
        assert is_watertight(mesh.faces) and mesh.texture is None and mesh.colors is not None
        assert metres[:, 2].min() == pytest.approx(0, abs=0.1)
        np.testing.assert_allclose(metres[:, :2].min(axis=0), -metres[:, :2].max(axis=0), atol=0.02)


def test_shape_keys_lie_on_each_step_s_surface_with_one_topology(files):
    result = run(recipe(files["ball"], files["disc"], steps=5, output="shape keys"))
    assert result.following == () and result.shape_keys.shape == (5, len(result.mesh.vertices), 3)
    np.testing.assert_array_equal(result.shape_keys[0], result.mesh.vertices)
    flatness = [np.ptp(key[:, 2]) / np.ptp(key[:, 0]) for key in result.shape_keys]
    assert flatness == sorted(flatness, reverse=True)
    for key, radii in ((result.shape_keys[0], (1, 1, 1)), (result.shape_keys[-1], (2, 2, 0.8))):
        metres = in_metres(result, key).astype(float)
        level = np.linalg.norm((metres - [0, 0, (metres[:, 2].min() + metres[:, 2].max()) / 2]) / radii, axis=1)
        np.testing.assert_allclose(level, 1, atol=0.02)
    assert "faces turned over: at most 0.0 %" in result.notes[-1]


def test_three_meshes_are_passed_in_their_order(files):
    result = run(recipe(files["ball"], files["disc"], files["egg"], steps=5))
    sizes = [np.ptp(in_metres(result, mesh.vertices), axis=0).max() for mesh in result.meshes]
    np.testing.assert_allclose([sizes[0], max(sizes), sizes[-1]], [2, 4, 1], rtol=0.02)
    passed = sizes.index(max(sizes))
    assert sizes == sorted(sizes[: passed + 1]) + sorted(sizes[passed + 1 :], reverse=True)
    assert len(result.notes) == 3


def test_too_few_steps_for_all_meshes_still_go_from_the_first_to_the_last(files):
    result = run(recipe(files["ball"], files["disc"], files["egg"], steps=2))
    sizes = [np.ptp(in_metres(result, mesh.vertices), axis=0).max() for mesh in result.meshes]
    np.testing.assert_allclose(sizes, [2, 1], rtol=0.02)


class SuddenSpace(FakeShapeSpace):
    """All of the change between two shapes happens in a twentieth of the way between their latents."""

    def field(self, latent):
        share = ((0.9 - latent[2]) / (0.9 - 0.36)).clamp(0, 1)
        late = ((share - 0.7) / 0.05).clamp(0, 1)
        return Ellipsoid(torch.stack([latent[0], latent[1], 0.9 - late * 0.54]).clamp(min=0.05))


def test_steps_are_even_where_the_latents_are_not(files):
    asked = recipe(files["ball"], files["disc"], steps=6)
    result = latent_interpolation.run(asked, load_shape_space=SuddenSpace)
    heights = [np.ptp(mesh.vertices[:, 2]) / np.ptp(mesh.vertices[:, 0]) for mesh in result.meshes]
    changes = -np.diff(heights)
    assert changes.max() < 2 * changes.mean() and changes.min() > 0.3 * changes.mean()


def test_a_mesh_that_did_not_change_is_encoded_once(files, tmp_path):
    encoded = []

    class Counting(FakeShapeSpace):
        def encode(self, mesh):
            encoded.append(len(mesh.faces))
            return super().encode(mesh)

    release_models()
    changing = tmp_path / "changing.ply"
    for radii, times in (((1, 1, 1), 2), ((2, 1, 1), 3)):
        write_mesh(changing, ellipsoid_mesh(radii))
        for _ in range(2):
            asked = recipe(files["ball"], str(changing), blend=(1, 1))
            latent_interpolation.run(asked, load_shape_space=Counting)
        assert len(encoded) == times
    release_models()


def test_a_mesh_of_very_many_faces_says_that_points_stand_for_it(files, monkeypatch):
    monkeypatch.setattr(latent_interpolation, "MANY_FACES", 500)
    release_models()
    notes = run(recipe(files["ball"], files["ball"], steps=2)).notes
    assert sum("points on its surface stand for them" in note for note in notes) == 1
    release_models()


def test_a_blend_makes_the_one_shape_with_those_weights(files):
    result = run(recipe(files["ball"], files["disc"], blend=(1, 3)))
    assert result.following == () and result.notes == []
    np.testing.assert_allclose(
        np.ptp(in_metres(result, result.mesh.vertices), axis=0)[0], 0.25 * 2 + 0.75 * 4, rtol=0.02
    )


def test_keyframes_are_made_as_shape_keys_are(files):
    asked = {"steps": 3, "face_count": 600}
    keys = run(recipe(files["ball"], files["disc"], output="shape keys", **asked))
    played = run(recipe(files["ball"], files["disc"], output="keyframes", **asked))
    np.testing.assert_array_equal(keys.shape_keys, played.shape_keys)


@pytest.mark.parametrize("output", ["meshes", "shape keys"])
def test_identical_meshes_give_the_same_shape_at_every_step(files, output):
    result = run(recipe(files["disc"], files["disc"], output=output))
    shapes = result.shape_keys if output == "shape keys" else [mesh.vertices for mesh in result.meshes]
    for shape in shapes:
        np.testing.assert_allclose(shape, shapes[0], atol=5e-3)


def test_the_same_recipe_gives_the_same_meshes_bit_for_bit(files):
    asked = recipe(files["ball"], files["disc"], output="shape keys")
    np.testing.assert_array_equal(run(asked).shape_keys, run(asked).shape_keys)


def test_progress_only_rises_and_previews_show_every_step(files):
    heard, previews = [], []
    run(
        recipe(files["ball"], files["disc"]),
        progress=lambda stage, fraction: heard.append((stage, fraction)),
        preview=previews.append,
    )
    order = [(["Loading", "Sampling", "Extracting"].index(stage), round(fraction, 6)) for stage, fraction in heard]
    assert order == sorted(order) and order[-1] == (2, 1)
    assert len(previews) == 3 and all(mesh.vertices[:, 2].min() == pytest.approx(0, abs=0.1) for mesh in previews)


@pytest.mark.parametrize("output", ["meshes", "shape keys"])
def test_cancel_stops_it_in_the_middle(files, output):
    heard = []
    with pytest.raises(Cancelled):
        run(
            recipe(files["ball"], files["disc"], output=output),
            progress=lambda stage, fraction: heard.append(fraction if stage == "Extracting" else 0),
            cancelled=lambda: bool(heard) and heard[-1] > 0.3,
        )
    assert heard[-1] < 0.9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meshes": ("a.ply",)}, "two to 8 meshes"),
        ({"meshes": "a.ply"}, "list of file names"),
        ({"steps": 1}, "Steps must lie between 2 and 64"),
        ({"path": "round"}, "Path must be one of linear, spherical"),
        ({"output": "film"}, "Output must be one of"),
        ({"blend": "0.5"}, "list of numbers"),
        ({"blend": (0.5, "x")}, "must be a number"),
        ({"blend": (0.5, float("nan"))}, "finite"),
    ],
)
def test_recipes_that_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Recipe.create("latent_interpolation", "latent interpolation", **{"meshes": ("a.ply", "b.ply"), **changes})


def test_a_recipe_comes_back_from_json_as_it_was():
    asked = recipe("folder/A chair.ply", "b.glb", blend=[0.25, 0.75])
    assert Recipe.from_json(asked.to_json()) == asked
    assert asked.title == "A chair to b"


def test_files_and_weights_that_make_no_shape_are_said(files, tmp_path):
    point = tmp_path / "sliver.ply"
    write_mesh(point, Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]])))
    for bad, words in (("missing.ply", "no file"), (str(point), "sliver")):
        with pytest.raises(InputError, match=words):
            run(recipe(files["ball"], bad))
    with pytest.raises(InputError, match="one weight for each shape"):
        run(recipe(files["ball"], files["disc"], blend=(1,)))
    with pytest.raises(InputError, match="add up to 0"):
        run(recipe(files["ball"], files["disc"], blend=(1, -1)))
    other = Recipe.from_dict({**recipe("a", "b").to_dict(), "weights": {"autoencoder.safetensors": "c" * 64}})
    with pytest.raises(MachineError, match="other weights"):
        run(other)


def test_the_error_of_a_known_offset_is_that_offset():
    ball = ellipsoid_mesh((0.9, 0.9, 0.9))
    larger = Mesh(ball.vertices * 1.1, ball.faces)
    assert reconstruction_error(ball, larger) == pytest.approx(0.05, abs=0.005)  # 0.09 of 1.8
    assert reconstruction_error(ball, ball) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("output", "names"), [("meshes", ["step-01.glb", "step-02.glb"]), ("shape keys", ["shape-keys.glb"])]
)
def test_the_command_line_writes_the_steps(files, tmp_path, monkeypatch, capsys, output, names):
    monkeypatch.setattr(loaded_models.ShapeSpace, "load", lambda device: FakeShapeSpace())
    release_models()
    out = tmp_path / "new" / "folder"
    options = ["--steps", "2", "--detail", "32", "--face-count", "800", "--output", output, "--device", "cpu"]
    assert main(["interpolate", files["ball"], files["disc"], *options, "--out", str(out)]) == 0
    release_models()
    streams = capsys.readouterr()
    assert streams.out.split("\n")[:-1] == [str(out / name) for name in names]
    assert "given back" in streams.err
    content = (out / names[0]).read_bytes()
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    assert ("targets" in document["meshes"][0]["primitives"][0]) == (output == "shape keys")


def test_a_folder_that_is_a_file_is_refused_before_the_work(files, tmp_path, capsys):
    taken = tmp_path / "file"
    taken.write_text("x")
    assert main(["interpolate", files["ball"], files["disc"], "--out", str(taken)]) == 2
    assert "name a folder" in capsys.readouterr().err


def test_a_result_checks_its_shape_keys():
    mesh = ellipsoid_mesh((0.9, 0.9, 0.9))
    with pytest.raises(InputError, match="shape keys"):
        Result(mesh, np.eye(4), recipe("a", "b"), {}, [], shape_keys=np.zeros((2, 3, 3)))
