"""The job queue: submit, progress, cancel, history. Plain Python without bpy, so the panel and headless share it.

One worker runs one job at a time. Nothing here waits, `run` aside: whoever owns the queue calls `poll()` now and then
(the window from a timer, headless from a loop) and gets what happened since.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .backend.mesh import Mesh
from .backend.recipe import Cancelled, InputError, MachineError, Recipe, Result
from .time_left import TimeLeft
from .worker_client import Died, Event, Failed, Finished, Glimpsed, Previewed, Progressed, Stopped

HISTORY_LENGTH = 50
POLL_SECONDS = 0.02


class JobState(enum.Enum):
    QUEUED = "Waiting"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def over(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(eq=False)
class Job:
    """One generation that was asked for. `target` is the submitter's own: the scene that the result goes to."""

    number: int
    recipe: Recipe
    target: object = None
    state: JobState = JobState.QUEUED
    cancelling: bool = False
    keeping: bool = False
    preview: Mesh | None = None
    glimpse: Glimpsed | None = None
    result: Result | None = None
    message: str = ""  # one sentence: why it failed
    exit_code: int = 0
    began: float = 0.0  # time.monotonic() seconds
    seconds: float = 0.0  # how long it ran

    @property
    def title(self) -> str:
        return self.recipe.title + (f" · seed {self.recipe.seed}" if self.recipe.found_method.seeded else "")


class Worker(Protocol):
    """What the queue needs of a worker; `worker_client.WorkerClient` is the real one."""

    @property
    def alive(self) -> bool: ...

    def generate(self, job: int, recipe: Recipe) -> None: ...

    def look(self, job: int, recipe: Recipe) -> None: ...

    def cancel(self, job: int) -> None: ...

    def keep(self, job: int) -> None: ...

    def poll(self) -> list[Event]: ...

    def close(self) -> None: ...


