"""The weights that come with the checkout: whole, described, small enough, and a shape space that works."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open

from backend.mesh import Mesh
from backend.models.shape_space import ShapeSpace
from backend.weights.bundled import AUTOENCODER, FOLDER, PRIOR, SCALE, expected_hashes, sha256

LIMIT = 60 * 2**20
COUNTER = "num_batches_tracked"
"""A whole number that every layer of batch normalisation keeps."""


def test_every_weights_file_is_recorded_described_and_whole() -> None:
    files = {path.name for path in FOLDER.glob("*.safetensors")}
    assert files == set(expected_hashes()) >= {AUTOENCODER, PRIOR}
    for name in files:
        path = FOLDER / name
        assert sha256(path) == expected_hashes()[name], name
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert card.startswith("# ") and "## Training" in card and "## Licence" in card
        with safe_open(path, "pt") as file:
            names = [key for key in file.keys() if not key.endswith(COUNTER)]  # noqa: SIM118 - no mapping
            kinds = {key: file.get_slice(key).get_dtype() for key in names}
        scales = {key for key in kinds if key.endswith(SCALE)}
        assert {kinds[key] for key in kinds.keys() - scales} <= {"F16", "I8"}, name
        assert {key.removesuffix(SCALE) for key in scales} == {key for key in kinds if kinds[key] == "I8"}, name


def test_all_weights_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) <= LIMIT


def test_credits_name_the_makers_who_ask_for_it() -> None:
    credits = (FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    assert "554 objects" in credits and "Emmanuel Puybaret / eTeks" in credits and "licenses/by/3.0/" in credits
    assert len(credits.encode()) < 30_000


@pytest.fixture(scope="module")
def space() -> ShapeSpace:
    return ShapeSpace.load()


def test_a_table_survives_encoding_and_decoding(space: ShapeSpace, box) -> None:
    """A table with a red top, as a mesh → latent → field: the overlap with the exact solid, and the top's colour."""
    parts = [((-0.9, -0.6, 0.3), (0.9, 0.6, 0.45))]
    legs = [((x, y, -0.45), (x + 0.12, y + 0.12, 0.32)) for x in (-0.85, 0.73) for y in (-0.55, 0.43)]
    boxes = [box(*part) for part in (*parts, *legs)]
    vertices = np.concatenate([vertices for vertices, _ in boxes])
    faces = np.concatenate([faces + 8 * index for index, (_, faces) in enumerate(boxes)])
    mesh = Mesh(vertices, faces, colors=np.tile([0.6, 0.02, 0.02], (len(vertices), 1)))
    field = space.field(space.encode(mesh))
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 3)).astype(np.float32)
    exact = np.any([((points > low) & (points < high)).all(1) for low, high in (*parts, *legs)], axis=0)
    ours = field.signed_distance(torch.from_numpy(points)).numpy() < 0
    assert (ours & exact).sum() / (ours | exact).sum() > 0.6
    color = field.color(torch.tensor([[0.0, 0.0, 0.45]]))[0]
    assert color[0] > 1.3 * color[1] and color[0] > 1.3 * color[2], "red"


def test_prompts_give_shapes_in_model_space(space: ShapeSpace) -> None:
    points = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (20_000, 3)).astype(np.float32))
    for prompt in ("a chair", "a house"):
        field = space.field(space.sample(prompt, seed=0, steps=8, guidance_scale=3.0))
        inside = points[field.signed_distance(points) < 0]
        assert 0.005 < len(inside) / len(points) < 0.6, prompt
        # Objects are made with a largest half-extent of 0.9.
        assert 0.7 < inside.abs().max() < 0.99, prompt
