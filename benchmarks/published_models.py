"""What the published models need of memory and processor time, by each way of saving memory.

    python3 build.py bench published_models [--models zero123 …] [--savings none …] [--pictures 1] [--folder FOLDER]

Their weights are drawn at random at the published sizes (`published_layouts`), which neither depends on; the files take
up to 6 GB at a time in --folder. Each row is a process of its own: the model is read from its file, and makes either
one new view of a picture (as `multiview` asks for) or one score-distillation gradient of pictures of 64 pixels. Of a
view's denoising steps a few are measured, and the last of them count for all. Peaks are of resident memory, parts of
the file that were read included. Prints Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from backend.guidance.camera_samplers import orbits
from backend.guidance.prior import DiffusionPrior
from backend.guidance.score_distillation import DistillationSettings, ScoreDistillation
from backend.guidance.stable_diffusion_prior import StableDiffusionPrior
from backend.guidance.zero123_prior import Zero123Prior
from backend.models import zero123
from backend.models.latent_diffusion import SAVINGS
from backend.models.stable_diffusion import StableDiffusion
from backend.models.zero123 import EncodedView, Zero123
from backend.representations.cameras import Cameras
from backend.tasks.diffusion_models import PublishedViewModel
from benchmarks.published_layouts import ATTENTION, write_stable_diffusion, write_zero123

ZERO123 = "zero123"
MODELS = (ZERO123, *ATTENTION)
VIEW, GRADIENT = "view", "gradient"
MEASURED_STEPS = 2
PICTURE_SIZE = 64
TEXT_SETTINGS = DistillationSettings(guidance_scale=100.0, weighting="variance")

Made = TypeVar("Made")


@dataclass(frozen=True)
class Need:
    """What one piece of work took: peaks of resident memory in GiB and processor seconds, of loading the model and of
    all; seconds without those of loading."""

    loading_peak: float
    loading_seconds: float
    peak: float
    seconds: float


def in_fresh_process(work: Callable[..., Made], *given: object) -> Made | None:
    """What `work` returns in a new process, or None when the system ended that for want of memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(work, *given).result()
        except BrokenProcessPool:
            return None


def write(name: str, folder: Path) -> Path:
    """Random weights of a model; returns what its loader takes."""
    if name != ZERO123:
        write_stable_diffusion(folder, name)
        return folder
    write_zero123(folder / "zero123.ckpt")
    return folder / "zero123.ckpt"


def measure(name: str, path: Path, saving: str, work: str, pictures: int) -> Need:
    """Loads a model on one thread of the processor and does one piece of work."""
    torch.set_num_threads(1)
    begin = time.process_time()
    if name == ZERO123:
        model = Zero123.load(path, "zero123-xl", device="cpu", saving=saving, weights={})
        loading_peak, loading_seconds = _peak(), time.process_time() - begin
        begin = time.process_time()
        view = model.encode(torch.rand(3, zero123.SIZE, zero123.SIZE), 0.3, 0.0)
        if work == VIEW:
            seconds = time.process_time() - begin + seconds_of_view(model, view)
        else:
            seconds = seconds_of_gradient(Zero123Prior(model, view), PublishedViewModel.settings, pictures)
    else:
        loaded = StableDiffusion.load(path, device="cpu", saving=saving, weights={})
        loading_peak, loading_seconds = _peak(), time.process_time() - begin
        seconds = seconds_of_gradient(StableDiffusionPrior(loaded, "a mug"), TEXT_SETTINGS, pictures)
    return Need(loading_peak, loading_seconds, _peak(), seconds)


def seconds_of_view(model: Zero123, view: EncodedView) -> float:
    """Processor seconds of one new view with all steps of the sampler, from MEASURED_STEPS of them."""
    clock = [time.process_time()]
    model.views(
        view,
        Cameras.framing(torch.tensor([1.0]), torch.tensor([0.3])),
        seed=0,
        steps=MEASURED_STEPS,
        step=lambda done, total: clock.append(time.process_time()),
    )
    end = time.process_time()
    step = (clock[-1] - clock[1]) / (MEASURED_STEPS - 1)
    return zero123.STEPS * step + end - clock[-1]


def seconds_of_gradient(prior: DiffusionPrior, settings: DistillationSettings, pictures: int) -> float:
    """Processor seconds of one gradient by pictures from all sides."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(pictures, 4, PICTURE_SIZE, PICTURE_SIZE, generator=generator)
    cameras = orbits(pictures)(generator)
    begin = time.process_time()
    ScoreDistillation(prior, settings).gradient(images, cameras, generator, 0.5)
    return time.process_time() - begin


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def row(name: str, saving: str, needs: Sequence[Need | None]) -> str:
    """Markdown: of a view, if the model makes any, and of a gradient."""
    cells = [name, saving, *(["", ""] if len(needs) < 2 else [])]
    known = next((need for need in needs if need is not None), None)
    loading = [f"{known.loading_peak:.1f}", f"{known.loading_seconds:.0f}"] if known else ["too much", ""]
    for need in needs:
        cells += ["too much", ""] if need is None else [f"{need.peak:.1f}", f"{need.seconds:.0f}"]
    return f"| {' | '.join(cells[:2] + loading + cells[2:])} |"


def heading(pictures: int) -> str:
    """The first lines of the table."""
    of_views = f"one view, {zero123.STEPS} steps: GiB | s"
    of_gradients = f"one gradient of {pictures}: GiB | s"
    return f"| model | saving | loading: GiB | s | {of_views} | {of_gradients} |\n|---|---|{'---:|' * 6}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="published_models", description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--savings", nargs="+", choices=SAVINGS, default=SAVINGS)
    parser.add_argument("--pictures", type=int, default=1, help="that one gradient is of")
    parser.add_argument("--folder", type=Path, help="for the weights, which are deleted again")
    chosen = parser.parse_args(arguments)
    print(heading(chosen.pictures))
    for name in chosen.models:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            path = in_fresh_process(write, name, Path(folder))
            if path is None:
                print(f"There is too little memory to make the weights of {name}.", file=sys.stderr)
                return 3
            for saving in chosen.savings:
                works = (VIEW, GRADIENT) if name == ZERO123 else (GRADIENT,)
                needs = [in_fresh_process(measure, name, path, saving, work, chosen.pictures) for work in works]
                print(row(name, saving, needs), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
