"""The worker process: takes recipes from one client, one job at a time, until the client is gone.

The reader thread takes messages at any time, so that a cancel is seen while a job runs; the main thread does the work
and asks at every step. When the connection ends the reader ends the process at once, whatever the main thread is in.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import AuthenticationError
from typing import Any, NoReturn, Protocol

import numpy as np

from . import generate, protocol
from .errors import Cancelled, InputError, MachineError
from .progress import Glimpse, IsCancelled, IsEnough, Preview, Progress
from .recipe import Recipe, Result

IDLE_SECONDS = 600.0
"""After this long without a job the models are let go, so that their memory is there for others."""

EXIT_OK = 0
EXIT_BROKEN = 1
EXIT_MACHINE = 3


class Run(Protocol):
    """What does the work: `backend.generate`, or a stand-in of a test."""

    def __call__(
        self,
        recipe: Recipe,
        *,
        progress: Progress,
        cancelled: IsCancelled,
        preview: Preview,
        glimpse: Glimpse,
        enough: IsEnough,
    ) -> Result: ...


class Look(Protocol):
    """Shows what would be taken of a recipe's picture: (H, W, 3) uint8 sRGB."""

    def __call__(self, recipe: Recipe, /) -> np.ndarray: ...


def serve_models(address: str, device: str, health: Mapping[str, Any]) -> int:
    """Serve the bundled methods on `device`; the process's exit code. `health` is the report of the interpreter."""
    return serve(address, run=partial(generate, device=device), look=_look, health=health, release=_release_models)


def _look(recipe: Recipe) -> np.ndarray:
    from .tasks.image_to_3d import look  # imports torch, which a worker that only says why it cannot work does without

    return look(recipe)


def _release_models() -> None:
    # A worker that never got as far as a task has nothing to let go, and needs no torch for it.
    if (tasks := sys.modules.get(f"{__package__}.tasks")) is not None:
        tasks.release_models()


def serve(
    address: str,
    *,
    run: Run,
    look: Look | None = None,
    health: Mapping[str, Any],
    release: Callable[[], None] | None = None,
    idle_seconds: float = IDLE_SECONDS,
) -> int:
    """Connect to the client at `address`, with the key from the environment, and work until it says shutdown.

    run            makes a Result of a Recipe
    look           shows what would be taken of a recipe's picture; without it nobody asks for that
    health         {"python": str, "devices": [str], "missing": [str], "reason": str} for the hello; with a reason,
                   every job is answered by that reason
    release        called once after `idle_seconds` without a job

    Returns the exit code: 0 after a shutdown, 3 when the client cannot be reached. Does not return when the client is
    gone (the process ends with 0) or does not speak the protocol (1).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is meant for Blender, which then closes us
    key = os.environ.pop(protocol.KEY_VARIABLE, "")
    try:
        channel = protocol.connect(address, key)
    except (OSError, EOFError, AuthenticationError, ValueError) as error:
        print(f"The worker cannot connect to {address}: {error or type(error).__name__}.", file=sys.stderr, flush=True)
        return EXIT_MACHINE
    jobs = _Jobs()
    threading.Thread(target=_read, args=(channel, jobs), name="reader", daemon=True).start()
    try:
        channel.send(protocol.hello(health))
        while True:
            job = jobs.next(idle_seconds, release)
            if job is None:
                return EXIT_OK
            answer = _answer(job, run, look, health["reason"], channel)
            jobs.finish(job)  # before the client hears of the end and may use the name again
            channel.send(answer)
    except OSError:
        _end(EXIT_OK)  # the client went while we were sending


class _Job:
    """One `generate` or `look` message on its way, and whether it was cancelled or told to come to an end meanwhile."""

    def __init__(self, name: str, recipe: dict[str, Any], *, only_look: bool = False) -> None:
        self.name, self.only_look = name, only_look
        self.recipe = recipe
        self.cancelled = threading.Event()
        self.enough = threading.Event()


class _Jobs:
    """The jobs that wait and the one that runs; filled by the reader, worked off by the main thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._known: dict[str, _Job] = {}

    def add(self, job: _Job) -> None:
        self._known[job.name] = job
        self._waiting.put(job)

    def cancel(self, name: str) -> None:
        """Mark a job; one that is done already, or never was, is nobody's concern any more."""
        if (job := self._known.get(name)) is not None:
            job.cancelled.set()

    def keep(self, name: str) -> None:
        """Let a job come to an end with what it has; as `cancel`."""
        if (job := self._known.get(name)) is not None:
            job.enough.set()

    def stop(self) -> None:
        """Cancel everything and let `next` answer None."""
        for job in list(self._known.values()):
            job.cancelled.set()
        self._waiting.put(None)

    def next(self, idle_seconds: float, release: Callable[[], None] | None) -> _Job | None:
        try:
            return self._waiting.get(timeout=idle_seconds)
        except queue.Empty:
            if release is not None:
                release()
            return self._waiting.get()

    def finish(self, job: _Job) -> None:
        self._known.pop(job.name, None)


def _read(channel: protocol.Channel, jobs: _Jobs) -> None:
    """The reader thread: jobs and cancels in; the process's end when the channel ends."""
    try:
        while True:
            message = channel.receive()
            match message.kind:
                case "generate":
                    jobs.add(_Job(message.fields["job"], message.fields["recipe"]))
                case "look":
                    jobs.add(_Job(message.fields["job"], message.fields["recipe"], only_look=True))
                case "cancel":
                    jobs.cancel(message.fields["job"])
                case "keep":
                    jobs.keep(message.fields["job"])
                case "shutdown":
                    jobs.stop()
                case _:
                    raise protocol.ProtocolError(f"A client does not send messages of kind {message.kind!r}.")
    except EOFError:
        _end(EXIT_OK)
    except protocol.ProtocolError as error:
        print(f"The client does not speak the protocol: {error}", file=sys.stderr)
        _end(EXIT_BROKEN)


def _end(exit_code: int) -> NoReturn:
    # sys.exit() in this thread would end the thread only, and the main thread may be deep in a library's C code.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _answer(job: _Job, run: Run, look: Look | None, reason: str, channel: protocol.Channel) -> protocol.Message:
    """Do the job; the one message that ends it."""
    try:
        if job.cancelled.is_set():
            raise Cancelled
        if reason:
            raise MachineError(reason)
        if job.only_look and look is not None:
            return protocol.glimpse(job.name, look(Recipe.from_dict(job.recipe)), "What is taken", math.nan)
        outcome = run(
            Recipe.from_dict(job.recipe),
            progress=lambda stage, fraction: channel.send(protocol.progress(job.name, stage, fraction)),
            cancelled=job.cancelled.is_set,
            preview=lambda mesh: channel.send(protocol.preview(job.name, mesh)),
            glimpse=lambda picture, caption, loss: channel.send(protocol.glimpse(job.name, picture, caption, loss)),
            enough=job.enough.is_set,
        )
        return protocol.result(job.name, outcome)
    except Cancelled:
        return protocol.cancelled(job.name)
    except (InputError, MachineError) as error:
        return protocol.error(job.name, str(error), error.exit_code)
    except ConnectionError:
        raise  # the client went while it was told of progress
    except Exception as error:
        return _unexpected(job, error)


def _unexpected(job: _Job, error: Exception) -> protocol.Message:
    """A fault of ours: the whole story goes to the log, and the worker lives on for the next job."""
    traceback.print_exception(error)
    sentence = f"Gen3D failed unexpectedly ({type(error).__name__}: {error}); the worker's log tells where."
    return protocol.error(job.name, sentence, EXIT_MACHINE)
