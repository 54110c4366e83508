"""Downloads from a model hub: whole files that are what the hub announced, or none.

A download goes on where a former one was cut off, and counts only when its checksum is the one that the hub announced
for that revision, and the one that is known of the published file where one is; what was fetched is written down beside
the files, so that a recipe can name it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as made_by
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..errors import InputError, MachineError
from .bundled import sha256

ENDPOINT = "https://huggingface.co"
FOLDER_VARIABLE = "GEN3D_MODELS"
TOKEN_VARIABLE = "HF_TOKEN"
BLOCK = 1 << 20
SECONDS = 30.0
"""Without an answer, after which a connection counts as lost."""
RECORD = "gen3d.json"
REDIRECTS = (301, 302, 303, 307, 308)

Told = Callable[[str, int, int], None]
"""Told of a file's name, bytes done and bytes in all; may raise to stop."""


@dataclass(frozen=True)
class Repository:
    """Files of a hub's repository. revision: a branch, a tag or a commit. licence: its name, for people to accept
    before anything is fetched, and the address of its text. size: about, in bytes, for the same reason. sha256: file →
    what its content must have, of the files of which that is known."""

    name: str
    files: tuple[str, ...]
    revision: str
    licence: str
    licence_address: str
    size: int
    sha256: Mapping[str, str] = made_by(default_factory=dict)

    @property
    def terms(self) -> str:
        """What a user should know before the download, one sentence."""
        return f"{self.name} ({self.size / 1e9:.1f} GB) is published under {self.licence}, {self.licence_address}."


@dataclass(frozen=True)
class _Announced:
    """What the hub says of a file: the commit that the revision stands for, its checksum (SHA-256 of large files, git's
    SHA-1 of small ones), its bytes, and where they are."""

    commit: str
    checksum: str
    size: int
    address: str


def models_folder() -> Path:
    """Where downloaded models lie: $GEN3D_MODELS, or among the user's caches."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "gen3d" / "models"


def downloaded(repository: Repository, folder: Path) -> Path | None:
    """The folder with the repository's files in `folder`, or None when not all have been fetched."""
    place = _place(repository, folder)
    return place if all(_is_there(repository, name, place) for name in repository.files) else None


def hashes(repository: Repository, folder: Path) -> dict[str, str]:
    """Repository/file → SHA-256 of the files, which are read for it.

    Raises MachineError when not all were fetched, and when one is no longer what was.
    """
    place = downloaded(repository, folder)
    if place is None:
        raise MachineError(f"{repository.name} has not been fetched: fetch it first.")
    known = _record(place)
    for name in repository.files:
        if sha256(place / name) != known[name]["sha256"]:
            raise MachineError(f"'{place / name}' is no longer what was fetched: delete it and fetch it again.")
    return {f"{repository.name}/{name}": known[name]["sha256"] for name in repository.files}


def download(
    repository: Repository,
    folder: Path,
    *,
    licence_accepted: bool,
    online: bool = True,
    endpoint: str = ENDPOINT,
    progress: Told | None = None,
) -> Path:
    """The folder with the repository's files, fetched unless they are there already.

    online: whether the user allows the network. `progress(file, done, total)`, in bytes, is called after every
    block and may raise to stop; what was fetched until then is kept, and the next call goes on from there. A token in
    $HF_TOKEN is shown to the hub, and to nobody that it sends one on to. Raises InputError when the licence was not
    accepted, and MachineError, with no file left that counts, when the network may not be used or fails, when the disk
    is too small, and when a file is not the announced one or not the one that is known.
    """
    place = _place(repository, folder)
    if downloaded(repository, folder) is not None:
        return place
    if not licence_accepted:
        raise InputError(f"{repository.terms} Read the licence, and accept it to fetch the files.")
    if not online:
        raise MachineError(
            f"{repository.name} is not on this machine, and the network may not be used: allow online access, or give "
            "the file of the model."
        )
    for name in repository.files:
        if not _is_there(repository, name, place):
            _download_file(repository, name, place, endpoint, progress)
    return place


