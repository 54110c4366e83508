"""Messages between the add-on (the client) and its worker process.

The channel is a local TCP connection of `multiprocessing.connection` on 127.0.0.1, authenticated on both sides with a
random key of the client's. The client listens, starts the worker, and the worker connects; see start_worker.py.

A message is one JSON header, sent as bytes, followed by the raw bytes of each array that the header names: never
pickle. Both sides check every length, type and name before they use anything. Standard library and NumPy only.

    kind        from     fields                                                              arrays
    hello       worker   version, python: str; pid: int; devices, missing: [str]; reason: str
    generate    client   job: str; recipe: object
    cancel      client   job: str
    keep        client   job: str
    look        client   job: str; recipe: object
    progress    worker   job, stage: str; fraction: float
    preview     worker   job: str                                                            a mesh, in scene metres
    glimpse     worker   job, caption: str; loss: float                                      picture
    result      worker   job: str; recipe, timings: object; notes: [str]                     a mesh, transform,
                                                                                             shape_keys, viewpoint,
                                                                                             lens, views, more meshes
    error       worker   job, message: str; exit_code: int (2 input, 3 machine)
    cancelled   worker   job: str
    shutdown    client

Arrays of the further meshes of a series are named "1.vertices", "1.faces", … "2.vertices" and so on.

`job` is a name that the client chooses; every `generate` is answered by exactly one result, error or cancelled. `keep`
asks a job that optimises to end with what it has. `look` asks what would be taken of a recipe's picture, and is
answered by exactly one glimpse or error.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from typing import Any

import numpy as np

from .errors import InputError
from .mesh import Mesh
from .recipe import VERSION, Recipe, Result, Viewpoint

KEY_VARIABLE = "GEN3D_WORKER_KEY"
"""Environment variable that carries the authentication key to the worker, in hexadecimal digits."""

MAX_HEADER_BYTES = 1 << 20
MAX_ARRAY_BYTES = 1 << 29
MAX_ARRAYS = 512

_DTYPES = {name: np.dtype(name) for name in ("<f4", "<f8", "<i4", "|u1")}
_MESH_ARRAYS = ("vertices", "faces", "colors", "normals", "uvs", "texture")

_FIELDS: dict[str, dict[str, type]] = {
    "hello": {"version": str, "python": str, "pid": int, "devices": list, "missing": list, "reason": str},
    "generate": {"job": str, "recipe": dict},
    "cancel": {"job": str},
    "keep": {"job": str},
    "look": {"job": str, "recipe": dict},
    "progress": {"job": str, "stage": str, "fraction": float},
    "preview": {"job": str},
    "glimpse": {"job": str, "caption": str, "loss": float},
    "result": {"job": str, "recipe": dict, "timings": dict, "notes": list},
    "error": {"job": str, "message": str, "exit_code": int},
    "cancelled": {"job": str},
    "shutdown": {},
}


class ProtocolError(Exception):
    """The other side sent what is no message of this protocol; the channel is of no further use."""


@dataclass(frozen=True)
class Message:
    """One message: its kind, its fields (plain JSON values) and its arrays by name.

    Raises ProtocolError when kind, fields or arrays are not those of the table above.
    """

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = _FIELDS.get(self.kind) if isinstance(self.kind, str) else None
        if wanted is None:
            raise ProtocolError(f"There is no message of kind {self.kind!r}.")
        if not isinstance(self.fields, dict) or set(self.fields) != set(wanted):
            raise ProtocolError(f"The message {self.kind!r} must have the fields {sorted(wanted)}.")
        for name, kind in wanted.items():
            value: Any = self.fields[name]
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ProtocolError(f"The field {name!r} of the message {self.kind!r} must be of type {kind.__name__}.")
            if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
                raise ProtocolError(f"The field {name!r} of the message {self.kind!r} must be a list of texts.")


def hello(health: Mapping[str, Any]) -> Message:
    """The worker's first message, from the report of `start_worker.check_interpreter`."""
    report = {name: health[name] for name in ("python", "devices", "missing", "reason")}
    return Message("hello", {"version": VERSION, "pid": os.getpid(), **report})


def generate(job: str, recipe: Recipe) -> Message:
    return Message("generate", {"job": job, "recipe": recipe.to_dict()})


def cancel(job: str) -> Message:
    return Message("cancel", {"job": job})


def keep(job: str) -> Message:
    return Message("keep", {"job": job})


def look(job: str, recipe: Recipe) -> Message:
    return Message("look", {"job": job, "recipe": recipe.to_dict()})


def progress(job: str, stage: str, fraction: float) -> Message:
    return Message("progress", {"job": job, "stage": stage, "fraction": float(fraction)})


