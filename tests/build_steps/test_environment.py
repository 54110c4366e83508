"""The environment's stamp, the Python check, and the sentences that a failed installation gives."""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path

import pytest

from build_steps import environment, paths
from build_steps.environment import Stamp
from build_steps.failure import StepFailed
from build_steps.install_failures import explain_failed_install


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with requirement files only, and an installer that notes what it is asked for."""
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in (environment.CONSTRAINTS, *environment.TEST):
        (requirements / f"{name}.txt").write_text(f"{name}==1\n")
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    monkeypatch.setattr(environment, "REQUIREMENTS", requirements)
    monkeypatch.setattr(environment, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(environment, "OUTPUT", tmp_path / "build")
    return tmp_path


@pytest.fixture
def commands(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The installer's commands; making the environment makes its interpreter's file."""
    seen: list[list[str]] = []

    def run_quietly(command: list[str], label: str, **options: object) -> tuple[int, str]:
        seen.append([str(part) for part in command])
        if "venv" in seen[-1]:
            python = paths.python_of(checkout / ".venv")
            python.parent.mkdir(parents=True)
            python.touch()
        return 0, ""

    monkeypatch.setattr(environment, "run_quietly", run_quietly)
    return seen


def installed_files(commands: list[list[str]]) -> list[str]:
    return [Path(after).stem for command in commands for part, after in itertools.pairwise(command) if part == "-r"]


def test_a_second_run_installs_nothing(commands: list[list[str]]) -> None:
    environment.prepare(environment.DEMO)
    assert installed_files(commands) == ["runtime", "blender", "model_files"]
    commands.clear()
    environment.prepare(environment.DEMO)
    environment.prepare(environment.RUNTIME)
    assert commands == []


def test_more_packages_are_added_to_what_is_there(commands: list[list[str]]) -> None:
    environment.prepare(environment.DEMO)
    commands.clear()
    environment.prepare(environment.TEST)
    assert installed_files(commands) == ["training", "published_models", "development"]
    assert not any("venv" in command for command in commands)


def test_model_files_come_without_their_dependencies(commands: list[list[str]]) -> None:
    environment.prepare(environment.RUNTIME)
    assert "--no-deps" in next(command for command in commands if "model_files.txt" in command[-1])


def test_a_changed_pin_is_installed(checkout: Path, commands: list[list[str]]) -> None:
    environment.prepare(environment.DEMO)
    commands.clear()
    (checkout / "requirements" / "blender.txt").write_text("blender==2\n")
    environment.prepare(environment.DEMO)
    assert installed_files(commands) == ["blender"]


def test_changed_constraints_hold_for_every_file(checkout: Path, commands: list[list[str]]) -> None:
    environment.prepare(environment.RUNTIME)
    commands.clear()
    (checkout / "requirements" / "constraints.txt").write_text("numpy==2\n")
    environment.prepare(environment.RUNTIME)
    assert installed_files(commands) == ["runtime", "model_files"]


def test_a_half_made_environment_is_made_anew(checkout: Path, commands: list[list[str]]) -> None:
    environment.prepare(environment.RUNTIME)
    stamp = environment.read_stamp(checkout / ".venv")
    assert stamp and stamp.complete
    environment.write_stamp(checkout / ".venv", Stamp(stamp.python, False, stamp.hashes))
    (checkout / ".venv" / "left_over").touch()
    commands.clear()
    environment.prepare(environment.RUNTIME)
    assert installed_files(commands) == ["runtime", "model_files"]
    assert not (checkout / ".venv" / "left_over").exists()


