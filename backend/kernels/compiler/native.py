"""From LLVM's intermediate representation to machine code for this computer's processor, kept on disk."""

import ctypes
import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

CACHE_VARIABLE = "GEN3D_KERNEL_CACHE"
KERNELS = Path(__file__).resolve().parents[1]


class Processor:
    """The processor that runs this, and a place in memory for its code."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        _name_library_functions()
        self.name = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
        native = llvm.Target.from_triple(llvm.get_process_triple())
        self._target = native.create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            reloc="static" if native.name.startswith("x86") else "default",
            jit=True,
            codemodel="jitdefault",
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._target)

    def object_code(self, assembly: str) -> bytes:
        """Optimised machine code for a module, as an object file."""
        module = llvm.parse_assembly(assembly)
        module.triple = self._target.triple
        module.data_layout = str(self._target.target_data)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = True
        builder = llvm.create_pass_builder(self._target, options)
        builder.getModulePassManager().run(module, builder)
        return self._target.emit_object(module)

    def load(self, code: bytes, name: str) -> Any:
        """The function of that name in an object file: takes an address, returns nothing, releases the interpreter."""
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        address = self._engine.get_function_address(name)
        if not address:
            raise OSError(f"The machine code of {name} could not be loaded.")
        return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


def _name_library_functions() -> None:
    """Tell LLVM where the functions are that its code may call. Elsewhere than on Windows it finds them by itself."""
    if sys.platform == "win32":
        mathematics, system = ctypes.CDLL("ucrtbase"), ctypes.CDLL("ntdll")
        for name in ("atan2", "exp", "expf", "log", "logf"):
            llvm.add_symbol(name, ctypes.cast(mathematics[name], ctypes.c_void_p).value)
        # Functions whose room on the stack exceeds a page ask for it page by page.
        llvm.add_symbol("__chkstk", ctypes.cast(system["__chkstk"], ctypes.c_void_p).value)


@cache
def processor() -> Processor:
    """The one processor of this process."""
    return Processor()


@cache
def sources_digest() -> bytes:
    """A digest of everything that machine code depends on: all sources of the kernels, the compiler, the processor."""
    digest = hashlib.sha256(f"{llvmlite.__version__} {llvm.llvm_version_info} {processor().name}".encode())
    for path in sorted(KERNELS.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def cache_folder(source: Path) -> Path:
    """Where the code of a source file is kept: where the variable says, else beside it, else in the user's caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    beside = source.parent / "__pycache__"
    if os.access(beside if beside.exists() else source.parent, os.W_OK):
        return beside
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "gen3d" / "kernels"


def read(path: Path) -> bytes | None:
    """Code that was kept in a file; None where there is none, or the file is damaged."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    code = content[32:]
    return code if hashlib.sha256(code).digest() == content[:32] else None


def keep(path: Path, code: bytes, outdated: str) -> None:
    """Write code to a file at once, so that no other process reads half of it, in place of those of a pattern."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob(outdated):
        other.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        file.write(hashlib.sha256(code).digest() + code)
    os.replace(file.name, path)
