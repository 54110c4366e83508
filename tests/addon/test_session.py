"""From the button to the object in the scene, with a real worker process."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import pytest


@pytest.fixture
def finish(session, until):
    """Lets the session work until it has nothing left to do."""

    def work() -> None:
        def idle() -> bool:
            session.tick()
            return not session.queue.busy and not session.placing

        until(idle)

    return work


def press_generate(prompt: str, **settings: object) -> set[str]:
    text = bpy.context.scene.gen3d_text
    text.prompt = prompt
    for name, value in settings.items():
        setattr(text, name, value)
    return bpy.ops.gen3d.generate_text()


def test_generate_adds_one_object_with_its_recipe(session, finish):
    assert press_generate("ok", seed=5) == {"FINISHED"}
    assert session.queue.busy and len(bpy.data.objects) == 0
    finish()
    (made,) = bpy.data.objects
    recipe = json.loads(made["gen3d_recipe"])
    assert recipe["inputs"] == {"prompt": "ok"} and recipe["seed"] == 5
    assert session.error == "" and all(job.result is None for job in session.queue.jobs)


def test_variations_make_one_object_each(session, finish):
    press_generate("ok", seed=3, variations=3)
    finish()
    seeds = sorted(json.loads(made["gen3d_recipe"])["seed"] for made in bpy.data.objects)
    assert seeds == [3, 4, 5]


def test_each_object_is_one_undo_step(session, addon, finish, monkeypatch):
    pushed: list[str] = []
    monkeypatch.setattr(addon("session"), "push_undo", pushed.append)
    press_generate("ok", variations=2)
    finish()
    assert pushed == ["Gen3D: ok · seed 0", "Gen3D: ok · seed 1"]


def test_notes_of_the_result_reach_the_panel_once(session, finish):
    press_generate("guess", variations=2)
    finish()
    assert session.notes == ["The size is a guess."]


@pytest.mark.parametrize(
    ("prompt", "words"), [("", "empty"), ("x" * 10_000, "shorten"), ("a\tb", "control"), ("椅子", "English")]
)
def test_a_bad_prompt_leaves_everything_as_it_was(session, prompt, words):
    bpy.context.scene.gen3d_text.prompt = prompt
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.gen3d.generate_text()
    assert words in session.error and session.queue.jobs == [] and len(bpy.data.objects) == 0


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("fail input", "ask for something else"),
        ("fail machine", "weights are missing"),
        ("die", "exit code 7"),
    ],
)
def test_a_failure_is_said_and_the_next_job_works(session, finish, prompt, words):
    press_generate(prompt)
    finish()
    assert words in session.error and len(bpy.data.objects) == 0
    press_generate("ok")
    assert session.error == ""
    finish()
    assert len(bpy.data.objects) == 1


def test_no_interpreter_is_said(session, addon, finish, monkeypatch, tmp_path):
    monkeypatch.setenv("GEN3D_PYTHON", str(tmp_path / "missing"))
    session.queue.start_worker = addon("session").start_worker
    press_generate("ok")
    finish()
    assert "does not exist" in session.error


def test_cancel_adds_nothing(session, finish, until):
    press_generate("wait", variations=2)
    until(lambda: (session.tick(), session.queue.time_left.stage)[1])
    assert bpy.ops.gen3d.cancel() == {"FINISHED"}
    finish()
    states = {job.state.value for job in session.queue.jobs}
    assert states == {"Cancelled"} and len(bpy.data.objects) == 0 and session.error == ""


def test_the_ghost_is_shown_while_the_job_runs_and_taken_away(session, addon, finish, monkeypatch):
    shown: list[object] = []
    monkeypatch.setattr(addon("preview"), "show", shown.append)
    press_generate("ok")
    finish()
    assert shown[-1] is None
    press_generate("fail machine")
    finish()
    assert shown[-1] is None


def test_the_result_goes_to_the_scene_that_it_was_asked_for(session, finish):
    asked = bpy.context.scene
    press_generate("ok")
    asked.name = "Renamed"
    other = bpy.data.scenes.new("Other")
    finish()
    assert len(asked.objects) == 1 and len(other.objects) == 0


def test_another_file_is_opened_meanwhile(session, finish, until):
    press_generate("ok")
    name = bpy.context.scene.name
    until(lambda: any(job.result for job in (session.queue.poll() or session.queue.jobs)))
    session.placing.extend(session.queue.jobs)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert [item.job for item in bpy.context.window_manager.gen3d.history] == [session.queue.jobs[0].number]
    finish()
    assert f'"{name}" is gone' in session.error and "Add to Scene" in session.error and len(bpy.data.objects) == 0
    assert bpy.ops.gen3d.add_to_scene(job=session.queue.jobs[0].number) == {"FINISHED"}
    assert len(bpy.context.scene.objects) == 1 and session.error == ""
    with pytest.raises(RuntimeError, match="no result to add"):
        bpy.ops.gen3d.add_to_scene(job=session.queue.jobs[0].number)


def test_a_job_goes_on_while_a_file_is_opened(session, finish, until):
    press_generate("wait")
    until(lambda: (session.tick(), session.queue.time_left.stage)[1])
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert session.queue.running is not None and session.queue.worker_alive
    bpy.ops.gen3d.cancel()
    finish()


def test_a_result_waits_until_the_user_is_back_in_object_mode(session, until):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    press_generate("ok")
    until(lambda: (session.tick(), session.placing)[1])
    session.tick()
    assert len(bpy.data.objects) == 1
    bpy.ops.object.mode_set(mode="OBJECT")
    session.tick()
    assert len(bpy.data.objects) == 2 and not session.placing


def test_regenerate_takes_the_active_objects_recipe(session, finish):
    press_generate("ok", seed=9, steps=7)
    finish()
    bpy.context.scene.gen3d_text.prompt = "something else"
    assert bpy.ops.gen3d.regenerate() == {"FINISHED"}
    finish()
    first, second = (made["gen3d_recipe"] for made in bpy.data.objects)
    assert first == second


def test_variations_of_the_active_object_take_seeds_that_are_not_used(session, finish):
    press_generate("ok", seed=9, variations=2)
    finish()
    assert bpy.ops.gen3d.variations(count=2) == {"FINISHED"}
    finish()
    assert sorted(json.loads(made["gen3d_recipe"])["seed"] for made in bpy.data.objects) == [9, 10, 11, 12]


@pytest.mark.parametrize("operator", ["regenerate", "variations"])
def test_an_object_without_a_recipe_is_refused(session, operator):
    bpy.ops.mesh.primitive_cube_add()
    with pytest.raises(RuntimeError, match="carries no recipe"):
        getattr(bpy.ops.gen3d, operator)()
    with pytest.raises(RuntimeError, match="no longer in the history"):
        getattr(bpy.ops.gen3d, operator)(job=99)


def test_the_history_lists_the_newest_first_and_can_be_cleared(session, finish):
    press_generate("ok")
    press_generate("fail machine")
    finish()
    shown = bpy.context.window_manager.gen3d
    assert [item.job for item in shown.history] == [2, 1]
    shown.history_index = 1
    press_generate("ok")
    assert [item.job for item in shown.history] == [3, 2, 1] and shown.history_index == 2
    finish()
    bpy.ops.gen3d.clear_history()
    assert len(shown.history) == 0


def test_the_timer_rests_when_there_is_nothing_to_watch(session, addon, finish):
    module = addon("session")
    assert session.tick() is None
    press_generate("ok")
    assert bpy.app.timers.is_registered(module.tick) and session.tick() == module.BUSY_SECONDS
    finish()
    assert session.tick() == module.IDLE_SECONDS
    bpy.ops.gen3d.free_memory()
    assert not session.queue.worker_alive and session.tick() is None


def test_an_idle_worker_gives_its_memory_back_after_a_while(session, addon, finish, monkeypatch):
    press_generate("ok")
    finish()
    monkeypatch.setattr(addon("extension"), "idle_minutes", lambda: 0.0)
    session.tick()
    assert not session.queue.worker_alive


def test_the_dice_rolls_a_seed_in_range(session):
    seeds = {bpy.context.scene.gen3d_text.seed for _ in range(8) if bpy.ops.gen3d.random_seed() == {"FINISHED"}}
    assert len(seeds) > 1 and all(0 <= seed < 2**31 for seed in seeds)


def test_nothing_is_written_beside_the_code_of_an_installed_extension(addon, monkeypatch, tmp_path):
    extension = addon("extension")
    assert extension.cache_folder() is None  # a checkout
    monkeypatch.setattr(extension, "PACKAGE", "bl_ext.user_default.gen3d")
    monkeypatch.setattr(bpy.utils, "extension_path_user", lambda package, path, create: str(tmp_path / path))
    assert extension.cache_folder() == Path(tmp_path / "cache")
