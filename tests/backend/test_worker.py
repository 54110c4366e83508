"""The worker as a real process: jobs, cancels, deaths, noise and bad manners on either side."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from backend import protocol
from backend.progress import STAGES
from backend.recipe import VERSION, Recipe

SCRIPT = Path(__file__).with_name("worker_script.py")
BACKEND = Path(__file__).resolve().parents[2] / "backend"
PATIENCE = 300.0  # a limit for hangs; a busy machine needs a fraction of it


class Worker:
    """One worker process with the client's end of its channel."""

    def __init__(self, folder: Path, *, script: Path = SCRIPT, environment: dict[str, str] | None = None) -> None:
        self.log = folder / "worker.log"
        with protocol.Listener() as listener:
            self.process = subprocess.Popen(
                [sys.executable, str(script), "--address", listener.address, "--log", str(self.log)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {}), protocol.KEY_VARIABLE: listener.key},
            )
            channel = listener.accept(PATIENCE, lambda: self.process.poll() is None)
        assert channel is not None, self.process.communicate()[0].decode()
        self.channel = channel
        self.hello = self.receive()

    def receive(self) -> protocol.Message:
        assert self.channel.poll(PATIENCE), "the worker is silent"
        return self.channel.receive()

    def ask(self, prompt: str, job: str = "1") -> None:
        self.channel.send(protocol.generate(job, Recipe.create(prompt=prompt, seed=5)))

    def answer(self, job: str = "1") -> list[protocol.Message]:
        """All messages of a job up to the one that ends it."""
        messages = []
        while not messages or messages[-1].kind not in ("result", "error", "cancelled"):
            messages.append(self.receive())
            assert messages[-1].fields["job"] == job
        return messages

    def wait_for(self, stage: str) -> None:
        while (message := self.receive()).kind != "progress" or message.fields["stage"] != stage:
            pass

    def ends_with(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    """Starts workers, and ends them after the test."""
    with ExitStack() as stack:

        def starter(**options):
            folder = tmp_path / str(time.monotonic_ns())
            folder.mkdir()
            worker = Worker(folder, **options)
            stack.callback(worker.close)
            return worker

        yield starter


def test_hello_says_who_it_is(start):
    worker = start()
    assert worker.hello.kind == "hello"
    assert worker.hello.fields == {
        "version": VERSION,
        "python": sys.version.split()[0],
        "pid": worker.process.pid,
        "devices": ["cpu"],
        "missing": [],
        "reason": "",
    }


def test_jobs_give_progress_a_preview_and_a_result_one_after_the_other(start):
    worker = start()
    for job in ("first", "second"):
        worker.ask("triangle", job)
        messages = worker.answer(job)
        stages = [message.fields["stage"] for message in messages if message.kind == "progress"]
        assert stages == [stage for stage in STAGES for _ in range(2)]
        (preview,) = [message for message in messages if message.kind == "preview"]
        np.testing.assert_array_equal(protocol.read_mesh(preview).colors, np.eye(3))
        result = protocol.read_result(messages[-1])
        np.testing.assert_array_equal(result.mesh.vertices, np.eye(3))
        assert (result.recipe.seed, result.recipe.inputs) == (5, {"prompt": "triangle"})
    worker.channel.send(protocol.shutdown())
    assert worker.ends_with() == 0


def test_jobs_that_wait_are_done_in_turn_and_can_be_cancelled_while_they_wait(start):
    worker = start()
    worker.ask("wait Sampling", "1")
    worker.ask("triangle", "2")
    worker.ask("triangle", "3")
    worker.channel.send(protocol.cancel("2"))
    worker.channel.send(protocol.cancel("unknown"))
    worker.wait_for("Sampling")
    worker.channel.send(protocol.cancel("1"))
    assert worker.answer("1")[-1].kind == "cancelled"
    assert worker.answer("2") == [protocol.cancelled("2")]
    assert worker.answer("3")[-1].kind == "result"
    worker.channel.send(protocol.cancel("3"))
    worker.ask("triangle", "3")
    assert worker.answer("3")[-1].kind == "result", "a late cancel must not hit the next job of that name"


def test_a_job_that_optimises_shows_what_it_does_and_ends_when_it_is_enough(start):
    worker = start()
    worker.ask("optimise", "1")
    while (message := worker.receive()).kind != "glimpse":
        pass
    assert (message.fields["caption"], message.fields["loss"]) == ("a render", 0.5)
    np.testing.assert_array_equal(protocol.read_glimpse(message), np.full((2, 3, 3), 7, np.uint8))
    worker.channel.send(protocol.keep("unknown"))
    worker.channel.send(protocol.keep("1"))
    assert worker.answer("1")[-1].kind == "result"


def test_cancel_in_every_stage_leaves_the_worker_whole(start):
    worker = start()
    for stage in STAGES:
        worker.ask(f"wait {stage}", stage)
        worker.wait_for(stage)
        worker.channel.send(protocol.cancel(stage))
        assert worker.answer(stage)[-1] == protocol.cancelled(stage)
    worker.ask("triangle", "2")
    assert worker.answer("2")[-1].kind == "result"


def test_killed_in_the_middle_of_a_job_is_seen_and_a_new_worker_does_the_next(start):
    worker = start()
    worker.ask("wait Sampling")
    worker.wait_for("Sampling")
    worker.process.kill()
    with pytest.raises(EOFError):
        while True:
            worker.receive()
    assert worker.ends_with() != 0
    fresh = start()
    fresh.ask("triangle")
    assert fresh.answer()[-1].kind == "result"


def test_errors_come_as_a_sentence_and_the_worker_lives_on(start):
    worker = start()
    for prompt, exit_code, part in (
        ("input", 2, "cannot be made"),
        ("machine", 3, "buy another"),
        ("fault", 3, "ZeroDivisionError: nobody expected"),
    ):
        assert "Traceback" not in worker.log.read_text()
        worker.ask(prompt)
        (message,) = worker.answer()
        assert (message.kind, message.fields["exit_code"]) == ("error", exit_code)
        assert part in message.fields["message"]
    assert "Traceback" in worker.log.read_text()
    worker.ask("triangle", "2")
    assert worker.answer("2")[-1].kind == "result"


def test_a_recipe_that_is_none_is_an_input_error(start):
    worker = start()
    document = {**Recipe.create(prompt="triangle").to_dict(), "seed": -1}
    worker.channel.send(protocol.Message("generate", {"job": "1", "recipe": document}))
    (message,) = worker.answer()
    assert message.fields["exit_code"] == 2
    assert "seed" in message.fields["message"]


def test_an_interpreter_that_lacks_something_answers_every_job_with_the_reason(start):
    worker = start(environment={"REASON_UNDER_TEST": "This Python lacks torch: install it."})
    assert worker.hello.fields["reason"] == "This Python lacks torch: install it."
    worker.ask("triangle")
    assert worker.answer() == [protocol.error("1", "This Python lacks torch: install it.", 3)]


def test_megabytes_on_stdout_go_to_the_log_and_never_to_the_channel(start):
    worker = start()
    worker.ask("chatter")  # nobody reads the process's own stdout, so what went there would block it
    assert worker.answer()[-1].kind == "result"
    worker.channel.send(protocol.shutdown())
    assert worker.ends_with() == 0
    log = worker.log.read_bytes()
    assert [log.count(letter) for letter in (b"p", b"c")] == [4_000_000, 4_000_000]
    assert log.count(b"e") >= 4_000_000
    assert b"from C" in log
    assert worker.process.stdout.read() == b""


@pytest.mark.parametrize("prompt", ["wait Sampling", "sleep", "hold"])
def test_the_worker_ends_itself_when_the_client_is_gone_whatever_it_does(start, prompt):
    worker = start()
    worker.ask(prompt)
    if prompt != "sleep":
        worker.receive()
    worker.channel.close()
    assert worker.ends_with() == 0


def test_a_worker_without_a_job_ends_itself_when_the_client_is_gone(start):
    worker = start()
    worker.channel.close()
    assert worker.ends_with() == 0


def test_shutdown_stops_a_running_job(start):
    worker = start()
    worker.ask("wait Sampling")
    worker.wait_for("Sampling")
    worker.channel.send(protocol.shutdown())
    assert worker.ends_with() == 0


def test_models_are_let_go_when_nobody_asks_for_long_and_come_back(start):
    worker = start(environment={"IDLE_UNDER_TEST": "0.05"})
    deadline = time.monotonic() + PATIENCE
    while "released" not in worker.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert worker.log.read_text().count("released") == 1
    worker.ask("triangle")
    assert worker.answer()[-1].kind == "result"


def send_raw(worker, data):
    raw = socket.socket(fileno=os.dup(worker.channel._connection.fileno()))
    raw.sendall(data)
    return raw


WORKERS_OWN = b'{"kind": "cancelled", "fields": {"job": "1"}, "arrays": []}'
GARBAGE = {
    "malformed": struct.pack("!i", 7) + b"garbage",
    "oversized": struct.pack("!i", protocol.MAX_HEADER_BYTES + 1),
    "negative": struct.pack("!i", -5),
    "a worker's message": struct.pack("!i", len(WORKERS_OWN)) + WORKERS_OWN,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_client_that_sends_nonsense_is_left_with_the_reason_in_the_log(start, name):
    worker = start()
    send_raw(worker, GARBAGE[name]).close()
    assert worker.ends_with() == 1
    assert "does not speak the protocol" in worker.log.read_text()


def test_a_truncated_message_ends_the_worker(start):
    worker = start()
    raw = send_raw(worker, struct.pack("!i", 100) + b"half")
    raw.shutdown(socket.SHUT_RDWR)
    raw.close()
    assert worker.ends_with() == 1
    assert "truncated" in worker.log.read_text()


def test_two_clients_with_a_worker_each_do_not_meet(start):
    one, other = start(), start()
    one.ask("wait Sampling", "same name")
    other.ask("triangle", "same name")
    assert other.answer("same name")[-1].kind == "result"
    one.wait_for("Sampling")
    one.channel.send(protocol.cancel("same name"))
    assert one.answer("same name")[-1].kind == "cancelled"


def test_the_key_leaves_the_environment_and_the_scripts_folder_the_path(start):
    worker = start()
    worker.ask("environment")
    told = json.loads(protocol.read_result(worker.answer()[-1]).notes[0])
    assert protocol.KEY_VARIABLE not in told["environment"]
    assert str(BACKEND) not in told["path"]


def test_the_real_worker_says_what_it_has_and_refuses_what_it_cannot_make(start):
    worker = start(script=BACKEND / "start_worker.py")
    assert worker.hello.fields["reason"] == ""
    assert "cpu" in worker.hello.fields["devices"]
    # Other weights than the bundled ones: refused here, and on a machine where the bundled ones are missing as well.
    recipe = Recipe.create(prompt="a chair", weights={"latent_prior.safetensors": "0" * 64})
    worker.channel.send(protocol.generate("1", recipe))
    message = worker.answer()[-1]
    assert (message.kind, message.fields["exit_code"]) == ("error", 3)
    assert "weights" in message.fields["message"]
    worker.channel.send(protocol.shutdown())
    assert worker.ends_with() == 0


def test_a_path_with_blanks_and_letters_of_the_world(start, tmp_path):
    copy = tmp_path / "Möbel & 椅子 – eins" / "gen3d" / "backend"
    shutil.copytree(BACKEND, copy, ignore=lambda folder, names: [name for name in names if not name.endswith(".py")])
    script = copy.parent / "ein Wörker.py"
    shutil.copy(SCRIPT, script)
    worker = start(script=script, environment={"BACKEND_UNDER_TEST": str(copy)})
    worker.ask("environment")
    told = json.loads(protocol.read_result(worker.answer()[-1]).notes[0])
    assert Path(told["file"]) == copy / "worker.py"
    assert not list(copy.rglob("__pycache__")), "the worker writes nothing into its own folder"


@pytest.mark.parametrize(
    ("address", "key"),
    [(None, "00" * 32), (None, ""), (None, "no hexadecimal"), ("127.0.0.1:1", None), ("nowhere", None)],
)
def test_a_worker_that_cannot_connect_says_so_and_ends(tmp_path, address, key):
    log = tmp_path / "log"
    with protocol.Listener() as listener:
        environment = {**os.environ, protocol.KEY_VARIABLE: listener.key if key is None else key}
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--address", address or listener.address, "--log", str(log)], env=environment
        )
        assert listener.accept(PATIENCE, lambda: process.poll() is None) is None
    assert process.wait(PATIENCE) == 3
    assert log.read_text().startswith("The worker cannot connect to")
