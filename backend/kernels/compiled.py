"""Compile a kernel for this computer's processor at its first call, and keep the result on disk.

Kept code is found by a digest of all sources of this package, the compiler's version and the processor, so that any
change makes it anew. It lies in the folder that GEN3D_KERNEL_CACHE names, else beside the source file (in
`__pycache__`), or, where that cannot be written, among the user's caches.
"""

import ctypes
import hashlib
import logging
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .compiler.entry import argument_packing, assembly_of, type_of
from .compiler.expressions import Kernel
from .compiler.native import cache_folder, keep, processor, read, sources_digest
from .compiler.values import Type

logger = logging.getLogger(__name__)

# Inputs are checked to be finite, so NaN needs no care; infinities arise from overflow and must keep their meaning.
FAST_MATH = ("nnan", "nsz", "contract", "reassoc")
_lock = threading.Lock()
_said = False


class Compiled(Kernel):
    """A serial machine-code version of a function of contiguous NumPy arrays and numbers, which releases the
    interpreter's lock. The language is that of `compiler`."""

    def __init__(self, function: Callable[..., Any], fast_math: tuple[str, ...]) -> None:
        super().__init__(function, fast_math)
        self._entries: dict[tuple[Any, ...], _Entry] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Call it; TypeError for arguments that it cannot take, CompileError for a function that cannot be compiled."""
        return self._entry(arguments)(_words_of(arguments))

    def on(self, *arguments: Any) -> Callable[[int, int], None]:
        """All but the last two arguments, for work(start, stop) on several threads: they are prepared but once."""
        return self._entry((*arguments, 0, 0)).on(_words_of(arguments), arguments)

    def _entry(self, arguments: tuple[Any, ...]) -> "_Entry":
        key = tuple([(a.dtype, a.ndim) if type(a) is np.ndarray else type(a) for a in arguments])
        entry = self._entries.get(key)
        if entry is None:
            with _lock:
                entry = self._entries[key] = self._prepare(tuple(type_of(argument) for argument in arguments))
        return entry

    def _prepare(self, types: tuple[Type, ...]) -> "_Entry":
        """The code for arguments of these types: kept from an earlier time, or compiled now."""
        function = self.function
        source = Path(function.__code__.co_filename)
        packing = argument_packing(types)
        which = hashlib.sha256(f"{function.__module__} {types} {processor().name}".encode()).hexdigest()[:16]
        made_of = hashlib.sha256(sources_digest() + source.read_bytes()).hexdigest()[:16]
        name = f"{source.stem}.{function.__qualname__}.{which}"
        path = cache_folder(source) / f"{name}.{made_of}.code"
        kept = read(path)
        if kept is None:
            _say_once()
            assembly, results = assembly_of(self, types, name)
            kept = results.encode() + b"\n" + processor().object_code(assembly)
            try:
                keep(path, kept, outdated=f"{name}.*.code")
            except OSError as error:
                logger.warning(
                    "Compiled kernels cannot be kept in %s (%s): the next start compiles again.", path.parent, error
                )
        results_format, code = kept.split(b"\n", 1)
        return _Entry(processor().load(code, name), packing, results_format.decode())


class _Entry:
    """Machine code for arguments of certain types."""

    def __init__(self, function: Callable[[Any], None], packing: str, results: str) -> None:
        self._function = function
        self._arguments, self._results = struct.Struct(packing), struct.Struct(results or "=")
        self._single = results.endswith(" ")

    def __call__(self, words: list[Any]) -> Any:
        """Write the arguments, run, read the results."""
        offset = self._arguments.size
        block = ctypes.create_string_buffer(self._arguments.pack(*words), offset + self._results.size)
        self._function(block)
        found = self._results.unpack_from(block, offset)
        return found[0] if self._single else found or None

    def on(self, words: list[Any], arguments: tuple[Any, ...]) -> Callable[[int, int], None]:
        """Write all arguments but two whole numbers; to call with those."""
        block = self._arguments.pack(*words, 0, 0)[: -_RANGE.size]

        def work(start: int, stop: int, _alive: tuple[Any, ...] = arguments) -> None:
            self._function(block + _RANGE.pack(start, stop))

        return work


_RANGE = struct.Struct("=qq")


def _words_of(arguments: tuple[Any, ...]) -> list[Any]:
    """What is written of arguments: an array's address and shape, a number itself."""
    words: list[Any] = []
    for argument in arguments:
        if type(argument) is not np.ndarray:
            words.append(argument)
            continue
        if not argument.flags.c_contiguous:
            raise TypeError("Compiled functions take contiguous arrays: pass np.ascontiguousarray(array).")
        words.append(argument.ctypes.data)
        words += argument.shape
    return words


def compiled(function: Callable[..., Any]) -> Compiled:
    """Decorator: compile, and let sums and products be reordered so that loops become vector instructions."""
    return Compiled(function, FAST_MATH)


def compiled_exactly(function: Callable[..., Any]) -> Compiled:
    """Decorator: compile; every sum and product is rounded as it is written."""
    return Compiled(function, ())


def _say_once() -> None:
    """Say in the log what takes the time when kernels are compiled, once a process; kept ones load silently."""
    global _said
    if not _said:
        _said = True
        logger.warning("Compiling the point-cloud kernels for this computer; this happens once and takes seconds.")


# A fork while another thread compiles would leave the lock held for ever in the child.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
