"""Sums of softmax-weighted distances on an NVIDIA GPU: a thread a point, the other cloud through shared memory."""

import functools

import torch

from .cuda import CudaKernel
from .nearest_cuda import search_cuda
from .soft_chamfer_cpu import FLOAT32_ROUNDING

THREADS = 128

SOURCE = r"""
#define THREADS 128
#define LOG2_E 1.4426950408889634f

// For every query, with e = exp(-(d - nearest) / T):
// weight = sum e, value = sum e d / weight, pull = derivative of value by the query.
extern "C" __global__ void soft_minima(
    const float* __restrict__ queries, const float* __restrict__ targets, const long long* __restrict__ lengths,
    const long long* __restrict__ target_lengths, const float* __restrict__ nearest, float* __restrict__ weight,
    float* __restrict__ value, float* __restrict__ pull, int n, int m, float inverse_temperature)
{
    __shared__ float4 tile[THREADS];
    int b = blockIdx.y, i = blockIdx.x * THREADS + threadIdx.x;
    int target_length = (int)target_lengths[b];
    long long row = (long long)b * n + min(i, n - 1);
    float x = queries[row * 3], y = queries[row * 3 + 1], z = queries[row * 3 + 2], least = nearest[row];
    float scale = -inverse_temperature * LOG2_E;
    float total = 0.0f, mean = 0.0f, gx = 0.0f, gy = 0.0f, gz = 0.0f, hx = 0.0f, hy = 0.0f, hz = 0.0f;
    for (int start = 0; start < target_length; start += THREADS) {
        __syncthreads();
        const float* t = targets + ((long long)b * m + min(start + (int)threadIdx.x, target_length - 1)) * 3;
        tile[threadIdx.x] = make_float4(t[0], t[1], t[2], 0.0f);
        __syncthreads();
        int count = min(THREADS, target_length - start);
        for (int j = 0; j < count; ++j) {
            float4 p = tile[j];
            float dx = x - p.x, dy = y - p.y, dz = z - p.z;
            float d = fmaxf(dx * dx + dy * dy + dz * dz - least, 0.0f);
            float e = exp2f(d * scale), ed = e * d;
            total += e; mean += ed;
            gx += e * dx; gy += e * dy; gz += e * dz;
            hx += ed * dx; hy += ed * dy; hz += ed * dz;
        }
    }
    if (i >= (int)lengths[b]) return;
    float inverse = 1.0f / total;
    mean *= inverse;
    weight[row] = total;
    value[row] = least + mean;
    pull[row * 3] = 2.0f * inverse * (gx + (mean * gx - hx) * inverse_temperature);
    pull[row * 3 + 1] = 2.0f * inverse * (gy + (mean * gy - hy) * inverse_temperature);
    pull[row * 3 + 2] = 2.0f * inverse * (gz + (mean * gz - hz) * inverse_temperature);
}

// Adds to every target the pull of all queries: sum over queries of e (p - q (d - nearest)) 2 (target - query).
extern "C" __global__ void pull_on_targets(
    const float* __restrict__ queries, const float* __restrict__ targets, const long long* __restrict__ lengths,
    const long long* __restrict__ target_lengths, const float* __restrict__ nearest, const float* __restrict__ p,
    const float* __restrict__ q, float* __restrict__ gradient, int n, int m, float inverse_temperature)
{
    __shared__ float4 tile[THREADS];
    __shared__ float factor_p[THREADS], factor_q[THREADS];
    int b = blockIdx.y, j = blockIdx.x * THREADS + threadIdx.x;
    int length = (int)lengths[b];
    long long row = (long long)b * m + min(j, m - 1);
    float x = targets[row * 3], y = targets[row * 3 + 1], z = targets[row * 3 + 2];
    float scale = -inverse_temperature * LOG2_E, gx = 0.0f, gy = 0.0f, gz = 0.0f;
    for (int start = 0; start < length; start += THREADS) {
        __syncthreads();
        long long i = (long long)b * n + min(start + (int)threadIdx.x, length - 1);
        tile[threadIdx.x] = make_float4(queries[i * 3], queries[i * 3 + 1], queries[i * 3 + 2], nearest[i]);
        factor_p[threadIdx.x] = p[i];
        factor_q[threadIdx.x] = q[i];
        __syncthreads();
        int count = min(THREADS, length - start);
        for (int k = 0; k < count; ++k) {
            float4 t = tile[k];
            float dx = x - t.x, dy = y - t.y, dz = z - t.z;
            float d = fmaxf(dx * dx + dy * dy + dz * dz - t.w, 0.0f);
            float e = exp2f(d * scale) * (factor_p[k] - factor_q[k] * d);
            gx += e * dx; gy += e * dy; gz += e * dz;
        }
    }
    if (j >= (int)target_lengths[b]) return;
    gradient[row * 3] += 2.0f * gx;
    gradient[row * 3 + 1] += 2.0f * gy;
    gradient[row * 3 + 2] += 2.0f * gz;
}
"""


@functools.cache
def soft_minima_kernel() -> CudaKernel:
    """The forward pass."""
    return CudaKernel(SOURCE, "soft_minima")


@functools.cache
def pull_on_targets_kernel() -> CudaKernel:
    """The part of the backward pass that reaches the other cloud."""
    return CudaKernel(SOURCE, "pull_on_targets")


def soft_minima_cuda(
    a: torch.Tensor, b: torch.Tensor, a_count: torch.Tensor, b_count: torch.Tensor, temperature: float
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For a → b and b → a: nearest, weight and value (B, N) and pull (B, N, 3); 0 for padding."""
    a, b = a.detach().contiguous(), b.detach().contiguous()
    sides = []
    for queries, targets, count, target_count in ((a, b, a_count, b_count), (b, a, b_count, a_count)):
        nearest = search_cuda(queries, targets, count, target_count, 1)[0][..., 0] * (1 + FLOAT32_ROUNDING)
        weight, value, pull = torch.zeros_like(nearest), torch.zeros_like(nearest), torch.zeros_like(queries)
        counts = [lengths.to(a.device) for lengths in (count, target_count)]
        (batch, n, _), m = queries.shape, targets.shape[1]
        soft_minima_kernel().launch(
            (-(-n // THREADS), batch, 1), THREADS, queries, targets, *counts, nearest, weight, value, pull, n, m,
            1 / temperature,
        )  # fmt: skip
        sides.append((nearest, weight, value, pull))
    return sides


def pull_on_targets_cuda(
    queries: torch.Tensor,
    targets: torch.Tensor,
    count: torch.Tensor,
    target_count: torch.Tensor,
    factors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    temperature: float,
    gradient: torch.Tensor,
) -> None:
    """Add to gradient (B, M, 3) the queries' pull; factors are nearest, p and q, each (B, N)."""
    queries, targets = queries.detach().contiguous(), targets.detach().contiguous()
    counts = [lengths.to(queries.device) for lengths in (count, target_count)]
    (batch, n, _), m = queries.shape, targets.shape[1]
    pull_on_targets_kernel().launch(
        (-(-m // THREADS), batch, 1), THREADS, queries, targets, *counts,
        *(factor.contiguous() for factor in factors), gradient, n, m, 1 / temperature,
    )  # fmt: skip