def preview(job: str, mesh: Mesh) -> Message:
    return Message("preview", {"job": job}, _mesh_arrays(mesh))


def glimpse(job: str, picture: np.ndarray, caption: str, loss: float) -> Message:
    return Message("glimpse", {"job": job, "caption": caption, "loss": float(loss)}, {"picture": picture})


def result(job: str, outcome: Result) -> Message:
    fields = {
        "job": job,
        "recipe": outcome.recipe.to_dict(),
        "timings": {stage: float(seconds) for stage, seconds in outcome.timings.items()},
        "notes": list(outcome.notes),
    }
    arrays = {**_mesh_arrays(outcome.mesh), "transform": outcome.transform}
    for number, mesh in enumerate(outcome.following, start=1):
        arrays |= _mesh_arrays(mesh, f"{number}.")
    if outcome.shape_keys is not None:
        arrays["shape_keys"] = outcome.shape_keys
    if outcome.viewpoint is not None:
        arrays["viewpoint"] = outcome.viewpoint.matrix
        arrays["lens"] = np.array([outcome.viewpoint.field_of_view, *outcome.viewpoint.shift])
    if outcome.views is not None:
        arrays["views"] = outcome.views
    return Message("result", fields, arrays)


def error(job: str, message: str, exit_code: int) -> Message:
    return Message("error", {"job": job, "message": message, "exit_code": exit_code})


def cancelled(job: str) -> Message:
    return Message("cancelled", {"job": job})


def shutdown() -> Message:
    return Message("shutdown")


def read_mesh(message: Message, prefix: str = "") -> Mesh:
    """The mesh that a preview or result carries in the arrays of that prefix; raises ProtocolError when they do not
    make one."""
    arrays = {name: message.arrays[prefix + name] for name in _MESH_ARRAYS if prefix + name in message.arrays}
    if not {"vertices", "faces"} <= set(arrays):
        raise ProtocolError(f"The message {message.kind!r} lacks the arrays of a mesh.")
    try:
        return Mesh(**arrays)
    except InputError as reason:
        raise ProtocolError(str(reason)) from reason


def read_glimpse(message: Message) -> np.ndarray:
    """The picture (H, W, 3) uint8 of a glimpse; raises ProtocolError."""
    picture = message.arrays.get("picture")
    if picture is None or picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ProtocolError("The glimpse lacks its picture.")
    return picture


def read_result(message: Message) -> Result:
    """The result that a message of that kind carries; raises ProtocolError."""
    if "transform" not in message.arrays:
        raise ProtocolError("The result lacks its transform.")
    timings = message.fields["timings"]
    if not all(isinstance(seconds, float) for seconds in timings.values()):
        raise ProtocolError("The result's timings must be numbers.")
    further = {name.partition(".")[0] for name in message.arrays if "." in name}
    numbers = range(1, len(further) + 1)
    if further != {str(number) for number in numbers}:
        raise ProtocolError("The further meshes of the result must be numbered from 1 on.")
    try:
        return Result(
            mesh=read_mesh(message),
            transform=message.arrays["transform"],
            recipe=Recipe.from_dict(message.fields["recipe"]),
            timings=timings,
            notes=message.fields["notes"],
            following=tuple(read_mesh(message, f"{number}.") for number in numbers),
            shape_keys=message.arrays.get("shape_keys"),
            viewpoint=_read_viewpoint(message),
            views=message.arrays.get("views"),
        )
    except InputError as reason:
        raise ProtocolError(str(reason)) from reason


def _read_viewpoint(message: Message) -> Viewpoint | None:
    if "viewpoint" not in message.arrays:
        return None
    lens = message.arrays.get("lens")
    if lens is None or lens.shape != (3,):
        raise ProtocolError("The result's viewpoint lacks its lens.")
    field_of_view, *shift = lens.tolist()
    return Viewpoint(message.arrays["viewpoint"], field_of_view, (shift[0], shift[1]))


def _mesh_arrays(mesh: Mesh, prefix: str = "") -> dict[str, np.ndarray]:
    return {prefix + name: array for name in _MESH_ARRAYS if (array := getattr(mesh, name)) is not None}


