from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.data import packing
from backend.data.archive import Archive
from backend.data.packing import LAYOUT, open_packed, pack
from backend.data.sampling import sample_shape
from backend.errors import InputError


@pytest.fixture
def source(write_archive, tmp_path: Path) -> Path:
    return write_archive(tmp_path / "tiny.zip")


def test_every_object_is_packed_with_its_own_generator(source: Path, tmp_path: Path) -> None:
    data = pack(source, tmp_path / "packed", seed=3, processes=1)
    assert len(data) == 3
    assert [record["id"] for record in data.records] == ["t1", "t2", "t3"]
    assert [record["has_color"] for record in data.records] == [True, True, False]
    for index, shape in enumerate(Archive(source)):
        samples = sample_shape(shape, np.random.default_rng([3, index]))
        for name, (layout, dtype) in LAYOUT.items():
            packed = getattr(data, name)
            assert packed.shape == (3, *layout) and packed.dtype == dtype
            assert (packed[index] == getattr(samples, name)).all(), (index, name)


def test_classes_are_found(source: Path, tmp_path: Path) -> None:
    data = pack(source, tmp_path / "packed", processes=1)
    assert data.indices_of({"food", "table"}).tolist() == [0, 1]
    assert data.indices_of({"boat"}).tolist() == []


def test_what_is_packed_already_is_opened_as_it_is(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pack(source, tmp_path / "packed", processes=1)
    monkeypatch.delattr(packing, "sample_shape")
    source.unlink()
    again = pack(source, tmp_path / "packed", processes=1)
    assert again.records == first.records
    assert (again.query_distances == first.query_distances).all()
    assert not again.query_distances.flags.writeable


def test_packing_that_was_cut_off_begins_anew(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packed"

    def progress(work, *_, **__):
        yield next(iter(work))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "tqdm", progress)
        with pytest.raises(KeyboardInterrupt):
            pack(source, folder, processes=1)
    with pytest.raises(InputError, match="holds no packed data set"):
        open_packed(folder)
    resumed, whole = pack(source, folder, processes=1), pack(source, tmp_path / "whole", processes=1)
    for name in LAYOUT:
        assert (getattr(resumed, name) == getattr(whole, name)).all()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(f"{name}.npy" for name in LAYOUT), "records.json"]
    )


def test_packed_data_of_another_layout_is_refused(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    records = pack(source, folder, processes=1).records
    (folder / "records.json").write_text(json.dumps(records[:2]))
    with pytest.raises(InputError, match=r"another layout than this version packs; delete the folder"):
        open_packed(folder)
    (folder / "records.json").write_text(json.dumps(records))
    np.save(folder / "query_distances.npy", np.zeros((3, 5), np.float16))
    with pytest.raises(InputError, match=r"query_distances\.npy has another layout"):
        open_packed(folder)
    (folder / "query_distances.npy").write_bytes(b"cut")
    with pytest.raises(InputError, match="delete it and pack again"):
        open_packed(folder)


def test_a_missing_source_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        pack(tmp_path / "nowhere.zip", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
