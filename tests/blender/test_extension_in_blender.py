"""The extension's zip in a real Blender: valid, installed, enabled, its command there, and removed again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from build_steps.extension import pack, stage

blender = os.environ.get("GEN3D_BLENDER") or shutil.which("blender")
pytestmark = pytest.mark.skipif(not blender, reason="no Blender program here (GEN3D_BLENDER names one)")

CHECK = """
import sys, bpy
import bl_ext.user_default.gen3d as addon
assert not [path for path in sys.path if "gen3d" in path], sys.path
assert "torch" not in sys.modules
for _ in range(10):
    addon.unregister()
    addon.register()
from bl_ext.user_default.gen3d.backend.recipe import Recipe
bpy.context.scene.gen3d_text.prompt = "a chair"
print("gen3d:", Recipe.create(prompt="a chair").version, bpy.types.GEN3D_PT_text.bl_category)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs Blender with user settings of its own, in which the extension is installed and enabled."""
    folder = tmp_path_factory.mktemp("extension")
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        assert blender is not None
        return subprocess.run(
            [blender, *arguments], capture_output=True, text=True, env=environment, timeout=300, check=False
        )

    archive = folder / "gen3d.zip"
    pack(stage(folder / "staged", weights=False), archive)
    done = run("--command", "extension", "validate", str(archive))
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("--command", "extension", "install-file", "-r", "user_default", "-e", str(archive))
    assert done.returncode == 0, done.stdout + done.stderr
    yield run
    run("--command", "extension", "remove", "user_default.gen3d")


def test_installed_extension_registers_ten_times_and_leaves_python_alone(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run("-b", "--python-exit-code", "9", "--python-expr", CHECK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gen3d: " in done.stdout and " Gen3D" in done.stdout
    assert "Traceback" not in done.stderr


def test_its_command_runs_jobs_and_tells_how_it_went(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"prompt": ""}\n', encoding="utf-8")
    done = run("-c", "gen3d", str(jobs), "--out", str(tmp_path / "out"))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "The prompt is empty" in done.stderr
    assert run("-c", "gen3d", "--nonsense").returncode == 2
