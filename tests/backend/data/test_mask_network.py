"""Networks that tell objects from their ground, as small ONNX files of the published layouts that are made here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from backend.data.cut_out import cut_out
from backend.data.mask_network import ISNET, U2NET, MaskNetwork
from backend.data.pictures import Picture
from backend.errors import InputError, MachineError

RED = (0.8, 0.1, 0.1)


def _write_red_finder(path: Path, size: int, *, gain: float = 1.0) -> Path:
    """A network whose map is what it sees of red less what it sees of green, times `gain`."""
    weights = helper.make_tensor("weights", TensorProto.FLOAT, (1, 3, 1, 1), [gain, -gain, 0])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input.1", "weights"], ["1959"])],
        "finder",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, (1, 3, size, size))],
        [helper.make_tensor_value_info("1959", TensorProto.FLOAT, (1, 1, size, size))],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def picture() -> Picture:
    """A red square on mottled ground."""
    pixels = np.ones((60, 80, 4), np.float32)
    pixels[..., :3] = np.random.default_rng(0).uniform(0.3, 0.6, (60, 80, 1))
    pixels[20:40, 30:60, :3] = RED
    return Picture(pixels)


@pytest.mark.parametrize("layout", [U2NET, ISNET], ids=["U²-Net", "IS-Net"])
def test_a_network_cuts_the_object_out(tmp_path: Path, picture: Picture, layout: tuple) -> None:
    cut = cut_out(picture, find=MaskNetwork.load(_write_red_finder(tmp_path / "finder.onnx", layout[0])))
    assert cut.mask[22:38, 32:58].min() > 0.75 and cut.mask[:18].max() < 0.3
    found = cut.mask > 0.5
    wanted = np.zeros_like(found)
    wanted[20:40, 30:60] = True
    assert (found & wanted).sum() / (found | wanted).sum() > 0.9
    assert any("told from the ground" in note for note in cut.notes)


def test_colours_are_brought_to_what_the_network_was_trained_with(tmp_path: Path) -> None:
    """Of a picture whose brightest value is 0.5, red alone: (0.5 / 0.5 − mean) / deviation."""
    network = MaskNetwork.load(_write_red_finder(tmp_path / "finder.onnx", 320))
    seen = []

    class Listening:
        get_inputs = network.session.get_inputs

        @staticmethod
        def run(_: None, asked: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.append(asked["input.1"])
            return [np.zeros((1, 1, 320, 320))]

    network.session = Listening
    srgb = np.zeros((32, 32, 3), np.float32)
    srgb[..., 0] = 0.5
    assert not network(srgb).any()
    (given,) = seen
    assert given.shape == (1, 3, 320, 320) and given.dtype == np.float32
    assert given[0, :, 5, 5] == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rel=1e-5)


def test_a_network_that_sees_nothing_is_no_object(tmp_path: Path, picture: Picture) -> None:
    network = MaskNetwork.load(_write_red_finder(tmp_path / "finder.onnx", 320, gain=0.0))
    with pytest.raises(InputError, match="No object"):
        cut_out(picture, find=network)


def test_the_users_mask_and_the_pictures_alpha_win(picture: Picture) -> None:
    def never(_: np.ndarray) -> np.ndarray:
        raise AssertionError("The network is not to be asked.")

    mask = np.zeros((60, 80), np.float32)
    mask[5:15, 5:15] = 1
    assert cut_out(picture, mask, find=never).mask[10, 10] == 1
    picture.pixels[:10, :, 3] = 0
    assert cut_out(picture, find=never).mask[5, 40] == 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no mask model"):
        MaskNetwork.load(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="no ONNX file"):
        MaskNetwork.load(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="is no mask model"):
        MaskNetwork.load(_write_red_finder(tmp_path / "small.onnx", 64))


def test_without_onnxruntime_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write_red_finder(tmp_path / "finder.onnx", 320)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MachineError, match=r"requirements/published_models\.txt"):
        MaskNetwork.load(path)