class Channel:
    """Messages over one authenticated connection. Any thread may send; one thread receives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message; raises ProtocolError when it is too large and OSError when the other side is gone."""
        arrays = {name: _packed(name, array) for name, array in message.arrays.items()}
        header = {
            "kind": message.kind,
            "fields": message.fields,
            "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
        }
        packed_header = json.dumps(header).encode()
        if len(packed_header) > MAX_HEADER_BYTES or len(arrays) > MAX_ARRAYS:
            raise ProtocolError(f"The message {message.kind!r} is too large to be sent.")
        with self._sending:
            self._connection.send_bytes(packed_header)
            for array in arrays.values():
                if array.nbytes:
                    self._connection.send_bytes(array.reshape(-1).view(np.uint8).data)

    def receive(self) -> Message:
        """Wait for one message.

        Raises EOFError when the other side is gone, ProtocolError when what came is not a whole message.
        """
        try:
            packed_header = self._connection.recv_bytes(MAX_HEADER_BYTES)
        except ConnectionError as reason:
            raise EOFError(str(reason)) from reason
        except OSError as reason:
            raise ProtocolError(f"The header of a message is truncated or oversized: {reason}.") from reason
        kind, fields, entries = _unpack_header(packed_header)
        try:
            arrays = {name: self._receive_array(dtype, shape) for name, dtype, shape in entries}
        except (EOFError, OSError) as reason:
            raise ProtocolError(f"An array of the message {kind!r} is truncated or oversized.") from reason
        return Message(kind, fields, arrays)

    def _receive_array(self, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        size = _byte_count(dtype, shape)
        data = self._connection.recv_bytes(size) if size else b""
        if len(data) != size:
            raise EOFError("fewer bytes than announced")
        return np.frombuffer(data, dtype).reshape(shape)

    def poll(self, timeout: float) -> bool:
        """Whether something (a message, or the end) can be received within `timeout` seconds; raises OSError."""
        return self._connection.poll(timeout)

    def close(self) -> None:
        self._connection.close()


def _packed(name: str, array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if array.dtype.str not in _DTYPES or array.nbytes > MAX_ARRAY_BYTES:
        raise ProtocolError(f"The array {name!r} ({array.dtype}, {array.nbytes:,} bytes) cannot be sent.")
    return array


def _byte_count(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for length in shape:  # Python's integers do not overflow, NumPy's would
        size *= length
    return size


def _unpack_header(data: bytes) -> tuple[Any, Any, list[tuple[str, np.dtype, tuple[int, ...]]]]:
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as reason:
        raise ProtocolError("The header of a message is not JSON.") from reason
    if not isinstance(header, dict) or set(header) != {"kind", "fields", "arrays"}:
        raise ProtocolError("The header of a message must have kind, fields and arrays.")
    entries = header["arrays"]
    if not isinstance(entries, list) or len(entries) > MAX_ARRAYS:
        raise ProtocolError(f"A message must have a list of at most {MAX_ARRAYS} arrays.")
    arrays = []
    for entry in entries:
        match entry:
            case [str(name), str(dtype), list(shape)] if dtype in _DTYPES and all(
                type(length) is int and length >= 0 for length in shape
            ):
                if _byte_count(_DTYPES[dtype], tuple(shape)) > MAX_ARRAY_BYTES:
                    raise ProtocolError(f"The array {name!r} is larger than {MAX_ARRAY_BYTES:,} bytes.")
                arrays.append((name, _DTYPES[dtype], tuple(shape)))
            case _:
                raise ProtocolError("An array must be announced by its name, type and shape.")
    return header["kind"], header["fields"], arrays


class Listener:
    """The client's end before the worker has come: a port of 127.0.0.1 and a fresh key.

    Whoever connects without the key is turned away, and cannot hold up the worker that has it.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=8)
        self._key = secrets.token_bytes(32)

    @property
    def address(self) -> str:
        """What the worker is given as --address: "127.0.0.1:PORT"."""
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    @property
    def key(self) -> str:
        """What the worker is given in the environment variable KEY_VARIABLE."""
        return self._key.hex()

    def accept(self, timeout: float, is_alive: Callable[[], bool]) -> Channel | None:
        """Wait for the worker: its channel, or None when it is no longer alive or `timeout` seconds have passed."""
        arrived: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        deadline = time.monotonic() + timeout
        self._server.settimeout(0.05)
        while time.monotonic() < deadline and is_alive():
            try:
                peer, _ = self._server.accept()
            except TimeoutError:
                pass
            else:
                peer.setblocking(True)
                connection = Connection(peer.detach())
                threading.Thread(target=self._authenticate, args=(connection, arrived), daemon=True).start()
            if not arrived.empty():
                return Channel(arrived.get())
        return None

    def _authenticate(self, connection: Connection, arrived: queue.SimpleQueue[Connection]) -> None:
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
        except (AuthenticationError, EOFError, OSError, ValueError):
            connection.close()
        else:
            arrived.put(connection)

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(address: str, key: str) -> Channel:
    """The worker's end: connect to a client's Listener.

    Raises OSError when nobody listens there, multiprocessing.AuthenticationError when the key is wrong, ValueError when
    address or key are not written as Listener writes them.
    """
    host, _, port = address.rpartition(":")
    return Channel(Client((host, int(port)), family="AF_INET", authkey=bytes.fromhex(key)))
