"""build.py as people call it: help, wrong arguments, a wrong Python, a broken Blender setting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from build_steps import command_line, demo, test
from build_steps.failure import StepFailed
from build_steps.modules import programs_in
from build_steps.paths import REPOSITORY

BUILD = REPOSITORY / "build.py"


def call(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BUILD, *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_help_names_every_command() -> None:
    ran = call("--help")
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("demo", "test", "build", "train", "bench"))


@pytest.mark.parametrize(
    "arguments", [(), ("dream",), ("demo",), ("demo", "a chair", "--seed", "many"), ("train",), ("build", "-x")]
)
def test_wrong_arguments_exit_with_2(arguments: tuple[str, ...]) -> None:
    ran = call(*arguments)
    assert ran.returncode == 2 and ran.stdout == "" and "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [["-k", "chair and not table"], ["--durations=5", "-q", "tests/a.py", "-k", "chair"], ["tests/a.py"], []],
)
def test_what_follows_test_goes_to_pytest_as_it_stands(arguments: list[str]) -> None:
    assert command_line.parse(["test", *arguments]).pytest == arguments


@pytest.mark.parametrize("command", ["train", "bench"])
def test_an_unknown_program_is_told_the_known_ones(command: str) -> None:
    ran = call(command, "nothing")
    assert ran.returncode == 2
    assert "There is no nothing in" in ran.stderr and "choose one of" in ran.stderr


def test_programs_are_the_modules_that_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text("x = 1\n")
    (tmp_path / "prior.py").write_text('if __name__ == "__main__":\n    pass\n')
    assert programs_in(tmp_path) == ["prior"]


def test_a_wrong_blender_setting_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEN3D_BLENDER", str(tmp_path / "nothing"))
    with pytest.raises(StepFailed, match="GEN3D_BLENDER is set to") as failure:
        test.find_blender()
    assert failure.value.exit_code == 2


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "run_command", interrupted)
    monkeypatch.setattr(command_line, "end_on_terminate", lambda: None)
    assert command_line.main(["build"]) == 130
    assert "cancelled" in capsys.readouterr().err


def test_the_demo_takes_an_installed_blender_where_no_module_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "run_quietly", lambda *arguments: (1, "ModuleNotFoundError: No module named 'bpy'\n"))
    monkeypatch.setattr(demo, "find_blender", lambda: Path("some/blender"))
    assert demo.scene_program(Path("python"))[:2] == [str(Path("some/blender")), "-b"]
    monkeypatch.setattr(demo, "find_blender", lambda: None)
    with pytest.raises(StepFailed, match=r"No module named 'bpy'.*install Blender"):
        demo.scene_program(Path("python"))


def test_the_demo_takes_the_module_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "run_quietly", lambda *arguments: (0, ""))
    assert demo.scene_program(Path("python")) == ["python", str(demo.HEADLESS)]


def test_type_errors_name_the_files_of_the_checkout() -> None:
    output = (
        "build/typecheck/gen3d/backend/mesh.py:3: error\nbuild/typecheck/gen3d/panels.py:4: error\nother.py:1: error\n"
    )
    assert (
        test.as_in_checkout(output) == "backend/mesh.py:3: error\ngen3d_addon/panels.py:4: error\nother.py:1: error\n"
    )


@pytest.mark.parametrize(("results", "code"), [((0, 0, 0, 0), 0), ((1, 0, 0, 0), 1), ((0, 0, 0, 5), 1)])
def test_every_check_runs_and_one_failure_fails_all(
    monkeypatch: pytest.MonkeyPatch, results: tuple[int, ...], code: int
) -> None:
    lint, formatting, types, tests = results
    foreground = iter([lint, formatting, tests])
    monkeypatch.setattr(test.environment, "prepare", lambda names: Path("python"))
    monkeypatch.setattr(test, "find_blender", lambda: None)
    monkeypatch.setattr(test, "run", lambda command, **options: next(foreground))
    monkeypatch.setattr(test, "check_types", lambda python: types)
    assert test.test([]) == code
    assert next(foreground, None) is None


def test_a_wrong_python_gets_a_sentence_and_no_syntax_error() -> None:
    """build.py is read whole before its first line runs: nothing in it may need a new Python."""
    source = BUILD.read_text(encoding="utf-8")
    script = f"import sys; sys.version_info = (3, 6, 0); exec(compile({source!r}, 'build.py', 'exec'))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 3
    assert "this is Python 3.6" in ran.stderr and ran.stderr.count("\n") == 1


def test_the_demos_files_lose_the_hash_in_their_names(tmp_path: Path) -> None:
    (tmp_path / "a-chair-seed0-0123abcd.glb").write_text("mesh")
    moved = demo.move_files(tmp_path, {"glb": "a-chair-seed0-0123abcd.glb"}, tmp_path)
    assert moved == [tmp_path / "a-chair-seed0.glb"] and moved[0].read_text() == "mesh"


def test_the_demo_makes_its_files_aside_and_tells_the_stages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def headless(command: list[str], **options: object) -> int:
        jobs, _, folder = command[command.index("--") + 1 :][:3]
        assert json.loads(Path(jobs).read_text(encoding="utf-8")) == {"prompt": "a chair", "seed": 3}
        outputs = {kind: f"a-chair-seed3-01.{kind}" for kind in ("blend", "glb", "png")}
        for name in outputs.values():
            (Path(folder) / name).touch()
        entry = {"outputs": outputs, "seconds": {"Sampling": 1.5}, "notes": ["The size is unknown."]}
        (Path(folder) / "manifest.jsonl").write_text(json.dumps(entry) + "\n")
        return 0

    monkeypatch.setattr(demo.environment, "prepare", lambda names: Path("python"))
    monkeypatch.setattr(demo, "scene_program", lambda python: ["python", "headless.py"])
    monkeypatch.setattr(demo, "run", headless)
    assert demo.demo("a chair", 3, tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a-chair-seed3.blend",
        "a-chair-seed3.glb",
        "a-chair-seed3.png",
    ]
    printed = capsys.readouterr().out
    assert "Sampling" in printed and "1.5 s" in printed and "The size is unknown." in printed
    assert str(tmp_path / "out" / "a-chair-seed3.glb") in printed


def test_a_demo_that_failed_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo.environment, "prepare", lambda names: Path("python"))
    monkeypatch.setattr(demo, "scene_program", lambda python: ["python", "headless.py"])
    monkeypatch.setattr(demo, "run", lambda command, **options: 2)
    assert demo.demo("", 0, tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_demo_whose_blender_was_killed_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo.environment, "prepare", lambda names: Path("python"))
    monkeypatch.setattr(demo, "scene_program", lambda python: ["python", "headless.py"])
    monkeypatch.setattr(demo, "run", lambda command, **options: -9)
    with pytest.raises(StepFailed, match="ended by signal 9"):
        demo.demo("a chair", 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_into_a_file_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo.environment, "prepare", lambda names: Path("python"))
    monkeypatch.setattr(demo, "scene_program", lambda python: ["python", "headless.py"])
    (tmp_path / "file").touch()
    with pytest.raises(StepFailed, match="choose another one with --out"):
        demo.demo("a chair", 0, tmp_path / "file")
