"""What became of each job of a headless run: manifest.jsonl in the folder of its results, one JSON object a line.

request     the recipe that was asked for (absent for a line that is no recipe)
status      "done" or "failed"
outputs     kind ("glb", "blend", "png", "views") to file name in the folder, or to a list of them for a series
recipe      the recipe with the weights' hashes; seconds: stage to seconds; notes: sentences
error       why it failed; exit_code: 2 or 3; line: of the jobs file
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .backend.recipe import MachineError, Recipe

NAME = "manifest.jsonl"


class Manifest:
    """The manifest of one folder. Lines are only ever added; a line cut short by a crash is passed over."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; raises MachineError when it cannot be read."""
        self._folder = folder
        self._path = folder / NAME
        self._outputs: dict[str, dict[str, Any]] = {}
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        except OSError as error:
            raise MachineError(f"{self._path} cannot be read: {error.strerror or error}.") from error
        self._starts_new_line = not text or text.endswith("\n")
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("status") == "done" and isinstance(entry.get("outputs"), dict):
                self._outputs.setdefault(_key(entry.get("request")), {}).update(entry["outputs"])

    def is_finished(self, request: Recipe, kinds: Iterable[str]) -> bool:
        """Whether this recipe has been made before and its files of those kinds are still there."""
        outputs = self._outputs.get(_key(request.to_dict()), {})
        return all(
            kind in outputs and all((self._folder / name).is_file() for name in file_names(outputs[kind]))
            for kind in kinds
        )

    def add(self, entry: dict[str, Any]) -> None:
        """Append one line; raises MachineError when the disk does not let it be."""
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        try:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(line if self._starts_new_line else "\n" + line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MachineError(f"{self._path} cannot be written: {error.strerror or error}.") from error
        self._starts_new_line = True
        if entry["status"] == "done":
            self._outputs.setdefault(_key(entry["request"]), {}).update(entry["outputs"])


def file_names(outputs: object) -> list[str]:
    """The names of one kind of files of a job, one or a series."""
    return [str(name) for name in outputs] if isinstance(outputs, list) else [str(outputs)]


def _key(request: object) -> str:
    return json.dumps(request, sort_keys=True)
