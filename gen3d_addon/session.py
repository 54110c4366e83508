"""What the add-on keeps while Blender runs: the queue, the interpreter's health, what the panel says; and the one timer
that carries results from the worker to the scene.

The timer runs only while there is something to watch, survives the loading of files, and never waits.
"""

from __future__ import annotations

import atexit
from collections import deque
from dataclasses import dataclass, field

import bpy

from . import extension, preview, properties, runtime, scene
from .backend.recipe import InputError, MachineError, Recipe
from .jobs import Job, JobQueue, JobState
from .worker_client import Glimpsed, WorkerClient

BUSY_SECONDS = 0.1
PREVIEW_SECONDS = 0.02
IDLE_SECONDS = 2.0


@dataclass(frozen=True)
class Target:
    """The scene that a result goes to. The identifier stays the same when the scene is renamed, and is gone with it."""

    scene: int
    name: str

    @classmethod
    def of(cls, target: bpy.types.Scene) -> Target:
        return cls(target.session_uid, target.name)

    def find(self) -> bpy.types.Scene | None:
        return next((found for found in bpy.data.scenes if found.session_uid == self.scene), None)


@dataclass
class Session:
    """`error` and `notes` are sentences for the panel; `placing` are finished jobs that are not in a scene yet;
    `previews` says whether a ghost is shown that the user asked for; `looked_at` is the name of the image whose mask
    was asked for last, and `seen` that mask, when it is there."""

    queue: JobQueue
    health: runtime.HealthCheck = field(default_factory=runtime.HealthCheck)
    error: str = ""
    notes: list[str] = field(default_factory=list)
    placing: deque[Job] = field(default_factory=deque)
    previews: bool = False
    looked_at: str = ""
    seen: Glimpsed | None = None

    def submit(self, recipes: list[Recipe], target: bpy.types.Scene) -> None:
        """Queues the recipes, whose results go to `target`. Raises `InputError` before anything is queued."""
        for recipe in recipes:
            recipe.validate()
        self.dismiss()
        for recipe in recipes:
            self.queue.submit(recipe, Target.of(target))
        self.changed()

    def ask_preview(self, recipe: Recipe) -> None:
        """Asks for a ghost of what the recipe makes; of several only the last is made. Raises `InputError`."""
        self.queue.ask_preview(recipe)
        start_timer(PREVIEW_SECONDS)

    def ask_look(self, recipe: Recipe, image: str) -> None:
        """Asks what would be taken of the image that the recipe is made from. Raises `InputError`."""
        self.dismiss()
        self.queue.ask_preview(recipe, only_look=True)
        self.looked_at, self.seen = image, None
        start_timer(PREVIEW_SECONDS)

    def look_at(self, image: bpy.types.Image | None) -> Glimpsed | None:
        """What would be taken of an image, where that was asked for and is known."""
        return self.seen if image is not None and image.name == self.looked_at else None

    def hide_preview(self) -> None:
        """Takes the ghost away, and forgets the one that was asked for."""
        self.queue.ask_preview(None)
        self.previews = False
        preview.show(None)
        redraw()

    def dismiss(self) -> None:
        """Forgets the sentences of the last run."""
        self.error, self.notes = "", []

    def changed(self) -> None:
        """Shows the new state, and watches what goes on."""
        show_history(self.queue.jobs)
        redraw()
        start_timer()

    def check_runtime(self) -> None:
        """Asks the interpreter in the background whether it can run the backend."""
        self.health.start(extension.python_path(), extension.cache_folder())
        redraw()
        start_timer()

    def check_runtime_once(self) -> None:
        """The first look at the panel asks; Blender's start does not, for most sessions never need the worker."""
        if self.health.health is None and not self.health.running:
            self.check_runtime()

    def tick(self) -> float | None:
        """One look at the worker; returns after how many seconds to look again, None to stop."""
        moved = self.queue.poll()
        if (previewed := self.queue.take_preview()) is not None:
            self._show_preview(previewed)
        for job in moved:
            self._follow(job)
        while self.placing and place_is_free():
            self.place(self.placing.popleft())
        if moved:
            show_history(self.queue.jobs)
        redraw()
        if self.queue.previewing:
            return PREVIEW_SECONDS
        if self.queue.busy or self.placing or self.health.running:
            return BUSY_SECONDS
        if self.queue.worker_alive and self.queue.idle_seconds > extension.idle_minutes() * 60.0:
            self.queue.stop_worker()
        return IDLE_SECONDS if self.queue.worker_alive else None

    def place(self, job: Job, target: bpy.types.Scene | None = None) -> None:
        """Puts a finished job's object into `target`, or into the scene that it was asked for, as one undo step."""
        where = target or (job.target.find() if isinstance(job.target, Target) else None)
        if job.result is None:
            return
        if where is None:
            name = job.target.name if isinstance(job.target, Target) else "?"
            self.error = f'The scene "{name}" is gone: choose the job under History and press Add to Scene.'
            return
        try:
            scene.add_results(where, job.result)
        except (InputError, MachineError) as error:
            self.error = str(error)
            return
        self.notes = list(dict.fromkeys([*self.notes, *job.result.notes]))
        job.result = None  # the scene has it now; the memory is given back
        push_undo(f"Gen3D: {job.title}")

    def close(self) -> None:
        preview.show(None)
        self.queue.stop_worker()

    def _show_preview(self, job: Job) -> None:
        """The ghost of a preview that is over, unless a job has begun since, which has ghosts of its own."""
        if job.glimpse is not None:
            self.seen = job.glimpse
        elif job.result is None:
            self.error = job.message or self.error
        elif self.queue.running is None:
            self.previews = True
            preview.show(job.result.mesh.transformed(job.result.transform))

    def _follow(self, job: Job) -> None:
        self.previews = False
        if job.state is JobState.RUNNING:
            if job.preview is not None:
                preview.show(job.preview)
                job.preview = None
            return
        preview.show(None)
        if job.state is JobState.DONE:
            self.placing.append(job)
        elif job.state is JobState.FAILED:
            self.error = job.message


