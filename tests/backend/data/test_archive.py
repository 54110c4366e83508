from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from backend.data.archive import Archive
from backend.errors import InputError


def test_objects_are_read_with_their_records(write_archive, tmp_path: Path) -> None:
    archive = Archive(write_archive(tmp_path / "größer data.zip"))
    assert len(archive) == 3 and [shape.id for shape in archive] == ["t1", "t2", "t3"]
    table, apple, sheet = archive
    assert (table.name, table.caption, table.class_name) == ("A Wide Table", "a wide table", "table")
    assert table.tags == ("tiny",) and table.category == "Tests"
    assert table.size_m == (1.8, 1.0, 0.6) and apple.size_m is None
    assert table.watertight and not sheet.watertight
    assert table.has_color and apple.has_color and not sheet.has_color
    assert table.vertices.dtype == np.float64 and table.faces.dtype == np.int64
    np.testing.assert_allclose(table.vertices.max(0), [0.9, 0.5, 0.3], atol=2 / 65535)
    assert table.faces.shape == (12, 3) and table.face_colors.shape == (12, 3)
    assert (apple.face_colors == (200, 20, 20)).all() and apple.face_colors.dtype == np.uint8


@pytest.mark.parametrize("kind", ["missing", "text", "folder", "no meta", "broken meta", "binary meta"])
def test_what_is_no_data_set_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    if kind == "text":
        path.write_text("a chair")
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other.txt", "a chair")
            if kind != "no meta":
                content = {"broken meta": json.dumps([{"id": "t1"}])[:-2], "binary meta": b"\xff\xfe\xfd\xfc"}[kind]
                archive.writestr("meta.json", content)
    expected = "does not exist" if kind == "missing" else r"is not a data-set zip with a meta\.json"
    with pytest.raises(InputError, match=expected):
        Archive(path)
