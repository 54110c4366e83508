"""The auction on an NVIDIA GPU: a block of threads for each pair of clouds, all unassigned points bidding at once.

The same ε-scaling, ending and proof as on the CPU. A warp makes one bid by looking at all targets; the highest bid for
a target wins by an atomic maximum over (bid, bidder), whose result does not depend on the order of the bids.
"""

import functools

import torch

from .cuda import CudaKernel

THREADS = 512

SOURCE = r"""
// THREADS is given when this is compiled.
#define WARPS (THREADS / 32)
#define ALL 0xffffffffu
#define FIRST_STEP 0.05
#define SHRINK 8.0
#define FLOAT32_STEP 4.76837158203125e-7

__device__ __forceinline__ float cost_of(float x, float y, float z, const float* t, int plain)
{
    float dx = x - t[0], dy = y - t[1], dz = z - t[2];
    float d = dx * dx + dy * dy + dz * dz;
    return plain ? sqrtf(d) : d;
}

// The best and second best of cost plus price over all targets, for one point and all lanes of a warp.
__device__ void look(float x, float y, float z, const float* target, const float* price, int n, int plain, int lane,
                     float* best, float* second, int* at)
{
    float first = __uint_as_float(0x7f800000u), next = first;
    int where = 0;
    for (int j = lane; j < n; j += 32) {
        float v = cost_of(x, y, z, target + 3 * j, plain) + price[j];
        if (v < first) { next = first; first = v; where = j; }
        else if (v < next) next = v;
    }
    for (int step = 16; step > 0; step /= 2) {
        float other = __shfl_xor_sync(ALL, first, step), other_next = __shfl_xor_sync(ALL, next, step);
        int other_where = __shfl_xor_sync(ALL, where, step);
        bool takes = other < first || (other == first && other_where < where);
        next = fminf(fminf(next, other_next), takes ? first : other);
        if (takes) { first = other; where = other_where; }
    }
    *best = first; *second = next; *at = where;
}

// The sum, or the maximum, over the block: always in the same order.
__device__ double over_block(double value, double* room, bool maximum)
{
    __syncthreads();
    room[threadIdx.x] = value;
    __syncthreads();
    for (int step = THREADS / 2; step > 0; step /= 2) {
        if (threadIdx.x < step) {
            double mine = room[threadIdx.x], other = room[threadIdx.x + step];
            room[threadIdx.x] = !maximum ? mine + other : mine > other ? mine : other;
        }
        __syncthreads();
    }
    double result = room[0];
    __syncthreads();
    return result;
}

extern "C" __global__ void auction(
    const float* __restrict__ sources, const float* __restrict__ targets, long long* __restrict__ assignments,
    double* __restrict__ lower_bounds, float* __restrict__ prices, unsigned long long* __restrict__ all_bids,
    int* __restrict__ owners, int* __restrict__ owns, int* __restrict__ waits, float* __restrict__ slacks,
    int n, int plain, float epsilon)
{
    // assignments (B, n); lower_bounds (B,); the others (B, n) are room to work in, prices and all_bids given as zeros,
    // owners and owns as -1.
    __shared__ double room[THREADS];
    __shared__ int left;
    long long offset = (long long)blockIdx.x * n;
    const float* source = sources + offset * 3;
    const float* target = targets + offset * 3;
    float* price = prices + offset;
    unsigned long long* bids = all_bids + offset;
    int *owner = owners + offset, *own = owns + offset, *waiting = waits + offset;
    float* slack = slacks + offset;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    double total = 0.0, most = 0.0;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        double cost = cost_of(source[3 * i], source[3 * i + 1], source[3 * i + 2], target + 3 * i, plain);
        total += cost;
        most = cost > most ? cost : most;
    }
    total = over_block(total, room, false);
    most = over_block(most, room, true);
    double eps = total / n * FIRST_STEP, lower = -1e300;
    while (true) {
        while (true) {
            if (threadIdx.x == 0) left = 0;
            __syncthreads();
            for (int i = threadIdx.x; i < n; i += THREADS)
                if (own[i] < 0) waiting[atomicAdd(&left, 1)] = i;
            __syncthreads();
            int count = left;
            __syncthreads();
            if (count == 0) break;
            for (int turn = warp; turn < count; turn += WARPS) {
                int i = waiting[turn], at;
                float best, second;
                const float* s = source + 3 * i;
                look(s[0], s[1], s[2], target, price, n, plain, lane, &best, &second, &at);
                if (lane == 0) {
                    float rise = n > 1 ? second - best : 0.0f;
                    float bid = price[at] + rise + (float)eps;
                    atomicMax(bids + at, ((unsigned long long)__float_as_uint(bid) << 32) | (unsigned int)(i + 1));
                }
            }
            __syncthreads();
            for (int j = threadIdx.x; j < n; j += THREADS) {
                unsigned long long bid = bids[j];
                if (bid == 0ull) continue;
                int winner = (int)(bid & 0xffffffffull) - 1;
                if (owner[j] >= 0) own[owner[j]] = -1;
                owner[j] = winner;
                own[winner] = j;
                price[j] = __uint_as_float((unsigned int)(bid >> 32));
                bids[j] = 0ull;
            }
            __syncthreads();
        }
        double primal = 0.0, dual = 0.0, largest = 0.0;
        for (int i = warp; i < n; i += WARPS) {
            int at;
            float best, second;
            const float* s = source + 3 * i;
            look(s[0], s[1], s[2], target, price, n, plain, lane, &best, &second, &at);
            if (lane == 0) {
                float cost = cost_of(s[0], s[1], s[2], target + 3 * own[i], plain);
                slack[i] = cost + price[own[i]] - best;
                primal += cost;
                dual += (double)best - (double)price[i];
                largest = price[i] > largest ? price[i] : largest;
            }
        }
        primal = over_block(primal, room, false);
        dual = over_block(dual, room, false);
        largest = over_block(largest, room, true);
        dual -= n * (largest + most) * FLOAT32_STEP / 2;
        lower = dual > lower ? dual : lower;
        double smallest = (largest + most) * FLOAT32_STEP;
        if (primal <= (1.0 + epsilon) * lower || eps <= smallest) break;
        double wanted = epsilon * lower > 1e-30 ? epsilon * lower : 1e-30;
        double ratio = (primal - lower) / wanted * 1.1;
        ratio = ratio < 1.5 ? 1.5 : ratio > SHRINK ? SHRINK : ratio;
        eps = eps / ratio > smallest ? eps / ratio : smallest;
        for (int i = threadIdx.x; i < n; i += THREADS)
            if (slack[i] > (float)eps) { owner[own[i]] = -1; own[i] = -1; }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < n; i += THREADS) assignments[offset + i] = own[i];
    if (threadIdx.x == 0) lower_bounds[blockIdx.x] = lower > 0.0 ? lower / n : 0.0;
}
"""


@functools.cache
def auction_kernel() -> CudaKernel:
    """The whole auction."""
    return CudaKernel(SOURCE, "auction", (f"THREADS={THREADS}",))


def auction_cuda(a: torch.Tensor, b: torch.Tensor, plain: bool, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Assignment (B, N) int64 and lower bound (B,) float64 of the optimal mean cost, for clouds (B, N, 3) float32."""
    a, b = a.detach().contiguous(), b.detach().contiguous()
    batch, n, _ = a.shape
    assignment = torch.empty(batch, n, device=a.device, dtype=torch.int64)
    lower_bound = torch.empty(batch, device=a.device, dtype=torch.float64)
    prices, slack = (torch.zeros(batch, n, device=a.device) for _ in range(2))
    bids = torch.zeros(batch, n, device=a.device, dtype=torch.int64)
    owner, own, waiting = (torch.full((batch, n), -1, device=a.device, dtype=torch.int32) for _ in range(3))
    auction_kernel().launch(
        (batch, 1, 1), THREADS, a, b, assignment, lower_bound, prices, bids, owner, own, waiting, slack, n, int(plain),
        epsilon,
    )  # fmt: skip
    return assignment, lower_bound
