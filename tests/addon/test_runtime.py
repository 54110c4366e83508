"""Which Python runs the worker, and what the add-on says of one that cannot."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def runtime(addon, monkeypatch):
    monkeypatch.delenv("GEN3D_PYTHON", raising=False)
    return addon("runtime")


@pytest.fixture
def program(tmp_path):
    """A program of two lines that passes for an interpreter."""

    def make(line: str) -> Path:
        path = tmp_path / ("program.bat" if os.name == "nt" else "program")
        path.write_text(f"@{line}\n" if os.name == "nt" else f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        return path

    return make


def test_the_environment_variable_goes_before_the_preference(runtime, program, monkeypatch):
    chosen = program("exit 0")
    assert runtime.find_interpreter(sys.executable) == Path(sys.executable)
    monkeypatch.setenv("GEN3D_PYTHON", str(chosen))
    assert runtime.find_interpreter(sys.executable) == chosen


def test_a_folder_stands_for_the_environment_in_it(runtime, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "own")], check=True)
    assert runtime.find_interpreter(str(tmp_path / "own")).parent.parent == tmp_path / "own"


def test_a_checkout_has_its_own_environment(runtime, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")], check=True)
    monkeypatch.setattr(runtime, "BACKEND_FOLDER", tmp_path / "backend")
    assert runtime.find_interpreter() == runtime.python_in(tmp_path / ".venv")


def test_without_any_the_sentence_says_where_to_name_one(runtime, tmp_path, monkeypatch, addon):
    monkeypatch.setattr(runtime, "BACKEND_FOLDER", tmp_path / "backend")
    with pytest.raises(addon("backend.recipe").MachineError, match="preferences or in GEN3D_PYTHON"):
        runtime.find_interpreter()


def test_what_is_named_must_be_there(runtime, tmp_path, addon):
    machine_error = addon("backend.recipe").MachineError
    with pytest.raises(machine_error, match=r"preferences name .*missing, which does not exist"):
        runtime.find_interpreter(str(tmp_path / "missing"))
    with pytest.raises(machine_error, match="no Python environment"):
        runtime.find_interpreter(str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission to execute")
def test_what_is_named_must_be_a_program(runtime, tmp_path, addon):
    (tmp_path / "text").write_text("no program")
    with pytest.raises(addon("backend.recipe").MachineError, match="not a program"):
        runtime.find_interpreter(str(tmp_path / "text"))


def test_blenders_python_settings_do_not_reach_the_worker(runtime, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(runtime.child_environment(None))
    assert runtime.child_environment(tmp_path)["GEN3D_KERNEL_CACHE"].startswith(str(tmp_path))


def test_the_check_of_this_interpreter_agrees_with_what_is_installed(runtime):
    health = runtime.check(Path(sys.executable), seconds=300)
    assert health.ok == (importlib.util.find_spec("torch") is not None), health.sentence
    assert health.sentence.startswith("Ready: Python") or "lacks" in health.sentence


def test_an_environment_without_torch_is_told_what_it_lacks(runtime, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    health = runtime.check(runtime.find_interpreter(str(tmp_path / "bare")))
    assert not health.ok and "torch" in health.sentence and "pip install" in health.sentence


@pytest.mark.parametrize("line", ["exit 0", "echo hello", "echo [1]"])
def test_a_program_that_is_no_python_is_recognised(runtime, program, line):
    health = runtime.check(program(line))
    assert not health.ok and "does not answer like a Python" in health.sentence


def test_a_program_that_hangs_is_given_up(runtime, tmp_path, monkeypatch):
    script = tmp_path / "hangs.py"
    script.write_text("import time\ntime.sleep(600)")
    monkeypatch.setattr(runtime, "START_WORKER", script)
    health = runtime.check(Path(sys.executable), seconds=0.5)
    assert not health.ok and "did not answer within" in health.sentence


def test_a_program_that_cannot_be_started(runtime, tmp_path):
    assert "cannot be started" in runtime.check(tmp_path / "nothing").sentence


def test_the_check_does_not_keep_the_caller_waiting(runtime, tmp_path, until):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    check = runtime.HealthCheck()
    check.start(str(tmp_path / "bare"), None)
    assert check.running and check.health is None
    until(lambda: check.health is not None)
    assert not check.health.ok


def test_a_path_that_is_wrong_is_answered_without_a_process(runtime, tmp_path):
    check = runtime.HealthCheck()
    check.start(str(tmp_path / "missing"), None)
    assert not check.running and not check.health.ok and "does not exist" in check.health.sentence
