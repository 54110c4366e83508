from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADLESS = ROOT / "gen3d_addon" / "headless.py"


@pytest.fixture
def run_jobs(addon: Any, vase_queue: Any, tmp_path: Path) -> Callable[..., int]:
    """Writes the lines to a jobs file and runs it into tmp_path / "out"."""

    def run(*lines: object, **options: Any) -> int:
        jobs = tmp_path / "jobs.jsonl"
        jobs.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
        batch = addon("batch")
        return batch.run(batch.read_requests(jobs), batch.Options(tmp_path / "out", **options), vase_queue)

    return run


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def files(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.glob(f"*.{ending}"))


def test_addon_is_one_package_and_python_is_left_alone(addon: Any) -> None:
    headless = addon("headless")
    before = list(sys.path)
    package = headless.load_addon()
    assert package is headless.load_addon() is sys.modules["gen3d"]
    assert sys.path == before
    assert Path(addon("backend").__file__) == ROOT / "backend" / "__init__.py"


def test_registers_and_unregisters_ten_times(addon: Any) -> None:
    before = sorted(name for name in dir(bpy.types) if "gen3d" in name.lower())
    for _ in range(10):
        addon("registration").register()
        addon("registration").unregister()
    assert sorted(name for name in dir(bpy.types) if "gen3d" in name.lower()) == before


def test_arguments_come_after_the_dashes_or_after_the_script(addon: Any) -> None:
    own = addon("headless").script_arguments
    assert own(["blender", "-b", "--python", "headless.py", "--", "a.jsonl", "--out", "x"]) == ["a.jsonl", "--out", "x"]
    assert own([str(HEADLESS), "a.jsonl"]) == ["a.jsonl"]
    assert own(["blender", "-b", "--python", str(HEADLESS)]) == []


def test_a_line_is_a_whole_recipe_or_what_differs(addon: Any) -> None:
    read, create = addon("batch").read_recipe, addon("backend.recipe").Recipe.create
    short = read('{"prompt": "a chair", "seed": 3, "detail": 64}')
    assert short == create(prompt="a chair", seed=3, detail=64) == read(short.to_json())


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "7",
        '{"seed": 1}',
        '{"prompt": ""}',
        '{"prompt": "a chair", "detail": 1}',
        '{"prompt": "a chair", "colour": 1}',
        '{"prompt": "a chair", "seed": -1}',
        '{"prompt": "a chair", "task": "sculpture"}',
        '{"prompt": "a chair", "task": 3}',
        '{"prompt": "a chair", "weights": 3}',
        '{"prompt": 5}',
    ],
)
def test_bad_lines_are_refused_with_a_sentence(addon: Any, line: str) -> None:
    with pytest.raises(addon("backend.recipe").InputError, match=r"\.$"):
        addon("batch").read_recipe(line)


def test_jobs_become_files_and_a_manifest(
    addon: Any, run_jobs: Callable[..., int], tmp_path: Path, capsys: Any
) -> None:
    assert run_jobs({"prompt": "a vase", "seed": 1}, "", {"prompt": "a vase", "seed": 2}) == 0
    out = tmp_path / "out"
    glbs = files(out, "glb")
    assert [entry["outputs"]["glb"] for entry in entries(out)] == [path.name for path in glbs]
    assert glbs[0].name.startswith("a-vase-seed1-") and glbs[0].read_bytes()[:4] == b"glTF"
    assert entries(out)[0]["recipe"]["seed"] == 1 and entries(out)[0]["status"] == "done"
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if line.endswith(".glb")] == [str(path) for path in glbs]
    assert "[2/2] A vase, seed 2: Texturing" in printed.err


def test_glb_is_what_the_command_line_writes(
    addon: Any, vase: Callable[..., Any], run_jobs: Callable[..., int], tmp_path: Path
) -> None:
    run_jobs({"prompt": "a striped vase", "seed": 5})
    result = vase(seed=5)
    addon("backend.data.mesh_files").write_mesh(tmp_path / "direct.glb", result.mesh, result.transform)
    assert files(tmp_path / "out", "glb")[0].read_bytes() == (tmp_path / "direct.glb").read_bytes()