def test_an_installation_that_fails_leaves_it_known_as_half_made(
    checkout: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = environment.run_quietly

    def fail_in_pip(command: list[str], label: str, **options: object) -> tuple[int, str]:
        return (1, "ERROR: it broke") if "pip" in command else succeed(command, label, **options)

    monkeypatch.setattr(environment, "run_quietly", fail_in_pip)
    with pytest.raises(StepFailed, match="it broke"):
        environment.prepare(environment.RUNTIME)
    stamp = environment.read_stamp(checkout / ".venv")
    assert stamp and not stamp.complete


def test_another_python_makes_it_anew(checkout: Path, commands: list[list[str]]) -> None:
    environment.prepare(environment.RUNTIME)
    stamp = environment.read_stamp(checkout / ".venv")
    assert stamp
    environment.write_stamp(checkout / ".venv", Stamp("3.7 elsewhere", True, stamp.hashes))
    commands.clear()
    environment.prepare(environment.RUNTIME)
    assert any("venv" in command for command in commands)


def test_an_empty_folder_counts_as_half_made(checkout: Path, commands: list[list[str]]) -> None:
    (checkout / ".venv").mkdir()
    environment.prepare(environment.RUNTIME)
    assert any("venv" in command for command in commands)


def test_an_environment_of_somebody_else_is_left_alone(checkout: Path, commands: list[list[str]]) -> None:
    python = paths.python_of(checkout / ".venv")
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(StepFailed, match="was not made by build"):
        environment.prepare(environment.RUNTIME)
    assert python.exists() and commands == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"python": 1}', '{"other": 1}'])
def test_an_unreadable_stamp_is_no_stamp(tmp_path: Path, text: str) -> None:
    (tmp_path / environment.STAMP_NAME).write_text(text)
    assert environment.read_stamp(tmp_path) is None


def test_a_wrong_python_is_told_which_one_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda name: name if name == "python3.11" else None)
    with pytest.raises(StepFailed, match=r"this is Python 3\.14: run this again with python3\.11\.") as failure:
        environment.check_python((3, 14))
    assert failure.value.exit_code == 3


@pytest.mark.parametrize("version", environment.SUPPORTED)
def test_supported_pythons_pass(version: tuple[int, int]) -> None:
    environment.check_python(version)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("OSError: [Errno 30] Read-only file system: '.venv'", "cannot be written"),
        ("PermissionError: [Errno 13] Permission denied", "cannot be written"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for torch==2.13.0",
            "connect this machine to the network",
        ),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "PIP_CERT"),
        ("ERROR: No matching distribution found for bpy==5.0.1", r"No build of bpy==5\.0\.1 is published"),
        ("The virtual environment was not created because ensurepip is not available.", "venv package"),
        ("ERROR: the wheel is odd", "the wheel is odd"),
        ("", "code 7"),
    ],
)
def test_a_failed_installation_gives_one_sentence_that_says_what_to_do(output: str, words: str) -> None:
    with pytest.raises(StepFailed, match=words):
        raise StepFailed(explain_failed_install(output, 7, None))
    assert explain_failed_install(output, 7, None).endswith(".")


def test_an_installation_that_the_system_killed_tells_of_memory() -> None:
    assert "memory" in explain_failed_install("", -9, None)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting torch==2.13.0 (from -r runtime.txt)\n", "collecting torch==2.13.0 (from -r runtime.txt)"),
        ("  Downloading https://host/a/b/torch-2.whl (5 kB)\n", "downloading torch-2.whl (5 kB)"),
        ("  Using cached numpy-2.whl (5 kB)\n", "using numpy-2.whl"),
        ("Installing collected packages: a, b, c\n", "unpacking 3 packages"),
        ("\n", None),
        ("WARNING: something\n", None),
    ],
)
def test_what_the_bar_shows_of_pip(line: str, shown: str | None) -> None:
    assert environment.describe_pip_line(line) == shown


def test_every_requirement_is_pinned() -> None:
    for path in paths.REQUIREMENTS.glob("*.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        assert all("==" in line.split(";")[0] for line in lines), path.name


def test_the_running_python_is_one_that_the_project_supports() -> None:
    assert sys.version_info[:2] in environment.SUPPORTED


def test_what_the_worker_asks_of_its_python_is_among_the_requirements() -> None:
    pinned = set()
    for name in environment.RUNTIME:
        lines = (paths.REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        pinned |= {line.split("==")[0] for line in lines if line and not line.startswith("#")}
    tree = ast.parse((paths.REPOSITORY / "backend" / "start_worker.py").read_text(encoding="utf-8"))
    required = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REQUIRED"
    )
    assert set(required) <= pinned
