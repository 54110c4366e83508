"""Children end with build.py, see a clean environment, and their output is kept."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from build_steps import processes
from build_steps.lock import locked
from build_steps.processes import clean_environment, run, run_quietly
from build_steps.waiting_bar import WIDTH, WaitingBar, clock, moving_bar


def test_the_callers_python_settings_do_not_reach_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    settings = clean_environment({"GEN3D_PYTHON": "x"})
    assert "PYTHONPATH" not in settings and "PIP_USER" not in settings
    assert settings["GEN3D_PYTHON"] == "x" and settings["PYTHONNOUSERSITE"] == "1"


def test_output_and_exit_code_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    script = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(4)"
    code, output = run_quietly([sys.executable, "-u", "-c", script], "Trying", describe=lambda line: shown.append(line))
    assert code == 4 and sorted(output.split()) == ["one", "two"] and len(shown) == 2
    assert "Trying: 0:" in capsys.readouterr().err


def test_exit_code_of_a_command_in_the_foreground() -> None:
    assert run([sys.executable, "-c", "raise SystemExit(5)"]) == 5


def test_a_cancelled_child_cancels_the_build() -> None:
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", "raise SystemExit(130)"])


def test_an_interrupted_build_ends_its_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SECONDS_TO_OBEY", 0.2)
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"

    def interrupt(line: str) -> None:
        (tmp_path / "pid").write_text(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_quietly([sys.executable, "-c", script], "Waiting", describe=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_request_to_end_is_taken_as_a_cancel() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        processes.end_on_terminate()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_lock_makes_a_second_process_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys; from pathlib import Path; from build_steps.lock import locked\n"
        f"with locked(Path({str(path)!r}), 'waiting'): print('mine', flush=True)"
    )
    with locked(path, "waiting"), pytest.raises(KeyboardInterrupt):
        run_quietly([sys.executable, "-c", script], "Second", describe=stop_when_waiting)
    assert run_quietly([sys.executable, "-c", script], "Second") == (0, "mine\n")


def stop_when_waiting(line: str) -> None:
    if line.startswith("waiting"):
        raise KeyboardInterrupt


def test_the_bar_runs_to_and_fro() -> None:
    bars = [moving_bar(tick) for tick in range(40)]
    assert {len(bar) for bar in bars} == {WIDTH + 2}
    assert bars[0].startswith("[#") and bars[15].endswith("#]") and bars[30] == bars[0]


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 65, 3600)] == ["0:00", "1:05", "60:00"]


def test_a_log_gets_lines_and_not_a_bar() -> None:
    log = io.StringIO()
    with WaitingBar("Working", log):
        pass
    assert re.fullmatch(r"Working …\nWorking: 0:\d\d\n", log.getvalue())
