"""CUDA kernels without a GPU: compiled for several kinds, and run on the CPU a fibre a thread."""

import ctypes
import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from backend.kernels import (
    auction_cuda,
    chamfer_distance,
    cuda,
    earth_movers,
    earth_movers_distance,
    nearest,
    nearest_cuda,
    nearest_neighbors,
    soft_chamfer,
    soft_chamfer_distance,
)
from backend.kernels import soft_chamfer_cuda as soft_cuda
from tests.backend.kernels.cloud_reference import clouds, optimal_cost, squared_distances

KERNELS: dict[str, Callable[[], cuda.CudaKernel]] = {
    "pairwise": nearest_cuda.pairwise_kernel,
    "tree": lambda: nearest_cuda.tree_kernel(1),
    "tree of 32": lambda: nearest_cuda.tree_kernel(32),
    "auction": auction_cuda.auction_kernel,
    "soft minima": soft_cuda.soft_minima_kernel,
    "pull on targets": soft_cuda.pull_on_targets_kernel,
}


@functools.cache
def compiler_is_missing() -> bool:
    """NVRTC comes with torch for CUDA, or as a package of its own; there is none for macOS."""
    try:
        cuda._nvrtc()
    except OSError:
        return True
    return False


needs_nvrtc = pytest.mark.skipif(compiler_is_missing(), reason="NVRTC is not installed")
KINDS = ["random", "surface", "clustered", "coincident", "duplicated", "far"]


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_86", "sm_90"])
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_compiles_for_gpus_that_are_not_here(name: str, architecture: str) -> None:
    code = KERNELS[name]().machine_code(architecture)
    assert code[:4] == b"\x7fELF" and KERNELS[name]().name.encode() in code


@needs_nvrtc
def test_a_kernel_that_does_not_compile_says_why() -> None:
    with pytest.raises(cuda.CudaError, match="undefined"):
        cuda.CudaKernel('extern "C" __global__ void broken() { unknown(); }', "broken").machine_code("sm_90")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuda_on_cpu")