_current: Session | None = None


def current() -> Session:
    """The session of the registered add-on."""
    if _current is None:
        raise RuntimeError("Gen3D is not registered.")
    return _current


def begin(queue: JobQueue | None = None) -> None:
    """Called by register(). Nothing is started before the user asks for it."""
    global _current
    _current = Session(queue or JobQueue(start_worker))
    atexit.register(_current.queue.stop_worker)


def end() -> None:
    """Called by unregister(): stops the timer and the worker."""
    global _current
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if _current is not None:
        atexit.unregister(_current.queue.stop_worker)
        _current.close()
    _current = None


def start_worker() -> WorkerClient:
    """A worker on the interpreter of the preferences; raises `MachineError` when there is none."""
    cache = extension.cache_folder()
    python = runtime.find_interpreter(extension.python_path())
    return WorkerClient(python, runtime.START_WORKER, environment=runtime.child_environment(cache))


def tick() -> float | None:
    return _current.tick() if _current is not None else None


def start_timer(seconds: float = BUSY_SECONDS) -> None:
    """Looks at the worker after `seconds`, and as often as `tick` says from then on."""
    if bpy.app.timers.is_registered(tick):
        if seconds >= BUSY_SECONDS:
            return
        bpy.app.timers.unregister(tick)  # an idle worker is looked at rarely
    bpy.app.timers.register(tick, first_interval=seconds, persistent=True)


def place_is_free() -> bool:
    """Whether an object may appear now: not under a running render, not in the middle of a move, and not while the user
    edits, sculpts or paints, for then undo belongs to that mode alone."""
    if bpy.context.window_manager.is_interface_locked or bpy.app.is_job_running("RENDER"):
        return False
    for window in bpy.context.window_manager.windows:
        active = window.view_layer.objects.active
        if active is not None and active.mode != "OBJECT":
            return False
        if any(running.bl_idname.startswith("TRANSFORM_OT_") for running in window.modal_operators):
            return False
    return True


def push_undo(message: str) -> None:
    """One undo step. A timer has no window of its own, so the first one is lent to the operator."""
    windows = bpy.context.window_manager.windows
    if len(windows) == 0:
        return  # nobody there who could undo
    with bpy.context.temp_override(window=windows[0]):
        bpy.ops.ed.undo_push(message=message)


def redraw() -> None:
    """Asks Blender to draw the sidebars again, so that the panel shows the present state."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def show_history(jobs: list[Job]) -> None:
    """Writes the jobs, newest first, into the list that the panel draws. What was chosen stays chosen."""
    shown = properties.session_state(bpy.context)
    chosen = shown.history[shown.history_index].job if 0 <= shown.history_index < len(shown.history) else 0
    numbers = [job.number for job in reversed(jobs)]
    if [item.job for item in shown.history] == numbers:
        return
    shown.history.clear()
    for number in numbers:
        shown.history.add().job = number
    shown.history_index = numbers.index(chosen) if chosen in numbers else 0


@bpy.app.handlers.persistent
def after_load(_path: str) -> None:
    """Another file is open: running jobs go on, the list is written anew (the file brought its own window manager)."""
    if _current is not None:
        _current.hide_preview()
        show_history(_current.queue.jobs)
