from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.data.views import pack_views


def test_every_object_is_pictured_once(write_archive, tmp_path: Path) -> None:
    source = write_archive(tmp_path / "tiny.zip")
    views = pack_views(source, tmp_path / "packed", processes=1)
    assert views.shape == (3, 8, 64, 64, 4) and views.dtype == np.uint8
    for pictures, brightest in zip(views[:2], (0, 0), strict=True):  # a brown table, a red apple
        seen = pictures[pictures[..., 3] == 255]
        assert 0.1 < len(seen) / pictures[..., 0].size < 0.9
        assert np.argmax(seen[:, :3].mean(axis=0)) == brightest
    assert len({picture.tobytes() for picture in views[0]}) == 8
    source.unlink()
    np.testing.assert_array_equal(pack_views(source, tmp_path / "packed"), views)


def test_an_interrupted_packing_begins_anew(write_archive, tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "views.unfinished").write_bytes(b"cut short")
    assert pack_views(write_archive(tmp_path / "tiny.zip"), folder, processes=1).shape == (3, 8, 64, 64, 4)
    assert not (folder / "views.unfinished").exists()
