"""CUDA kernels from source text, compiled on the user's machine by NVRTC, which torch brings along.

No compiler, toolkit or further package is needed: NVRTC makes machine code for the GPU at hand, the driver loads it,
and it runs on torch's current stream. Code is kept in a cache folder, so a kernel is compiled once for each kind of
GPU. Compiling needs no GPU, so tests compile every kernel for GPUs that are not there.
"""

import ctypes
import functools
import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

Argument = torch.Tensor | int | float


class CudaError(RuntimeError):
    """The CUDA compiler or driver refused something; the message is its own."""


class CudaKernel:
    """One `extern "C"` kernel of a source text."""

    def __init__(self, source: str, name: str, defines: tuple[str, ...] = ()) -> None:
        """defines: preprocessor definitions such as "K=4"."""
        self.source, self.name, self.defines = source, name, defines
        self._functions: dict[int, ctypes.c_void_p] = {}

    def machine_code(self, architecture: str) -> bytes:
        """The compiled kernel for an architecture such as "sm_90". Raises CudaError where it does not compile."""
        options = [f"--gpu-architecture={architecture}", "--std=c++17", "--fmad=true", "-default-device"]
        options += [f"-D{define}" for define in self.defines]
        return _compile(self.source, self.name, options)

    def launch(self, grid: tuple[int, int, int], threads: int, *arguments: Argument) -> None:
        """Queue the kernel on the current stream of the first tensor's device.

        Tensors are passed as pointers to their data and must be contiguous and on that device, ints as 32-bit, floats
        as float32.
        """
        device = next(argument.device for argument in arguments if isinstance(argument, torch.Tensor))
        values: list[ctypes._SimpleCData] = []
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                if not argument.is_contiguous() or argument.device != device:
                    raise ValueError("A kernel's tensors must be contiguous and on one device.")
                values.append(ctypes.c_void_p(argument.data_ptr()))
            else:
                values.append(ctypes.c_int32(argument) if isinstance(argument, int) else ctypes.c_float(argument))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        with torch.cuda.device(device):
            function = self._function(torch.cuda.current_device())
            stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
            _check_driver(_driver().cuLaunchKernel(function, *grid, threads, 1, 1, 0, stream, pointers, None))

    def _function(self, device: int) -> ctypes.c_void_p:
        if device not in self._functions:
            major, minor = torch.cuda.get_device_capability(device)
            code = self._cached_code(f"sm_{major}{minor}")
            module, function = ctypes.c_void_p(), ctypes.c_void_p()
            _check_driver(_driver().cuModuleLoadData(ctypes.byref(module), code))
            _check_driver(_driver().cuModuleGetFunction(ctypes.byref(function), module, self.name.encode()))
            self._functions[device] = function
        return self._functions[device]

    def _cached_code(self, architecture: str) -> bytes:
        key = hashlib.sha256(repr((self.source, self.defines, architecture, _nvrtc_version())).encode()).hexdigest()
        path = _cache_folder() / f"{self.name}-{architecture}-{key[:16]}.cubin"
        if path.is_file():
            return path.read_bytes()
        logger.warning("Compiling the CUDA kernel %s for this GPU; this happens once and takes seconds.", self.name)
        code = self.machine_code(architecture)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(code)
            os.replace(file.name, path)
        except OSError as error:
            logger.warning("The compiled CUDA kernel cannot be kept for the next start: %s", error)
        return code


@functools.cache
def why_not_available() -> str | None:
    """Why CUDA kernels cannot be compiled on this machine, or None where they can."""
    try:
        _nvrtc()
        _driver()
    except OSError as error:
        return f"the CUDA compiler library could not be loaded ({error})"
    return None


def _compile(source: str, name: str, options: list[str]) -> bytes:
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    _check_nvrtc(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), f"{name}.cu".encode(), 0, None, None))
    try:
        encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if nvrtc.nvrtcCompileProgram(program, len(options), encoded) != 0:
            size = ctypes.c_size_t()
            _check_nvrtc(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(size.value)
            _check_nvrtc(nvrtc.nvrtcGetProgramLog(program, log))
            raise CudaError(f"The CUDA kernel {name} does not compile: {log.value.decode()}")
        size = ctypes.c_size_t()
        _check_nvrtc(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        _check_nvrtc(nvrtc.nvrtcGetCUBIN(program, code))
        return code.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


@functools.cache
def _nvrtc() -> ctypes.CDLL:
    """The compiler library that torch has loaded, else one in an installed NVIDIA package. Raises OSError if none."""
    windows = sys.platform == "win32"
    major = (torch.version.cuda or "").split(".")[0]
    names = [f"nvrtc64_{major}0_0.dll" if windows else f"libnvrtc.so.{major}"] if major else []
    pattern = "nvidia/*/bin/**/nvrtc64_*_0.dll" if windows else "nvidia/*/lib/libnvrtc.so.*"
    for folder in (path for path in sys.path if path.endswith("-packages")):
        names += sorted(str(path) for path in Path(folder).glob(pattern) if ".alt" not in path.name)
    problem = OSError("no NVRTC library is installed")
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = error
    raise problem


@functools.cache
def _nvrtc_version() -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check_nvrtc(_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


@functools.cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def _check_nvrtc(result: int) -> None:
    if result != 0:
        text = _nvrtc().nvrtcGetErrorString
        text.restype = ctypes.c_char_p
        raise CudaError(f"NVRTC: {text(result).decode()}")


def _check_driver(result: int) -> None:
    if result != 0:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(result, ctypes.byref(text))
        raise CudaError(f"CUDA driver: {(text.value or b'error').decode()} ({result})")


def _cache_folder() -> Path:
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "gen3d" / "kernels"
