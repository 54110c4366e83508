"""The add-on's end of the worker: starts it, speaks to it, notices when it dies and says why. Plain Python without bpy.

Starting takes seconds (the worker imports torch), so the process is started at once and everything else happens in a
reader thread. What comes in is kept as events until `WorkerClient.poll` is called; no method waits for the worker, only
`close` does, for a moment.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .backend import protocol
from .backend.mesh import Mesh
from .backend.recipe import MachineError, Recipe, Result

START_SECONDS = 120.0  # importing torch from a cold disk can take most of a minute
OBEY_SECONDS = 10.0
CLOSE_SECONDS = 1.0
EXIT_SECONDS = 10.0  # from the end of the channel to that of the process, which may have a GPU's memory to give back
JOIN_SECONDS = 5.0  # the process is gone by then; the reader only tidies up, on a busy machine not at once
LOG_LINES = 20
LOG_TAIL_BYTES = 16_384

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progressed:
    job: int
    stage: str
    fraction: float


@dataclass(frozen=True, eq=False)
class Previewed:
    """A coarse mesh, in scene metres."""

    job: int
    mesh: Mesh


@dataclass(frozen=True, eq=False)
class Glimpsed:
    """A picture (H, W, 3) uint8 sRGB of what goes on, what it shows, and the loss, NaN where there is none."""

    job: int
    picture: np.ndarray
    caption: str
    loss: float


@dataclass(frozen=True, eq=False)
class Finished:
    job: int
    result: Result


@dataclass(frozen=True)
class Failed:
    """The job failed, the worker goes on."""

    job: int
    message: str
    exit_code: int


@dataclass(frozen=True)
class Stopped:
    """The job was cancelled, the worker goes on."""

    job: int


@dataclass(frozen=True)
class Died:
    """The worker has ended; `reason` is one sentence."""

    reason: str


Event = Progressed | Previewed | Glimpsed | Finished | Failed | Stopped | Died


class WorkerClient:
    """One worker process and the channel to it.

    python, script   the interpreter, and the file that it runs (see backend/start_worker.py)
    environment      the process's environment variables; the channel's key is added
    obey_seconds     how long a cancel may take before the process is killed

    Raises `MachineError` when the process cannot be started at all; all that goes wrong later is an event.
    """

    def __init__(
        self,
        python: Path,
        script: Path,
        *,
        environment: Mapping[str, str],
        start_seconds: float = START_SECONDS,
        obey_seconds: float = OBEY_SECONDS,
    ) -> None:
        self._python = python
        self._start_seconds = start_seconds
        self._obey_seconds = obey_seconds
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards the four fields below
        self._channel: protocol.Channel | None = None
        self._asked: protocol.Message | None = None  # a job that waits for the channel
        self._job: int | None = None
        self._closing = False
        self._disobeyed = False
        self._listener = protocol.Listener()
        descriptor, name = tempfile.mkstemp(prefix="gen3d-worker-", suffix=".log")
        self._log = Path(name)
        try:
            self._process = subprocess.Popen(
                [str(python), str(script), "--address", self._listener.address, "--log", str(self._log)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=descriptor,
                env={**environment, protocol.KEY_VARIABLE: self._listener.key},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            self._listener.close()
            self._log.unlink()
            raise MachineError(
                f"The worker's Python {python} cannot be started ({error.strerror or error}): choose another one."
            ) from error
        finally:
            os.close(descriptor)
        self._reader = threading.Thread(target=self._serve, name="gen3d-worker-reader", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        return self._reader.is_alive() and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def generate(self, job: int, recipe: Recipe) -> None:
        """Gives the worker a job, now or as soon as it is up. It takes one at a time."""
        self._ask(job, protocol.generate(str(job), recipe))

    def look(self, job: int, recipe: Recipe) -> None:
        """Asks what would be taken of the recipe's picture, as `generate` does; the answer is a glimpse."""
        self._ask(job, protocol.look(str(job), recipe))

    def _ask(self, job: int, message: protocol.Message) -> None:
        with self._lock:
            self._job = job
            if self._channel is None:
                self._asked = message
                return
        self._send(message)

    def cancel(self, job: int) -> None:
        """Asks the worker to stop the job, and kills it when it has not obeyed after `obey_seconds`."""
        with self._lock:
            if self._job != job:
                return
            if self._asked is not None:  # it has not even heard of the job
                self._asked, self._job = None, None
                self._events.put(Stopped(job))
                return
        self._send(protocol.cancel(str(job)))
        timer = threading.Timer(self._obey_seconds, self._kill_if_busy_with, (job,))
        timer.daemon = True
        timer.start()

    def keep(self, job: int) -> None:
        """Asks the worker to end the job with what it has; a job that has not begun is none the wiser."""
        with self._lock:
            if self._job != job or self._asked is not None:
                return
        self._send(protocol.keep(str(job)))

    def poll(self) -> list[Event]:
        """All that has happened since the last call, in order; empty when nothing has."""
        events: list[Event] = []
        while not self._events.empty():
            events.append(self._events.get())
        return events

    def close(self) -> None:
        """Ends the worker: politely, then by force. Returns when the process is gone."""
        with self._lock:
            self._closing = True
            reachable = self._channel is not None
        if reachable:
            self._send(protocol.shutdown())
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_SECONDS)
        self._process.kill()
        self._process.wait()
        if self._reader is not threading.current_thread():
            self._reader.join(JOIN_SECONDS)

    def _send(self, message: protocol.Message) -> None:
        channel = self._channel
        if channel is None:
            return
        with suppress(OSError):  # the worker is gone; the reader thread sees it as well and says why
            channel.send(message)

    def _kill_if_busy_with(self, job: int) -> None:
        with self._lock:
            self._disobeyed = self._job == job
        if self._disobeyed:
            self._process.kill()

    def _serve(self) -> None:
        """The reader thread: from the worker's start to its end."""
        trouble = ""
        try:
            trouble = self._converse()
        except EOFError:
            pass  # the process has ended; its exit code says more
        except protocol.ProtocolError as error:
            trouble = f"The worker sent what is no message of Gen3D ({str(error).rstrip('.')}): restart it."
        finally:
            self._listener.close()
            if trouble or not self._has_ended_by_itself():
                self._process.kill()
            code = self._process.wait()
            with self._lock:
                channel, self._channel = self._channel, None
                closing = self._closing
            if channel is not None:
                channel.close()
            tail = self._last_log_lines()
            with suppress(OSError):  # on Windows a grandchild may hold it; the system's clean-up takes it then
                self._log.unlink()
            if not closing:
                if tail and not self._disobeyed:
                    logger.warning("The worker's last words:\n%s", "\n".join(tail))
                self._events.put(Died(trouble or self._reason(code, tail)))

    def _has_ended_by_itself(self) -> bool:
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _converse(self) -> str:
        """Receives until the worker is gone; returns a sentence when it is to be given up."""
        channel = self._listener.accept(self._start_seconds, lambda: not self._closing and self._process.poll() is None)
        if channel is None:
            if self._closing or self._process.poll() is not None:
                return ""
            return f"The worker did not answer within {self._start_seconds:.0f} s: choose another Python."
        if channel.receive().kind != "hello":
            raise protocol.ProtocolError("its first message is not hello")
        with self._lock:
            self._channel = channel
            asked, self._asked = self._asked, None
        if asked is not None:
            self._send(asked)
        while True:
            self._take(channel.receive())

    def _take(self, message: protocol.Message) -> None:
        event = _event(message)
        if isinstance(event, Finished | Failed | Stopped):
            with self._lock:
                if self._job == event.job:
                    self._job = None
        self._events.put(event)

    def _reason(self, code: int, tail: list[str]) -> str:
        if self._disobeyed:
            return f"The worker did not obey a cancel within {self._obey_seconds:.0f} s and was ended."
        if code == -getattr(signal, "SIGKILL", 9):
            return "The worker was killed, perhaps because the memory ran out: close other programs or lower Detail."
        last = f": {tail[-1].rstrip('.')}" if tail else f", with no word why; is {self._python} a Python with torch?"
        return f"The worker ended unexpectedly ({_ending(code)}){last}" + ("." if tail else "")

    def _last_log_lines(self) -> list[str]:
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._log.stat().st_size - LOG_TAIL_BYTES, 0))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return []
        return [line.strip() for line in text.splitlines() if line.strip()][-LOG_LINES:]


def _event(message: protocol.Message) -> Event:
    """What a message says; raises `ProtocolError` for one that only a client sends."""
    name = message.fields.get("job", "")
    if not name.isdecimal():
        raise protocol.ProtocolError(f"{name!r} is no job")
    job = int(name)
    match message.kind:
        case "progress":
            return Progressed(job, message.fields["stage"], message.fields["fraction"])
        case "preview":
            return Previewed(job, protocol.read_mesh(message))
        case "glimpse":
            picture = protocol.read_glimpse(message)
            return Glimpsed(job, picture, message.fields["caption"], message.fields["loss"])
        case "result":
            return Finished(job, protocol.read_result(message))
        case "error":
            return Failed(job, message.fields["message"], message.fields["exit_code"])
        case "cancelled":
            return Stopped(job)
    raise protocol.ProtocolError(f"a worker does not send {message.kind!r}")


def _ending(code: int) -> str:
    """An exit code in words: "exit code 1", "SIGSEGV"."""
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code if code < 2**31 else hex(code)}"