def _download_file(repository: Repository, name: str, place: Path, endpoint: str, progress: Told | None) -> None:
    path = place / name
    whole_name = f"{repository.name}/{name}"
    known = repository.sha256.get(name)
    try:
        announced = _announced(f"{endpoint}/{repository.name}/resolve/{repository.revision}/{name}")
        if known is not None and len(announced.checksum) == len(known) and announced.checksum != known:
            raise MachineError(_another(whole_name, announced.checksum, known))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Named after the checksum, so that the rest of another version is never added to it.
        part = path.with_name(f"{path.name}.{announced.checksum[:12]}.part")
        _require_space(part, announced.size)
        _fetch(announced, part, lambda done: progress(name, done, announced.size) if progress is not None else None)
    except urllib.error.HTTPError as error:
        raise MachineError(_refused(whole_name, error, repository)) from error
    except (OSError, HTTPException) as error:
        raise MachineError(
            f"{whole_name} could not be fetched ({error}): try again, and what is there already will not be fetched "
            "twice."
        ) from error
    digest = sha256(part)
    found = digest if len(announced.checksum) == len(digest) else _git_name(part)
    if found != announced.checksum:
        part.unlink()
        raise MachineError(
            f"{whole_name} arrived damaged: its checksum is {found}, not {announced.checksum}. Try again."
        )
    if known is not None and digest != known:
        part.unlink()
        raise MachineError(_another(whole_name, digest, known))
    os.replace(part, path)
    record = _record(place) | {name: {"commit": announced.commit, "sha256": digest}}
    unfinished = place / (RECORD + ".unfinished")
    unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(unfinished, place / RECORD)


def _another(whole_name: str, found: str, known: str) -> str:
    return (
        f"{whole_name} is not the file that was published: its SHA-256 is {found}, not {known}. It was not kept: get "
        "the published one elsewhere, and give it as the checkpoint."
    )


def _refused(whole_name: str, error: urllib.error.HTTPError, repository: Repository) -> str:
    if error.code in (401, 403):
        return (
            f"The hub does not give {whole_name} to everybody: accept the licence on {ENDPOINT}/{repository.name} and "
            f"put a token of yours into the environment variable {TOKEN_VARIABLE}."
        )
    return f"{whole_name} could not be fetched ({error}): see whether the repository still has it."


def _is_there(repository: Repository, name: str, place: Path) -> bool:
    """Whether a file was fetched, whole, and is what is known of it."""
    record = _record(place).get(name)
    if record is None or not (place / name).is_file():
        return False
    return record["sha256"] == repository.sha256.get(name, record["sha256"])


def _place(repository: Repository, folder: Path) -> Path:
    return folder / repository.name.replace("/", "--")


def _record(place: Path) -> dict[str, dict[str, str]]:
    """What was fetched into a folder: file → commit and SHA-256. Raises MachineError when that cannot be read."""
    try:
        return json.loads((place / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MachineError(f"{place / RECORD} cannot be read ({error}): delete that folder and fetch again.") from error


class _StayHere(urllib.request.HTTPRedirectHandler):
    """The hub answers with headers of its own before it sends one on to where the bytes are."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _announced(address: str) -> _Announced:
    headers = {"Accept-Encoding": "identity"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(address, method="HEAD", headers=headers)
    try:
        found = urllib.request.build_opener(_StayHere).open(request, timeout=SECONDS).headers
    except urllib.error.HTTPError as error:
        if error.code not in REDIRECTS:
            raise
        found = error.headers
    checksum = (found.get("X-Linked-Etag") or found.get("ETag") or "").removeprefix("W/").strip('"')
    size = int(found.get("X-Linked-Size") or found.get("Content-Length") or 0)
    if len(checksum) not in (40, 64) or size <= 0:
        raise MachineError(f"{address} does not tell its checksum and size, so a download could not be checked.")
    where = urljoin(address, found.get("Location") or address)
    return _Announced(found.get("X-Repo-Commit", ""), checksum, size, where)


def _require_space(part: Path, size: int) -> None:
    missing = size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise MachineError(
            f"The download needs {missing / 1e9:.1f} GB, and {part.parent} has {free / 1e9:.1f} GB left."
        )


def _fetch(announced: _Announced, part: Path, tell: Callable[[int], None]) -> None:
    done = part.stat().st_size if part.exists() else 0
    if done > announced.size:
        part.unlink()
        done = 0
    if done == announced.size:
        return
    headers = {"Range": f"bytes={done}-"} if done else {}
    token = os.environ.get(TOKEN_VARIABLE)
    if token and urlsplit(announced.address).hostname == urlsplit(ENDPOINT).hostname:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(announced.address, headers=headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        if done and answer.status != 206:  # the server knows no ranges: begin anew
            done = 0
        with part.open("ab" if done else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                tell(done)
    if done != announced.size:
        raise OSError(f"the connection ended after {done} of {announced.size} bytes")


def _git_name(path: Path) -> str:
    """The SHA-1 by which git names a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