@pytest.fixture
def cuda_on_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Operations take the CUDA path with CPU tensors; yields the names of the kernels that ran."""
    if shutil.which("g++") is None:
        pytest.skip("running CUDA code on the CPU needs g++")
    ran: list[str] = []

    def launch(kernel: cuda.CudaKernel, grid: tuple[int, int, int], threads: int, *arguments: cuda.Argument) -> None:
        values: list[ctypes._SimpleCData] = []
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                assert argument.is_contiguous()
                values.append(ctypes.c_void_p(argument.data_ptr()))
            else:
                values.append(ctypes.c_int32(argument) if isinstance(argument, int) else ctypes.c_float(argument))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        built(folder, kernel.source, kernel.name, kernel.defines).launch(*grid, threads, pointers)
        ran.append(kernel.name)

    monkeypatch.setattr(cuda.CudaKernel, "launch", launch)
    for module in (nearest, earth_movers, soft_chamfer):
        monkeypatch.setattr(module, "computing_device", lambda device: torch.device("cuda"))
    yield ran


@functools.cache
def built(folder: Path, source: str, name: str, defines: tuple[str, ...]) -> ctypes.CDLL:
    """The kernel as a library for the CPU, with a function that takes its arguments as the CUDA driver does."""
    signature = re.search(rf"__global__ void {name}\((.*?)\)", source, re.DOTALL)
    assert signature is not None
    types = [parameter.strip().rsplit(" ", 1)[0] for parameter in signature[1].split(",")]
    types = [kind.replace("const ", "").replace("__restrict__", "") for kind in types]
    stored = "".join(f"static {kind} a{i};\n" for i, kind in enumerate(types))
    loaded = "".join(f"a{i} = *({kind}*)v[{i}]; " for i, kind in enumerate(types))
    call = f"{name}({', '.join(f'a{i}' for i in range(len(types)))});"
    header = Path(__file__).with_name("cuda_on_cpu.hpp")
    text = "".join(f"#define {define.replace('=', ' ')}\n" for define in defines)
    text += f'#include "{header}"\n{source}\n{stored}static void call() {{ {call} }}\n'
    text += 'extern "C" void launch(unsigned x, unsigned y, unsigned z, unsigned count, void** v)\n'
    text += f"{{ {loaded}body = call; run_grid({{x, y, z}}, count); }}\n"
    library = folder / f"{name}{'_'.join(defines)}.so"
    file = library.with_suffix(".cpp")
    file.write_text(text)
    command = ["g++", "-O1", "-w", "-std=c++17", "-shared", "-fPIC", str(file), "-o", str(library)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def check_nearest(source: torch.Tensor, target: torch.Tensor, k: int) -> None:
    squared, index = nearest_neighbors(source, target, k)
    if k == 1:
        squared, index = squared[..., None], index[..., None]
    pairs = squared_distances(source, target)
    torch.testing.assert_close(squared.double(), pairs.topk(k, 2, largest=False).values, rtol=1e-6, atol=1e-30)
    torch.testing.assert_close(pairs.gather(2, index), squared.double(), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("kind", KINDS)
def test_pairwise_search(cuda_on_cpu: list[str], kind: str) -> None:
    check_nearest(clouds(kind, 600), clouds(kind, 1100, seed=1), 1)
    assert cuda_on_cpu == ["nearest_pairwise"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 4])
def test_tree_search(cuda_on_cpu: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, k: int) -> None:
    monkeypatch.setattr(nearest_cuda, "PAIRWISE_UP_TO", 0)
    check_nearest(clouds(kind, 100), clouds(kind, 700, seed=1), k)
    check_nearest(clouds("random", 33), clouds(kind, 17, seed=1), k)
    assert set(cuda_on_cpu) == {"nearest_in_tree"}


@pytest.mark.parametrize("pairwise", [True, False])
def test_lengths(cuda_on_cpu: list[str], monkeypatch: pytest.MonkeyPatch, pairwise: bool) -> None:
    if not pairwise:
        monkeypatch.setattr(nearest_cuda, "PAIRWISE_UP_TO", 0)
    source, target = clouds("random", 70), clouds("random", 300, seed=1)
    lengths = {"source_lengths": torch.tensor([70, 21]), "target_lengths": torch.tensor([37, 300])}
    squared, index = nearest_neighbors(source, target, **lengths)
    assert not squared[1, 21:].any() and not index[1, 21:].any()
    for b, (n, m) in enumerate([(70, 37), (21, 300)]):
        expected, place = squared_distances(source[b : b + 1, :n], target[b : b + 1, :m]).min(2)
        torch.testing.assert_close(squared[b : b + 1, :n].double(), expected, rtol=1e-6, atol=0)
        assert torch.equal(index[b : b + 1, :n], place)


def test_a_point_that_is_not_a_number_is_nobodys_neighbour(
    cuda_on_cpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = clouds("random", 40, batch=1), clouds("random", 50, batch=1, seed=1)
    broken = torch.cat((target, torch.full((1, 3, 3), torch.nan)), 1)
    monkeypatch.setattr(nearest, "check_cloud", lambda name, cloud: None)
    for result, expected in zip(nearest_neighbors(source, broken), nearest_neighbors(source, target), strict=True):
        assert torch.equal(result, expected)


def test_chamfer_gradients_are_those_of_the_cpu(cuda_on_cpu: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    grads = []
    for _ in range(2):
        a, b = clouds("surface", 90).requires_grad_(), clouds("random", 60, seed=1).requires_grad_()
        (chamfer_distance(a, b, squared=False) + soft_chamfer_distance(a, b, 0.05)).backward()
        grads.append((a.grad, b.grad))
        monkeypatch.undo()
    assert set(cuda_on_cpu) == {"nearest_pairwise", "soft_minima", "pull_on_targets"}
    for on_cuda, on_cpu in zip(*grads, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("squared", [False, True])
def test_auction(cuda_on_cpu: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, squared: bool) -> None:
    # Two warps are enough to compete; a fibre for each of 512 threads would take minutes.
    monkeypatch.setattr(auction_cuda, "THREADS", 64)
    monkeypatch.setattr(auction_cuda, "auction_kernel", auction_cuda.auction_kernel.__wrapped__)
    count = 30
    a, b = clouds(kind, count), clouds(kind, count, seed=1)
    distance, assignment, lower_bound = earth_movers_distance(a, b, 0.02, squared=squared)
    assert cuda_on_cpu == ["auction"]
    assert torch.equal(assignment.sort(1).values, torch.arange(count).expand(2, count))
    optimum = torch.from_numpy(optimal_cost(a, b, squared=squared))
    resolution = 2e-6 * squared_distances(a, b).amax((1, 2)).pow(1 if squared else 0.5)
    assert bool((lower_bound <= optimum * (1 + 1e-9)).all())
    assert bool((distance <= 1.02 * optimum + resolution).all())
    assert bool((distance <= 1.02 * lower_bound + resolution).all())
