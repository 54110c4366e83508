"""Downloads, from a small hub of our own on this machine: whole, cut off and resumed, damaged, refused."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from backend.errors import Cancelled, InputError, MachineError
from backend.weights import hub
from backend.weights.hub import Repository, download, downloaded, hashes, models_folder
from backend.weights.published import PUBLISHED

CONTENT = np.random.default_rng(0).bytes(300_000)
CONFIG = b'{"width": 3}'
CONFIG_IN_GIT = "0654c763ae9afa95b5819dfa91982ea57b2b2dd0"  # git hash-object
NAME = "unet/weights.ckpt"
MODEL = Repository("somebody/model", (NAME, "config.json"), "main", "the MIT licence", "https://example.org", 300_012)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KNOWN = dataclasses.replace(MODEL, sha256={NAME: SHA256})
OTHER = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]


class Hub(ThreadingHTTPServer):
    """Answers as the hub does: the address of a large file tells its hash and sends one on to where the bytes are, that
    of a small one gives the bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.sha256 = CONTENT, hashlib.sha256(CONTENT).hexdigest()
        self.ranges: list[str | None] = []
        self.tokens: list[tuple[str, str | None]] = []
        self.knows_ranges, self.cut_after, self.gated = True, len(CONTENT), False


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.server.tokens.append((self.path, self.headers.get("Authorization")))
        if self.server.gated:
            return self.send_error(403)
        if self.path == "/somebody/model/resolve/main/unet/weights.ckpt":
            self.send_response(302)
            self.send_header("Location", "/bytes")
            self.send_header("X-Linked-Etag", f'"{self.server.sha256}"')
            self.send_header("X-Linked-Size", str(len(self.server.content)))
            self.send_header("X-Repo-Commit", "0123abc")
            self.send_header("Content-Length", "0")
        elif self.path == "/somebody/model/resolve/main/config.json":
            self.send_response(200)
            self.send_header("ETag", f'"{CONFIG_IN_GIT}"')
            self.send_header("Content-Length", str(len(CONFIG)))
        else:
            return self.send_error(404)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.tokens.append((self.path, self.headers.get("Authorization")))
        content = self.server.content if self.path == "/bytes" else CONFIG
        asked, start = self.headers.get("Range"), 0
        if self.path == "/bytes":
            self.server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.knows_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : max(start, self.server.cut_after)])
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def get(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """get(**changes) → the folder that the files were fetched to."""
    monkeypatch.setattr(hub, "BLOCK", 1 << 16)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    return lambda model=MODEL, **changes: download(
        model, tmp_path, **{"licence_accepted": True, "endpoint": endpoint} | changes
    )


def test_files_are_fetched_once_and_their_origin_is_recorded(get, server: Hub, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    assert downloaded(MODEL, tmp_path) is None
    folder = get(progress=lambda *given: told.append(given))
    assert (folder / NAME).read_bytes() == CONTENT and (folder / "config.json").read_bytes() == CONFIG
    assert downloaded(MODEL, tmp_path) == folder
    assert (NAME, len(CONTENT), len(CONTENT)) in told and len(told) > 4
    assert hashes(MODEL, tmp_path) == {
        "somebody/model/unet/weights.ckpt": server.sha256,
        "somebody/model/config.json": hashlib.sha256(CONFIG).hexdigest(),
    }
    assert get(online=False, licence_accepted=False) == folder and len(server.ranges) == 1


def test_a_download_that_was_cut_off_goes_on(get, server: Hub, tmp_path: Path) -> None:
    server.cut_after = 100_000
    with pytest.raises(MachineError, match="will not be fetched twice"):
        get()
    assert downloaded(MODEL, tmp_path) is None
    server.cut_after = len(CONTENT)
    assert (get() / NAME).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_cancel_keeps_what_is_there(get, server: Hub) -> None:
    def stop(file: str, done: int, total: int) -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        get(progress=stop)
    assert (get() / NAME).read_bytes() == CONTENT
    assert server.ranges[1] is not None


def test_a_server_without_ranges_sends_all_again(get, server: Hub) -> None:
    server.cut_after, server.knows_ranges = 100_000, False
    with pytest.raises(MachineError):
        get()
    server.cut_after = len(CONTENT)
    assert (get() / NAME).read_bytes() == CONTENT


def test_a_damaged_file_does_not_count(get, server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(MachineError, match="arrived damaged"):
        get()
    assert downloaded(MODEL, tmp_path) is None
    server.content = CONTENT
    with monkeypatch.context() as changed:
        changed.setattr(f"{__name__}.CONFIG", b'{"width": 4}')
        with pytest.raises(MachineError, match=r"config\.json arrived damaged"):
            get()
    assert (get() / NAME).read_bytes() == CONTENT


def test_what_is_known_of_a_file_is_asked_of_it(get, server: Hub, tmp_path: Path) -> None:
    assert get(KNOWN) == downloaded(KNOWN, tmp_path)
    assert hashes(KNOWN, tmp_path)["somebody/model/unet/weights.ckpt"] == SHA256


def test_a_file_that_the_hub_announces_differently_is_not_even_begun(get, server: Hub, tmp_path: Path) -> None:
    server.content, server.sha256 = OTHER, hashlib.sha256(OTHER).hexdigest()
    wrong = (
        rf"weights\.ckpt is not the file that was published: its SHA-256 is {server.sha256}, not {SHA256}.*elsewhere"
    )
    with pytest.raises(MachineError, match=wrong):
        get(KNOWN)
    assert not server.ranges and not list(tmp_path.rglob("*.*"))
    assert (get() / NAME).read_bytes() == OTHER, "without anything known, the hub's word is taken"
    assert downloaded(KNOWN, tmp_path) is None
    server.content, server.sha256 = CONTENT, SHA256
    assert (get(KNOWN) / NAME).read_bytes() == CONTENT, "what was fetched of another file does not count"


def test_a_small_file_whose_content_is_known_is_looked_at(get, tmp_path: Path) -> None:
    right = hashlib.sha256(CONFIG).hexdigest()
    known = dataclasses.replace(MODEL, files=("config.json",), sha256={"config.json": "0" * 64})
    with pytest.raises(MachineError, match=rf"its SHA-256 is {right}, not 0{{64}}"):
        get(known)
    assert downloaded(known, tmp_path) is None and not list(tmp_path.rglob("*.part"))
    assert get(dataclasses.replace(known, sha256={"config.json": right})).joinpath("config.json").is_file()


def test_what_has_changed_since_it_was_fetched_is_noticed(get, tmp_path: Path) -> None:
    path = get() / NAME
    path.write_bytes(OTHER)
    with pytest.raises(MachineError, match="no longer what was fetched: delete it and fetch it again"):
        hashes(MODEL, tmp_path)
    path.unlink()
    get()
    assert hashes(MODEL, tmp_path)["somebody/model/unet/weights.ckpt"] == SHA256


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_known_of_the_published_models_can_be_asked(name: str) -> None:
    model = PUBLISHED[name]
    assert set(model.sha256) == {file for file in model.files if file.endswith((".ckpt", ".safetensors"))}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in model.sha256.values())
    assert re.fullmatch("main|[0-9a-f]{40}", model.revision)


def test_without_leave_nothing_is_asked_of_the_network(get, server: Hub) -> None:
    with pytest.raises(MachineError, match="network may not be used"):
        get(online=False)
    with pytest.raises(InputError, match=r"the MIT licence, https://example\.org.* accept it"):
        get(licence_accepted=False)
    assert not server.tokens


def test_what_the_hub_does_not_have_or_does_not_vouch_for_is_refused(get, server: Hub, tmp_path: Path) -> None:
    other = Repository("somebody/model", ("other.ckpt",), "main", "MIT", "https://example.org", 1)
    with pytest.raises(MachineError, match=r"could not be fetched \(HTTP Error 404"):
        get(other)
    server.sha256 = "no hash"
    with pytest.raises(MachineError, match="does not tell its checksum"):
        get()
    with pytest.raises(MachineError, match="has not been fetched"):
        hashes(MODEL, tmp_path)


def test_a_gated_model_asks_for_a_token_which_only_the_hub_is_shown(get, server: Hub, monkeypatch) -> None:
    server.gated = True
    with pytest.raises(MachineError, match="HF_TOKEN"):
        get()
    server.gated = False
    monkeypatch.setenv("HF_TOKEN", "secret")
    get()
    assert ("/somebody/model/resolve/main/unet/weights.ckpt", "Bearer secret") in server.tokens
    assert ("/bytes", None) in server.tokens


def test_a_hub_that_cannot_be_reached_is_told_of(get) -> None:
    with pytest.raises(MachineError, match="could not be fetched"):
        get(endpoint="http://127.0.0.1:9")


def test_a_disk_that_is_too_small_is_told_of(get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(MachineError, match="The download needs"):
        get()


def test_a_damaged_record_is_told_of(get, tmp_path: Path) -> None:
    (get() / "gen3d.json").write_text("{", encoding="utf-8")
    with pytest.raises(MachineError, match="fetch again"):
        downloaded(MODEL, tmp_path)


def test_the_folder_of_models_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEN3D_MODELS", str(tmp_path))
    assert models_folder() == tmp_path
    monkeypatch.delenv("GEN3D_MODELS")
    assert models_folder().parts[-2:] == ("gen3d", "models")
