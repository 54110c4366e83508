"""The check of an interpreter, as the add-on runs it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend import start_worker

SCRIPT = Path(start_worker.__file__)


def check(*options, **environment):
    """(exit code, the report) of `--check`, which must be the only line on stdout."""
    process = subprocess.run(
        [sys.executable, *options, str(SCRIPT), "--check"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )
    (line,) = process.stdout.splitlines()
    return process.returncode, json.loads(line)


def test_this_interpreter_is_fit():
    code, report = check()
    assert code == 0
    assert report["ok"]
    assert report["python"] == sys.version.split()[0]
    assert report["missing"] == []
    assert report["device"] in report["devices"]
    assert report["reason"] == ""


def test_an_interpreter_without_packages_says_which_are_missing():
    code, report = check("-S")
    assert code == 3
    assert not report["ok"]
    assert {"torch", "numpy"} <= set(report["missing"])
    assert "pip install" in report["reason"]


def test_a_torch_that_does_not_start_is_told_from_one_that_is_missing(tmp_path):
    (tmp_path / "torch.py").write_text("print('noise')\nraise OSError('libtorch.so: cannot open shared object file')")
    code, report = check(PYTHONPATH=str(tmp_path))
    assert code == 3
    assert report["missing"] == []
    assert "libtorch.so" in report["reason"]


def test_the_modules_beside_the_script_hide_nobody_elses(tmp_path):
    # Any library may import a "color" or "mesh" of its own; here torch does.
    (tmp_path / "torch.py").write_text("import color\nraise ImportError(color.WHOSE)")
    (tmp_path / "color.py").write_text("WHOSE = 'that of the library'")
    assert "that of the library" in check(PYTHONPATH=str(tmp_path))[1]["reason"]


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10"])
def test_the_script_stays_readable_for_old_interpreters(version):
    # An old Python must come as far as saying that it is too old; compiling with its grammar is what can be had here.
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=tuple(int(part) for part in version.split(".")))


def test_an_old_interpreter_is_told_that_it_is_too_old(monkeypatch):
    monkeypatch.setattr(start_worker, "OLDEST_PYTHON", (99, 0))
    report = start_worker.check_interpreter()
    assert not report["ok"]
    assert "choose another interpreter" in report["reason"]


def test_without_address_it_says_how_it_is_used():
    process = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=300)
    assert process.returncode == 2
    assert "--address and --log are needed" in process.stderr
