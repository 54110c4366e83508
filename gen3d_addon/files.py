"""Files that appear only when they are whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .backend.recipe import MachineError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; when the block ends well, it takes the place of `path`.

    Raises:
        MachineError: nothing was written there, or the disk does not let it be.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
            unfinished = Path(folder) / path.name
            yield unfinished
            if not unfinished.is_file():
                raise MachineError(f"{path} could not be saved: is the disk full?")
            os.replace(unfinished, path)
    except OSError as error:
        raise MachineError(f"{path} could not be saved: {error.strerror or error}.") from error
