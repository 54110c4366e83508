"""Compile a kernel for this computer's processor at its first call, and keep the result on disk.

Numba keeps compiled code beside the source file (in `__pycache__`) or, where that cannot be written, in the user's
cache folder. It notices a changed source file only for the function it was asked to compile: a compiled function must
therefore not call one from another file. Pass data between files through Python instead. The operations of `lanes` are
an exception that has to be remembered: whoever changes what they do, or the options below, must delete the cache.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

logger = logging.getLogger(__name__)

# Inputs are checked to be finite, so NaN needs no care; infinities arise from overflow and must keep their meaning.
FAST_MATH = {"nnan", "nsz", "contract", "reassoc"}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A serial machine-code version of a function of NumPy arrays and scalars, which releases the interpreter's lock.

    What it costs at the first call is the text of the function: about 10 ms for each place where an array is indexed,
    40 ms for a loop or for making an array, and seconds for slice assignments, lists or exceptions with text. So take
    arrays to work with as arguments, write one loop over axes rather than three lines, and use `lanes` where a loop
    over lanes would be vectorised.
    """
    # Nothing calls these functions from C, so no entry for that is compiled.
    options: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    return numba.njit(fastmath=FAST_MATH, **options)(function)


class _SayOnce(event.Listener):
    """Says in the log what takes the time when kernels are compiled, once a process; cached kernels load silently."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: event.Event) -> None:
        module = getattr(event.data["dispatcher"].py_func, "__module__", None) or ""
        if not self.said and module.startswith(__package__):
            self.said = True
            logger.warning("Compiling the point-cloud kernels for this computer; this happens once and takes seconds.")

    def on_end(self, event: event.Event) -> None:
        """Nothing to say: the result follows."""


event.register("numba:compile", _SayOnce())

# A fork while another thread compiles would leave the compiler locked for ever in the child.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