def test_finished_jobs_are_not_made_again(run_jobs: Callable[..., int], tmp_path: Path, vase_queue: Any) -> None:
    line = {"prompt": "a vase", "seed": 1}
    assert run_jobs(line) == 0
    out = tmp_path / "out"
    first = files(out, "glb")[0]
    made = first.stat().st_mtime_ns
    assert run_jobs(line, line) == 0
    assert first.stat().st_mtime_ns == made and len(entries(out)) == 1
    assert run_jobs({**line, "detail": 64}) == 0
    assert len(files(out, "glb")) == 2, "another recipe is another file"
    first.unlink()
    assert run_jobs(line) == 0
    assert first.exists(), "a lost file is made again"
    with (out / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"status": "done", "requ')  # a run that was killed while it wrote
    assert run_jobs(line, {"prompt": "a vase", "seed": 9}) == 0
    assert len(files(out, "glb")) == 3


def test_bad_lines_and_failed_jobs_do_not_stop_the_others(
    run_jobs: Callable[..., int], tmp_path: Path, capsys: Any
) -> None:
    good = {"prompt": "a vase"}
    assert run_jobs("{", {"prompt": "fail input"}, good) == 2
    assert len(files(tmp_path / "out", "glb")) == 1
    error = capsys.readouterr().err
    assert "Line 1: The recipe is not valid JSON" in error and "Line 2: The prompt asks for a failure" in error
    assert [(entry["status"], entry.get("line")) for entry in entries(tmp_path / "out")] == [
        ("failed", 1),
        ("failed", 2),
        ("done", None),
    ]
    assert run_jobs("{", {"prompt": "fail machine"}, {"prompt": "a vase", "seed": 1}) == 3
    assert len(files(tmp_path / "out", "glb")) == 2


def test_same_failure_of_the_machine_twice_ends_the_run(run_jobs: Callable[..., int], tmp_path: Path) -> None:
    assert run_jobs({"prompt": "fail machine"}, {"prompt": "fail machine", "seed": 1}, {"prompt": "a vase"}) == 3
    assert files(tmp_path / "out", "glb") == []


def test_jobs_file_that_cannot_be_used(addon: Any, tmp_path: Path) -> None:
    read, refused = addon("batch").read_requests, addon("backend.recipe").InputError
    with pytest.raises(refused, match="cannot be read"):
        read(tmp_path / "missing.jsonl")
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(b"\n \n")
    with pytest.raises(refused, match="empty"):
        read(path)
    path.write_bytes(b'{"prompt": "caf\xe9"}')
    with pytest.raises(refused, match="UTF-8"):
        read(path)


def test_folder_that_cannot_be_made(addon: Any, run_jobs: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file is in the way")
    with pytest.raises(addon("backend.recipe").MachineError, match="cannot be made"):
        run_jobs({"prompt": "a vase"})


def test_blend_and_picture_hold_the_object(
    addon: Any, run_jobs: Callable[..., int], vase: Callable[..., Any], same: Callable[..., bool], tmp_path: Path
) -> None:
    line = {"prompt": "a striped vase", "seed": 4}
    assert run_jobs(line, formats=("blend",), render=True, size=32, samples=1, threads=1) == 0
    out = tmp_path / "out"
    assert files(out, "png")[0].read_bytes()[:4] == b"\x89PNG" and files(out, "glb") == []
    bpy.ops.wm.open_mainfile(filepath=str(files(out, "blend")[0]))
    item = next(found for found in bpy.data.objects if "gen3d_recipe" in found)
    assert addon("scene").recipe_of(item).seed == 4
    assert bpy.context.scene.camera is not None and "Gen3D Studio" in bpy.data.collections
    expected = addon("scene").add_result(bpy.context.scene, vase(4))
    assert same(addon("scene").mesh_of(item), addon("scene").mesh_of(expected))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


def test_panel_and_headless_make_the_same_mesh(
    addon: Any, scene: Any, vase_queue: Any, run_jobs: Callable[..., int], same: Callable[..., bool], tmp_path: Path
) -> None:
    from_panel = addon("scene").mesh_of(press_generate(addon, vase_queue, "a striped vase", seed=6))
    run_jobs({"prompt": "a striped vase", "seed": 6}, formats=("blend",))
    bpy.ops.wm.open_mainfile(filepath=str(files(tmp_path / "out", "blend")[0]))
    item = next(found for found in bpy.data.objects if "gen3d_recipe" in found)
    assert same(from_panel, addon("scene").mesh_of(item))


def press_generate(addon: Any, queue: Any, prompt: str, *, seed: int, **values: Any) -> bpy.types.Object:
    """What the Generate button does, its timer called by hand until the object is there."""
    addon("registration").register()
    try:
        session = addon("session").current()
        session.queue = queue
        settings = bpy.context.scene.gen3d_text
        settings.prompt, settings.seed = prompt, seed
        for name, value in values.items():
            setattr(settings, name, value)
        assert bpy.ops.gen3d.generate_text() == {"FINISHED"}
        deadline = time.monotonic() + 300.0
        while not (made := [item for item in bpy.context.scene.objects if "gen3d_recipe" in item]):
            assert time.monotonic() < deadline and not session.error, session.error
            session.tick()
            time.sleep(0.02)
        return made[0]
    finally:
        addon("registration").unregister()


def command(*arguments: str) -> list[str]:
    """How a user starts headless.py: by this Blender, or by this Python with the bpy module."""
    if bpy.app.binary_path:
        return [bpy.app.binary_path, "-b", "--factory-startup", "--python", str(HEADLESS), "--", *arguments]
    return [sys.executable, str(HEADLESS), *arguments]


@pytest.mark.parametrize(
    ("lines", "interpreter", "code", "sentence"),
    [
        ('{"prompt": ""}', "", 2, "The prompt is empty"),
        ('{"prompt": "a chair"}', "/nowhere/python", 3, "/nowhere/python"),
        (None, "", 2, "cannot be read"),
    ],
)
def test_exit_codes_reach_the_shell(
    tmp_path: Path, lines: str | None, interpreter: str, code: int, sentence: str
) -> None:
    jobs = tmp_path / "jobs with spaces ä.jsonl"
    if lines is not None:
        jobs.write_text(lines + "\n", encoding="utf-8")
    environment = {**os.environ, "GEN3D_PYTHON": interpreter} if interpreter else dict(os.environ)
    done = subprocess.run(
        command(str(jobs), "--out", str(tmp_path / "out")), capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_wrong_arguments_end_with_two(addon: Any, capsys: Any) -> None:
    assert addon("headless").main([]) == 2
    assert addon("headless").main(["jobs.jsonl", "--out", "x", "--size", "0"]) == 2
    assert addon("headless").main(["--help"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_with_130(tmp_path: Path, worker_python: Path) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"prompt": "wait"}\n', encoding="utf-8")
    driver = tmp_path / "driver.py"
    driver.write_text(
        f"""
import importlib, importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("loader", {str(HEADLESS)!r})
loader = importlib.util.module_from_spec(spec); spec.loader.exec_module(loader); loader.load_addon()
module = lambda name: importlib.import_module("gen3d." + name)
module("session").start_worker = lambda: module("worker_client").WorkerClient(
    pathlib.Path({str(worker_python)!r}), pathlib.Path({str(Path(__file__).with_name("vase_worker.py"))!r}),
    environment=module("runtime").child_environment(None))
sys.exit(module("headless").main([{str(jobs)!r}, "--out", {str(tmp_path / "out")!r}]))
""",
        encoding="utf-8",
    )
    started = [bpy.app.binary_path, "-b", "--factory-startup", "--python", str(driver)]
    process = subprocess.Popen(
        started if bpy.app.binary_path else [sys.executable, str(driver)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:  # the job has begun once it reports a stage
        lines.append(line)
        if "Sampling" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=300)[1]
    assert process.returncode == 130, "".join(lines) + rest
    assert "Traceback" not in rest
