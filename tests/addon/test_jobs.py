"""The queue's rules with a worker that the test plays itself, and its flows with real processes."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest


def module(name: str) -> Any:
    return importlib.import_module(f"gen3d.{name}")


def recipe(prompt: str = "a chair", seed: int = 0) -> Any:
    return module("backend.recipe").Recipe.create(prompt=prompt, seed=seed)


def result(of: Any, **timings: float) -> Any:
    mesh = module("backend.mesh").Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], dtype=np.int32))
    return module("backend.recipe").Result(mesh, np.eye(4), of, timings, [])


@dataclass
class PlayedWorker:
    """Does nothing by itself: the test puts in the events."""

    alive: bool = True
    said: list[Any] = field(default_factory=list)
    heard: list[tuple[str, int]] = field(default_factory=list)

    def generate(self, job: int, recipe: Any) -> None:
        self.heard.append(("generate", job))

    def cancel(self, job: int) -> None:
        self.heard.append(("cancel", job))

    def keep(self, job: int) -> None:
        self.heard.append(("keep", job))

    def poll(self) -> list[Any]:
        said, self.said = self.said, []
        return said

    def close(self) -> None:
        self.alive = False


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def played(addon):
    workers: list[PlayedWorker] = []

    def start() -> PlayedWorker:
        workers.append(PlayedWorker())
        return workers[-1]

    return addon("jobs").JobQueue(start, Clock()), workers


def test_nothing_is_started_before_there_is_a_job(played):
    queue, workers = played
    assert queue.poll() == [] and workers == [] and not queue.busy


def test_a_running_job_can_be_stopped_and_kept_and_shows_pictures(played):
    queue, workers = played
    events, states = module("worker_client"), module("jobs").JobState
    job, waiting = queue.submit(recipe()), queue.submit(recipe("two"))
    queue.keep(job)  # it waits: there is nothing to keep yet
    queue.poll()
    glimpsed = events.Glimpsed(job.number, np.zeros((2, 2, 3), np.uint8), "a render", 0.5)
    workers[0].said = [glimpsed]
    assert queue.poll() == [job] and job.glimpse is glimpsed
    queue.keep(job)
    queue.keep(job)
    queue.keep(waiting)
    assert job.keeping and workers[0].heard == [("generate", job.number), ("keep", job.number)]
    workers[0].said = [events.Finished(job.number, result(job.recipe))]
    queue.poll()
    assert job.state is states.DONE and job.result is not None


def test_jobs_run_one_at_a_time_in_their_order_on_one_worker(played):
    queue, workers = played
    events, states = module("worker_client"), module("jobs").JobState
    first, second = queue.submit(recipe("one")), queue.submit(recipe("two"))
    queue.poll()
    assert (first.state, second.state) == (states.RUNNING, states.QUEUED) and queue.waiting == [second]
    workers[0].said = [events.Finished(first.number, result(first.recipe))]
    assert queue.poll() == [first, second]
    assert (first.state, second.state) == (states.DONE, states.RUNNING)
    assert workers[0].heard == [("generate", first.number), ("generate", second.number)] and len(workers) == 1


def test_of_previews_only_the_newest_is_made_and_no_history_keeps_it(played):
    queue, workers = played
    events = module("worker_client")
    for prompt in ("one", "two"):
        queue.ask_preview(recipe(prompt))
    assert queue.poll() == [] and queue.previewing and not queue.busy
    ((_, number),) = workers[0].heard
    queue.ask_preview(recipe("three"))
    queue.ask_preview(recipe("four"))
    workers[0].said = [events.Progressed(number, "Sampling", 0.5), events.Finished(number, result(recipe("two")))]
    assert queue.poll() == [] and len(workers[0].heard) == 2
    assert queue.take_preview().recipe.inputs["prompt"] == "two" and queue.take_preview() is None
    workers[0].said = [events.Failed(workers[0].heard[1][1], "No.", 2)]
    queue.poll()
    failed = queue.take_preview()
    assert (failed.recipe.inputs["prompt"], failed.result, failed.message) == ("four", None, "No.")
    assert queue.jobs == [] and not queue.previewing


def test_a_job_goes_before_a_preview_and_waits_for_one_that_has_begun(played):
    queue, workers = played
    events = module("worker_client")
    queue.ask_preview(recipe("begun"))
    queue.poll()
    job = queue.submit(recipe("job"))
    queue.ask_preview(recipe("later"))
    assert queue.poll() == [] and job in queue.waiting
    workers[0].said = [events.Finished(workers[0].heard[0][1], result(recipe("begun")))]
    assert queue.poll() == [job] and workers[0].heard[-1] == ("generate", job.number)
    workers[0].said = [events.Finished(job.number, result(job.recipe))]
    queue.poll()
    assert job.state is module("jobs").JobState.DONE and len(workers[0].heard) == 3


def test_a_worker_that_dies_in_a_preview_is_replaced_and_the_reason_is_told(played):
    queue, workers = played
    queue.ask_preview(recipe())
    queue.poll()
    workers[0].said = [module("worker_client").Died("It fell over.")]
    queue.poll()
    assert queue.take_preview().message == "It fell over." and not queue.previewing
    job = queue.submit(recipe())
    queue.poll()
    assert workers[1].heard == [("generate", job.number)]


def test_a_preview_that_is_no_longer_wanted_is_not_begun(played):
    queue, workers = played
    queue.ask_preview(recipe())
    queue.ask_preview(None)
    assert queue.poll() == [] and workers == [] and not queue.previewing


def test_a_bad_recipe_never_enters_the_queue(played):
    queue, _ = played
    bad = module("backend.recipe").Recipe("text_to_3d", "latent prior", {"prompt": " "}, recipe().parameters, 0)
    with pytest.raises(module("backend.recipe").InputError, match="prompt is empty"):
        queue.submit(bad)
    assert queue.jobs == []


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked(played):
    queue, workers = played
    events, states = module("worker_client"), module("jobs").JobState
    first, second = queue.submit(recipe("one")), queue.submit(recipe("two"))
    queue.poll()
    queue.cancel_all()
    queue.cancel_all()  # pressed twice: asked once
    assert second.state is states.CANCELLED and first.cancelling and first.state is states.RUNNING
    assert workers[0].heard == [("generate", first.number), ("cancel", first.number)]
    workers[0].said = [events.Stopped(first.number)]
    assert queue.poll() == [first]
    assert first.state is states.CANCELLED and first.exit_code == 130 and not queue.busy and workers[0].alive


def test_a_result_that_crosses_a_cancel_is_dropped(played):
    queue, workers = played
    job = queue.submit(recipe())
    queue.poll()
    queue.cancel(job)
    workers[0].said = [module("worker_client").Finished(job.number, result(job.recipe))]
    queue.poll()
    assert job.state is module("jobs").JobState.CANCELLED and job.result is None


def test_after_a_death_the_job_fails_with_the_reason_and_the_next_gets_a_new_worker(played):
    queue, workers = played
    states = module("jobs").JobState
    first, second = queue.submit(recipe("one")), queue.submit(recipe("two"))
    queue.poll()
    workers[0].said = [module("worker_client").Died("It fell over.")]
    queue.poll()
    assert (first.state, first.message, first.exit_code) == (states.FAILED, "It fell over.", 3)
    assert second.state is states.RUNNING and workers[1].heard == [("generate", second.number)]
    assert not workers[0].alive


def test_a_worker_ended_because_of_a_cancel_means_cancelled(played):
    queue, workers = played
    job = queue.submit(recipe())
    queue.poll()
    queue.cancel(job)
    workers[0].said = [module("worker_client").Died("It did not obey.")]
    queue.poll()
    assert job.state is module("jobs").JobState.CANCELLED and job.message == ""


def test_the_death_of_an_idle_worker_harms_no_job(played):
    queue, workers = played
    events = module("worker_client")
    job = queue.submit(recipe())
    queue.poll()
    workers[0].said = [events.Finished(job.number, result(job.recipe))]
    queue.poll()
    workers[0].said = [events.Died("Idle death.")]
    assert queue.poll() == [] and job.state is module("jobs").JobState.DONE and not queue.worker_alive


def test_a_worker_that_cannot_start_fails_the_job(addon):
    machine_error = addon("backend.recipe").MachineError

    def cannot() -> Any:
        raise machine_error("There is no Python.")

    queue = addon("jobs").JobQueue(cannot)
    job = queue.submit(recipe())
    assert queue.poll() == [job]
    assert (job.message, job.exit_code, queue.busy) == ("There is no Python.", 3, False)


def test_messages_of_another_job_are_passed_over(played):
    queue, workers = played
    job = queue.submit(recipe())
    queue.poll()
    workers[0].said = [module("worker_client").Failed(job.number + 7, "Not mine.", 3)]
    assert queue.poll() == [] and job.state is module("jobs").JobState.RUNNING


def test_the_history_keeps_the_last_fifty_jobs(played):
    queue, _ = played
    jobs = [queue.submit(recipe(seed=seed)) for seed in range(60)]
    queue.cancel_all()
    assert queue.jobs == jobs[10:]
    queue.clear_history()
    assert queue.jobs == []


def test_stopping_the_worker_cancels_what_runs_and_counts_as_cold(played):
    queue, workers = played
    job = queue.submit(recipe())
    queue.poll()
    queue.stop_worker()
    assert job.state is module("jobs").JobState.CANCELLED and not workers[0].alive and not queue.worker_alive


def test_idle_time_is_counted_from_the_last_job(played):
    queue, workers = played
    job = queue.submit(recipe())
    queue.poll()
    queue.clock.now += 5.0
    assert queue.idle_seconds == 0.0
    workers[0].said = [module("worker_client").Finished(job.number, result(job.recipe))]
    queue.poll()
    queue.clock.now += 3.0
    assert queue.idle_seconds == 3.0 and job.seconds == 5.0


def test_run_gives_the_result_and_tells_progress(addon, start_fake_worker):
    queue = addon("jobs").JobQueue(start_fake_worker)
    stages: list[str] = []
    made = queue.run(recipe("ok"), progress=lambda stage, fraction: stages.append(stage))
    assert made.recipe == recipe("ok") and stages[-1] == "Texturing"
    assert all(job.result is None for job in queue.jobs)  # the caller has it, the history does not hold it


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("fail input", "InputError"),
        ("fail machine", "MachineError"),
        ("die", "MachineError"),
    ],
)
def test_run_raises_what_went_wrong_and_the_next_run_works(addon, start_fake_worker, prompt, error):
    queue = addon("jobs").JobQueue(start_fake_worker)
    with pytest.raises(getattr(addon("backend.recipe"), error)):
        queue.run(recipe(prompt))
    assert len(queue.run(recipe("ok")).mesh.faces) == 4


def test_run_can_be_cancelled(addon, start_fake_worker):
    queue = addon("jobs").JobQueue(start_fake_worker)
    with pytest.raises(addon("backend.recipe").Cancelled):
        queue.run(recipe("wait"), cancelled=lambda: queue.time_left.stage == "Sampling")
