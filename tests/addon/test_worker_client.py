"""The add-on's end of the worker, against real processes."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def recipe(prompt: str) -> Any:
    return importlib.import_module("gen3d.backend.recipe").Recipe.create(prompt=prompt)


def events_until(client: Any, kind: type, until: Callable[..., None]) -> list[Any]:
    seen: list[Any] = []

    def arrived() -> bool:
        seen.extend(client.poll())
        return any(isinstance(event, kind) for event in seen)

    until(arrived)
    return seen


def test_a_job_brings_progress_then_a_preview_then_its_result(start_fake_worker, addon, until):
    events = addon("worker_client")
    client = start_fake_worker()
    client.generate(3, recipe("ok"))
    seen = events_until(client, events.Finished, until)
    assert {event.job for event in seen} == {3}
    kinds = [type(event) for event in seen]
    assert kinds.index(events.Progressed) < kinds.index(events.Previewed) < kinds.index(events.Finished)
    result = seen[-1].result
    assert result.mesh.vertices.shape == (4, 3) and result.recipe.inputs == {"prompt": "ok"}
    assert client.alive


def test_output_of_libraries_does_not_disturb_the_channel(start_fake_worker, addon, until):
    client = start_fake_worker()
    client.generate(1, recipe("print"))
    assert len(events_until(client, addon("worker_client").Finished, until)[-1].result.mesh.faces) == 4


@pytest.mark.parametrize(
    ("prompt", "code", "words"),
    [
        ("fail input", 2, "ask for something else"),
        ("fail machine", 3, "weights are missing"),
        ("fail odd", 3, "ZeroDivisionError"),
    ],
)
def test_a_failed_job_says_why_and_the_worker_goes_on(start_fake_worker, addon, until, prompt, code, words):
    events = addon("worker_client")
    client = start_fake_worker()
    client.generate(1, recipe(prompt))
    failed = events_until(client, events.Failed, until)[-1]
    assert failed.exit_code == code and words in failed.message
    client.generate(2, recipe("ok"))
    assert events_until(client, events.Finished, until)[-1].job == 2


def test_death_is_noticed_with_its_exit_code_and_last_word(start_fake_worker, addon, until):
    client = start_fake_worker()
    client.generate(1, recipe("die"))
    died = events_until(client, addon("worker_client").Died, until)[-1]
    assert died.reason == "The worker ended unexpectedly (exit code 7): RuntimeError: the last word."
    until(lambda: not client.alive)


@POSIX_ONLY
def test_a_worker_killed_by_the_system_is_taken_for_out_of_memory(start_fake_worker, addon, until):
    client = start_fake_worker()
    client.generate(1, recipe("wait"))
    events_until(client, addon("worker_client").Progressed, until)
    os.kill(client.pid, signal.SIGKILL)
    assert "memory ran out" in events_until(client, addon("worker_client").Died, until)[-1].reason


def test_a_cancel_is_obeyed_and_the_worker_lives(start_fake_worker, addon, until):
    events = addon("worker_client")
    client = start_fake_worker()
    client.generate(1, recipe("wait"))
    events_until(client, events.Progressed, until)
    client.cancel(1)
    assert events_until(client, events.Stopped, until)[-1] == events.Stopped(1)
    client.generate(2, recipe("ok"))
    events_until(client, events.Finished, until)


def test_a_job_that_optimises_shows_pictures_and_is_kept_when_asked(start_fake_worker, addon, until):
    events = addon("worker_client")
    client = start_fake_worker()
    client.generate(1, recipe("optimise"))
    glimpsed = events_until(client, events.Glimpsed, until)[-1]
    assert (glimpsed.job, glimpsed.caption, glimpsed.loss, glimpsed.picture.shape) == (
        1,
        "What comes of it",
        0.5,
        (4, 4, 3),
    )
    client.keep(1)
    assert events_until(client, events.Finished, until)[-1].job == 1


def test_a_cancel_before_the_worker_is_up_stops_the_job_at_once(start_fake_worker, addon, until):
    events = addon("worker_client")
    client = start_fake_worker()
    client.generate(1, recipe("deaf"))
    client.cancel(1)
    assert client.poll() == [events.Stopped(1)]
    client.generate(2, recipe("ok"))
    assert {event.job for event in events_until(client, events.Finished, until)} == {2}


def test_a_worker_that_does_not_obey_a_cancel_is_ended(start_fake_worker, addon, until):
    events = addon("worker_client")
    client = start_fake_worker(obey_seconds=0.2)
    client.generate(1, recipe("deaf"))
    events_until(client, events.Progressed, until)
    client.cancel(1)
    assert "did not obey" in events_until(client, events.Died, until)[-1].reason


def test_close_ends_the_process_and_leaves_no_log(start_fake_worker, addon, until):
    client = start_fake_worker()
    client.generate(1, recipe("deaf"))
    events_until(client, addon("worker_client").Progressed, until)
    log = client._log
    assert log.exists()
    client.close()
    assert not client.alive and not log.exists()
    assert not any(isinstance(event, addon("worker_client").Died) for event in client.poll())


def test_close_before_the_worker_is_up_does_not_wait_for_it(start_fake_worker):
    client = start_fake_worker()
    client.close()
    assert not client.alive


def test_two_workers_at_once_do_not_mix(start_fake_worker, addon, until):
    events = addon("worker_client")
    first, second = start_fake_worker(), start_fake_worker()
    first.generate(1, recipe("wait"))
    second.generate(1, recipe("ok"))
    events_until(second, events.Finished, until)
    assert first.alive and not any(isinstance(event, events.Finished) for event in first.poll())


def test_a_path_with_spaces_and_foreign_letters(start_fake_worker, addon, until, tmp_path):
    tests = tmp_path / "Gemälde und Müll" / "日本" / "tests" / "addon"
    tests.mkdir(parents=True)
    script = Path(shutil.copy(Path(__file__).with_name("fake_worker.py"), tests))
    ignore = shutil.ignore_patterns("__pycache__", "weights", "training", "kernels", "models")
    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "backend", tests.parents[1] / "backend", ignore=ignore)
    client = start_fake_worker(script)
    client.generate(1, recipe("ok"))
    events_until(client, addon("worker_client").Finished, until)


def test_an_interpreter_that_does_not_exist_is_refused(start_fake_worker, addon, tmp_path):
    with pytest.raises(addon("backend.recipe").MachineError, match="cannot be started"):
        start_fake_worker(python=tmp_path / "nothing")


def test_a_program_that_ends_at_once_is_reported(start_fake_worker, addon, until, tmp_path):
    script = tmp_path / "no_worker.py"
    script.write_text("raise SystemExit(0)")
    client = start_fake_worker(script)
    client.generate(1, recipe("ok"))
    died = events_until(client, addon("worker_client").Died, until)[-1]
    assert "exit code 0" in died.reason and sys.executable in died.reason


def test_a_program_that_never_connects_is_given_up(start_fake_worker, addon, until, tmp_path):
    script = tmp_path / "sleeper.py"
    script.write_text("import time\ntime.sleep(600)")
    client = start_fake_worker(script, start_seconds=0.3)
    assert "did not answer" in events_until(client, addon("worker_client").Died, until)[-1].reason
    until(lambda: not client.alive)


@pytest.mark.parametrize("call", ["protocol.progress('1', 'Sampling', 0.5)", "protocol.cancel('1')"])
def test_a_worker_that_does_not_speak_the_protocol_is_ended(start_fake_worker, addon, until, tmp_path, call):
    fake = Path(__file__).with_name("fake_worker.py")
    script = tmp_path / "stranger.py"
    script.write_text(
        "import importlib.util, os, sys, time\n"
        f"spec = importlib.util.spec_from_file_location('fake_worker', {str(fake)!r})\n"
        "fake = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(fake)\n"
        "protocol = fake.importlib.import_module('backend.protocol')\n"
        "channel = protocol.connect(sys.argv[2], os.environ[protocol.KEY_VARIABLE])\n"
        f"channel.send({call})\ntime.sleep(600)\n"
    )
    client = start_fake_worker(script)
    assert "no message of Gen3D" in events_until(client, addon("worker_client").Died, until)[-1].reason
    until(lambda: not client.alive)