@dataclass
class JobQueue:
    """Jobs in the order in which they were asked for, and previews in between.

    A preview is a recipe that no history keeps: only the one asked for last is made, when no job waits. Its job is
    `previewed` when it is over, until somebody takes it from there. One may be no more than a look at what would be
    taken of the recipe's picture.

    `start_worker` makes a worker when there is a job and none is alive; it raises `MachineError` when it cannot.
    """

    start_worker: Callable[[], Worker]
    clock: Callable[[], float] = time.monotonic
    jobs: list[Job] = field(default_factory=list)
    time_left: TimeLeft = field(default_factory=TimeLeft)
    previewed: Job | None = None
    _wanted_preview: Recipe | None = None
    _only_look: bool = False
    _previewing: Job | None = None
    _worker: Worker | None = None
    _warm: bool = False
    _next_number: int = 1
    _idle_since: float = 0.0

    def submit(self, recipe: Recipe, target: object = None) -> Job:
        """Queues a job. Raises `InputError` when the recipe is not in order."""
        recipe.validate()
        job = Job(self._next_number, recipe, target)
        self._next_number += 1
        self.jobs.append(job)
        return job

    def ask_preview(self, recipe: Recipe | None, *, only_look: bool = False) -> None:
        """Asks for a preview in the place of any that has not begun; None only forgets that one."""
        if recipe is not None:
            recipe.validate()
        self._wanted_preview, self._only_look = recipe, only_look

    def take_preview(self) -> Job | None:
        """The preview that is over, once."""
        job, self.previewed = self.previewed, None
        return job

    @property
    def previewing(self) -> bool:
        return self._previewing is not None or self._wanted_preview is not None

    @property
    def running(self) -> Job | None:
        return next((job for job in self.jobs if job.state is JobState.RUNNING), None)

    @property
    def waiting(self) -> list[Job]:
        return [job for job in self.jobs if job.state is JobState.QUEUED]

    @property
    def busy(self) -> bool:
        return any(not job.state.over for job in self.jobs)

    @property
    def worker_alive(self) -> bool:
        return self._worker is not None and self._worker.alive

    @property
    def idle_seconds(self) -> float:
        """How long the worker has had nothing to do."""
        return 0.0 if self.busy or self.previewing else self.clock() - self._idle_since

    def find(self, number: int) -> Job | None:
        return next((job for job in self.jobs if job.number == number), None)

    def elapsed(self) -> float:
        """Seconds since the running job began."""
        job = self.running
        return self.clock() - job.began if job else 0.0

    def cancel(self, job: Job) -> None:
        """A waiting job is cancelled at once; a running one is asked to stop, and `poll()` tells when it has."""
        if job.state is JobState.QUEUED:
            self._end(job, JobState.CANCELLED, exit_code=Cancelled.exit_code)
        elif job.state is JobState.RUNNING and not job.cancelling and self._worker is not None:
            job.cancelling = True
            self._worker.cancel(job.number)

    def keep(self, job: Job) -> None:
        """A running job is asked to come to an end with what it has."""
        if job.state is JobState.RUNNING and not job.keeping and self._worker is not None:
            job.keeping = True
            self._worker.keep(job.number)

    def cancel_all(self) -> None:
        for job in list(self.jobs):
            self.cancel(job)

    def clear_history(self) -> None:
        """Forgets the jobs that are over."""
        self.jobs = [job for job in self.jobs if not job.state.over]

    def stop_worker(self) -> None:
        """Ends the worker and gives its memory back; a running job is cancelled."""
        worker, self._worker, self._warm = self._worker, None, False
        self._previewing = self._wanted_preview = None
        if worker is not None:
            worker.close()
        job = self.running
        if job is not None:
            self._end(job, JobState.CANCELLED, exit_code=Cancelled.exit_code)

    def poll(self) -> list[Job]:
        """Takes in what the worker said, starts the next job, and returns the jobs of which something changed."""
        changed: list[Job] = []
        for event in self._worker.poll() if self._worker else ():
            job = self.running
            if isinstance(event, Died):
                self._forget_worker()
            if self._previewing is not None:
                self._apply_to_preview(self._previewing, event)
            elif job is not None and self._apply(job, event):
                changed.append(job)
        if self.running is None and self._previewing is None:
            if (job := next(iter(self.waiting), None)) is not None:
                self._begin(job)
                changed.append(job)
            elif self._wanted_preview is not None:
                self._begin_preview(self._wanted_preview)
        return list(dict.fromkeys(changed))

    def run(
        self,
        recipe: Recipe,
        *,
        progress: Callable[[str, float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Result:
        """Submits one job and waits for it: for scripts without a window.

        `progress(stage, fraction)` is called whenever the job moves on, `cancelled()` is asked all the time.
        Raises `InputError`, `MachineError` or `Cancelled`.
        """
        job = self.submit(recipe)
        try:
            while not job.state.over:
                moved = self.poll()
                if progress is not None and job in moved and self.time_left.stage:
                    progress(self.time_left.stage, self.time_left.fraction)
                if cancelled is not None and cancelled():
                    self.cancel(job)
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            self.stop_worker()
            raise Cancelled("The generation was cancelled.") from None
        result, job.result = job.result, None  # the caller has it; the history need not keep its memory
        if result is not None:
            return result
        if job.state is JobState.CANCELLED:
            raise Cancelled("The generation was cancelled.")
        raise InputError(job.message) if job.exit_code == InputError.exit_code else MachineError(job.message)

    def _begin_preview(self, recipe: Recipe) -> None:
        job = self._previewing = Job(self._next_number, recipe, state=JobState.RUNNING, began=self.clock())
        self._next_number += 1
        self._wanted_preview = None
        try:
            worker = self._living_worker()
            (worker.look if self._only_look else worker.generate)(job.number, job.recipe)
        except MachineError as error:
            self._end_preview(job, JobState.FAILED, str(error))

    def _apply_to_preview(self, job: Job, event: Event) -> None:
        if isinstance(event, Died):
            self._end_preview(job, JobState.FAILED, event.reason)
        elif event.job == job.number and isinstance(event, Finished):
            self._warm = True
            job.result = event.result
            self._end_preview(job, JobState.DONE)
        elif event.job == job.number and isinstance(event, Glimpsed):
            job.glimpse = event
            self._end_preview(job, JobState.DONE)
        elif event.job == job.number and isinstance(event, Failed | Stopped):
            self._end_preview(job, JobState.FAILED, getattr(event, "message", ""))

    def _end_preview(self, job: Job, state: JobState, message: str = "") -> None:
        job.state, job.message, job.seconds = state, message, self.clock() - job.began
        self.previewed, self._previewing = job, None
        self._idle_since = self.clock()

    def _living_worker(self) -> Worker:
        """The worker, started where there is none; raises `MachineError`."""
        if self._worker is None or not self._worker.alive:
            self._forget_worker()
            self._worker = self.start_worker()
        return self._worker

    def _begin(self, job: Job) -> None:
        job.state, job.began = JobState.RUNNING, self.clock()
        try:
            worker = self._living_worker()
            name = f"{job.recipe.task} {job.recipe.method}"
            self.time_left.begin(warm=self._warm, task=name, optimized=job.recipe.found_method.optimized)
            worker.generate(job.number, job.recipe)
        except MachineError as error:
            self._end(job, JobState.FAILED, str(error), error.exit_code)

    def _apply(self, job: Job, event: Event) -> bool:
        """Changes the running job as the event says; False when the event is not about it."""
        if isinstance(event, Died):
            if job.cancelling:  # it was ended because it did not obey
                self._end(job, JobState.CANCELLED, exit_code=Cancelled.exit_code)
            else:
                self._end(job, JobState.FAILED, event.reason, MachineError.exit_code)
            return True
        if event.job != job.number:
            return False
        if isinstance(event, Progressed):
            self.time_left.update(event.stage, event.fraction, self.clock() - job.began)
        elif isinstance(event, Previewed):
            job.preview = event.mesh
        elif isinstance(event, Glimpsed):
            job.glimpse = event
        elif isinstance(event, Finished):
            self._warm = True
            self.time_left.learn(event.result.timings)
            if job.cancelling:  # it was done a moment before it heard; who cancels wants nothing to appear
                self._end(job, JobState.CANCELLED, exit_code=Cancelled.exit_code)
            else:
                job.result = event.result
                self._end(job, JobState.DONE)
        elif isinstance(event, Failed):
            self._end(job, JobState.FAILED, event.message, event.exit_code)
        elif isinstance(event, Stopped):
            self._end(job, JobState.CANCELLED, exit_code=Cancelled.exit_code)
        return True

    def _end(self, job: Job, state: JobState, message: str = "", exit_code: int = 0) -> None:
        job.seconds = self.clock() - job.began if job.began else 0.0
        job.state, job.message, job.exit_code, job.preview = state, message, exit_code, None
        job.cancelling = False
        self._idle_since = self.clock()
        over = [old for old in self.jobs if old.state.over]
        for old in over[: max(len(over) - HISTORY_LENGTH, 0)]:
            self.jobs.remove(old)

    def _forget_worker(self) -> None:
        """Closes a worker that has ended, so that its log and channel are let go."""
        worker, self._worker, self._warm = self._worker, None, False
        if worker is not None:
            worker.close()
