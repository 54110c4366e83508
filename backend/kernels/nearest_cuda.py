"""Nearest neighbours on an NVIDIA GPU.

Small clouds are compared pair by pair: each thread holds four queries in registers, targets pass through shared memory,
and the index of the nearest is kept only to the nearest four, so that a pair costs seven instructions and a half.
Large clouds are arranged as on the CPU (Morton order, blocks of 16, a 16-ary tree of boxes, built by torch's own
operations); a warp walks the tree for 32 neighbouring queries, so that all its lanes look at the same box.
"""

import functools

import torch

from .cuda import CudaKernel

THREADS = 128
QUERIES_A_THREAD = 4
TILE = 512
PAIRWISE_UP_TO = 32768  # targets; beyond it the tree costs less, its building included
WANTED_BLOCKS = 1024  # enough to fill any GPU: targets are split among blocks until there are as many
LANES = 16
WARPS = 4
CURVE_BITS = 20
FAR = 3e38

PAIRWISE = r"""
extern "C" __global__ void nearest_pairwise(
    const float* __restrict__ source, const float* __restrict__ target, const long long* __restrict__ source_lengths,
    const long long* __restrict__ target_lengths, unsigned long long* __restrict__ nearest, int n, int m, int split)
{
    // nearest (B, N): squared distance in the upper half, index in the lower; the least wins, whatever the order.
    const int THREADS = 128, QUERIES = 4, TILE = 512;
    __shared__ float4 tile[TILE];
    int b = blockIdx.y;
    int source_length = (int)source_lengths[b], target_length = (int)target_lengths[b];
    int base = blockIdx.x * THREADS * QUERIES + threadIdx.x;
    int first = blockIdx.z * split, last = min(first + split, target_length);
    float x[QUERIES], y[QUERIES], z[QUERIES], best[QUERIES];
    int four[QUERIES];
    for (int q = 0; q < QUERIES; ++q) {
        int i = min(base + q * THREADS, n - 1);
        const float* p = source + ((long long)b * n + i) * 3;
        x[q] = p[0]; y[q] = p[1]; z[q] = p[2];
        best[q] = __uint_as_float(0x7f800000u);
        four[q] = first;
    }
    for (int start = first; start < last; start += TILE) {
        __syncthreads();
        for (int t = threadIdx.x; t < TILE; t += THREADS) {
            int j = min(start + t, target_length - 1);  // padding repeats the last target: it changes no minimum
            const float* p = target + ((long long)b * m + j) * 3;
            tile[t] = make_float4(p[0], p[1], p[2], 0.0f);
        }
        __syncthreads();
        int count = min(TILE, last - start);
        for (int t = 0; t < count; t += 4) {
            float4 t0 = tile[t], t1 = tile[t + 1], t2 = tile[t + 2], t3 = tile[t + 3];
            #pragma unroll
            for (int q = 0; q < QUERIES; ++q) {
                float dx, dy, dz;
                dx = x[q] - t0.x; dy = y[q] - t0.y; dz = z[q] - t0.z;
                float least = dx * dx + dy * dy + dz * dz;
                dx = x[q] - t1.x; dy = y[q] - t1.y; dz = z[q] - t1.z;
                least = fminf(least, dx * dx + dy * dy + dz * dz);
                dx = x[q] - t2.x; dy = y[q] - t2.y; dz = z[q] - t2.z;
                least = fminf(least, dx * dx + dy * dy + dz * dz);
                dx = x[q] - t3.x; dy = y[q] - t3.y; dz = z[q] - t3.z;
                least = fminf(least, dx * dx + dy * dy + dz * dz);
                if (least < best[q]) { best[q] = least; four[q] = start + t; }
            }
        }
    }
    if (first >= last) return;
    for (int q = 0; q < QUERIES; ++q) {
        int i = base + q * THREADS;
        if (i >= source_length) continue;
        float least = __uint_as_float(0x7f800000u);
        int index = four[q];
        for (int j = four[q]; j < min(four[q] + 4, target_length); ++j) {
            const float* p = target + ((long long)b * m + j) * 3;
            float dx = x[q] - p[0], dy = y[q] - p[1], dz = z[q] - p[2];
            float d = dx * dx + dy * dy + dz * dz;
            if (d < least) { least = d; index = j; }
        }
        unsigned long long key = ((unsigned long long)__float_as_uint(least) << 32) | (unsigned int)index;
        atomicMin(nearest + (long long)b * n + i, key);
    }
}
"""

TREE = r"""
extern "C" __global__ void nearest_in_tree(
    const float* __restrict__ queries, const long long* __restrict__ query_order, const float* __restrict__ targets,
    const long long* __restrict__ target_order, const float* __restrict__ boxes, const int* __restrict__ level_start,
    const long long* __restrict__ source_lengths, const long long* __restrict__ target_lengths,
    const long long* __restrict__ seeds, float* __restrict__ squared, long long* __restrict__ index,
    int n, int arranged_n, int blocks, int groups, int levels, int packets)
{
    // queries (B, arranged_n, 3) and targets (B, blocks * 16, 3) in curve order; boxes (B, groups, 16, 6), lowest level
    // first; seeds (B, packets): the block of targets to look at first. K neighbours go to squared, index (B, n, K).
    const int STACK = 192;
    __shared__ unsigned int stack_near[4][STACK];
    __shared__ int stack_level[4][STACK], stack_node[4][STACK];
    const unsigned int ALL = 0xffffffffu;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int packet = blockIdx.x * 4 + warp, b = blockIdx.y;
    if (packet >= packets) return;
    int source_length = (int)source_lengths[b], target_length = (int)target_lengths[b];
    if (packet * 32 >= source_length) return;
    int place = min(packet * 32 + lane, source_length - 1);
    const float* p = queries + ((long long)b * arranged_n + place) * 3;
    float x = p[0], y = p[1], z = p[2];
    float low_x = x, low_y = y, low_z = z, high_x = x, high_y = y, high_z = z;
    for (int step = 16; step > 0; step /= 2) {
        low_x = fminf(low_x, __shfl_xor_sync(ALL, low_x, step));
        low_y = fminf(low_y, __shfl_xor_sync(ALL, low_y, step));
        low_z = fminf(low_z, __shfl_xor_sync(ALL, low_z, step));
        high_x = fmaxf(high_x, __shfl_xor_sync(ALL, high_x, step));
        high_y = fmaxf(high_y, __shfl_xor_sync(ALL, high_y, step));
        high_z = fmaxf(high_z, __shfl_xor_sync(ALL, high_z, step));
    }
    float best[K];
    int found[K];
    for (int k = 0; k < K; ++k) { best[k] = __uint_as_float(0x7f800000u); found[k] = 0; }
    int seed = (int)seeds[(long long)b * packets + packet], top = 2;
    bool seed_seen = false;
    if (lane == 0) {
        stack_near[warp][0] = 0u; stack_level[warp][0] = levels - 1; stack_node[warp][0] = 0;
        stack_near[warp][1] = 0u; stack_level[warp][1] = -1; stack_node[warp][1] = seed;
    }
    __syncwarp();
    float bound = __uint_as_float(0x7f800000u);
    while (top > 0) {
        --top;
        float near = __uint_as_float(stack_near[warp][top]);
        int level = stack_level[warp][top], node = stack_node[warp][top];
        __syncwarp();
        if (near >= bound && seed_seen) continue;
        if (level < 0) {
            if (node == seed) { if (seed_seen) continue; seed_seen = true; }
            const float* t = targets + ((long long)b * blocks + node) * 48;
            int count = min(16, target_length - node * 16);
            for (int j = 0; j < count; ++j) {
                float dx = x - t[3 * j], dy = y - t[3 * j + 1], dz = z - t[3 * j + 2];
                float d = dx * dx + dy * dy + dz * dz;
                if (d < best[K - 1]) {
                    int spot = node * 16 + j;
                    #pragma unroll
                    for (int k = 0; k < K; ++k) {  // one pass of insertion, in registers
                        bool before = d < best[k];
                        float old = best[k]; int old_found = found[k];
                        best[k] = before ? d : old; found[k] = before ? spot : old_found;
                        d = before ? old : d; spot = before ? old_found : spot;
                    }
                }
            }
            bound = best[K - 1];
            for (int step = 16; step > 0; step /= 2) bound = fmaxf(bound, __shfl_xor_sync(ALL, bound, step));
            continue;
        }
        // Sixteen lanes measure one child each; children are pushed farthest first.
        unsigned int key = 0u;
        if (lane < 16) {
            const float* box = boxes + (((long long)b * groups + level_start[level] + node) * 16 + lane) * 6;
            float dx = fmaxf(fmaxf(box[0] - high_x, low_x - box[3]), 0.0f);
            float dy = fmaxf(fmaxf(box[1] - high_y, low_y - box[4]), 0.0f);
            float dz = fmaxf(fmaxf(box[2] - high_z, low_z - box[5]), 0.0f);
            float d = dx * dx + dy * dy + dz * dz;
            bool holds = box[0] <= box[3] && box[0] < 3e38f;
            // The lane in the lowest bits tells keys apart; dropping those bits keeps the distance a lower bound.
            if (holds && d < bound) key = (__float_as_uint(d) & ~31u) | 16u | (unsigned int)lane;
        }
        while (true) {
            unsigned int most = key;
            for (int step = 16; step > 0; step /= 2) most = max(most, __shfl_xor_sync(ALL, most, step));
            if (most == 0u) break;
            if (lane == 0) {
                stack_near[warp][top] = most & ~31u;
                stack_level[warp][top] = level - 1;
                stack_node[warp][top] = node * 16 + (int)(most & 15u);
            }
            ++top;
            if (key == most) key = 0u;
        }
        __syncwarp();
    }
    if (packet * 32 + lane < source_length) {
        long long row = ((long long)b * n + query_order[(long long)b * arranged_n + place]) * K;
        for (int k = 0; k < K; ++k) {
            squared[row + k] = best[k];
            index[row + k] = target_order[(long long)b * blocks * 16 + found[k]];
        }
    }
}
"""


def search_cuda(
    source: torch.Tensor, target: torch.Tensor, source_count: torch.Tensor, target_count: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared distances float32 and indices int64, both (B, N, k); 0 for padding. Counts are (B,) on any device."""
    source, target = source.detach().contiguous(), target.detach().contiguous()
    padded = bool((source_count < source.shape[1]).any()) if source_count.device.type == "cpu" else True
    source_count, target_count = (count.to(source.device, non_blocking=True) for count in (source_count, target_count))
    if k == 1 and target.shape[1] <= PAIRWISE_UP_TO:
        squared, index = _search_pairwise(source, target, source_count, target_count)
    else:
        squared, index = _search_tree(source, target, source_count, target_count, k)
    if padded:
        valid = torch.arange(source.shape[1], device=source.device)[None, :, None] < source_count[:, None, None]
        squared, index = torch.where(valid, squared, 0), torch.where(valid, index, 0)
    return squared, index


@functools.cache
def pairwise_kernel() -> CudaKernel:
    """The kernel for small clouds."""
    return CudaKernel(PAIRWISE, "nearest_pairwise")


@functools.cache
def tree_kernel(k: int) -> CudaKernel:
    """The kernel for large clouds and for several neighbours."""
    return CudaKernel(TREE, "nearest_in_tree", (f"K={k}",))


def _search_pairwise(
    source: torch.Tensor, target: torch.Tensor, source_count: torch.Tensor, target_count: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    (batch, n, _), m = source.shape, target.shape[1]
    nearest = torch.full((batch, n), torch.iinfo(torch.int64).max, device=source.device, dtype=torch.int64)
    columns = -(-n // (THREADS * QUERIES_A_THREAD))
    parts = max(1, min(-(-m // TILE), WANTED_BLOCKS // (columns * batch)))
    split = -(-m // (parts * TILE)) * TILE
    grid = (columns, batch, -(-m // split))
    pairwise_kernel().launch(grid, THREADS, source, target, source_count, target_count, nearest, n, m, split)
    squared = (nearest >> 32).to(torch.int32).view(torch.float32)
    return squared[..., None], (nearest & 0xFFFFFFFF)[..., None]


def _search_tree(
    source: torch.Tensor, target: torch.Tensor, source_count: torch.Tensor, target_count: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    batch, n, _ = source.shape
    low = torch.minimum(source.amin(1), target.amin(1))[:, None]
    high = torch.maximum(source.amax(1), target.amax(1))[:, None]
    queries, query_order, query_codes = _along_curve(source, source_count, low, high)
    targets, target_order, target_codes = _along_curve(target, target_count, low, high)
    boxes, level_start = _boxes(targets)
    blocks, packets = targets.shape[1] // LANES, -(-n // 32)
    middles = torch.arange(packets, device=source.device) * 32 + 16
    middles = torch.minimum(middles.expand(batch, -1), source_count[:, None] - 1)
    seeds = torch.searchsorted(target_codes, query_codes.gather(1, middles))
    seeds = torch.minimum(seeds, target_count[:, None] - 1) // LANES
    squared = torch.empty(batch, n, k, device=source.device)
    index = torch.empty(batch, n, k, device=source.device, dtype=torch.int64)
    starts = torch.tensor(level_start, device=source.device, dtype=torch.int32)
    tree_kernel(k).launch(
        (-(-packets // WARPS), batch, 1), WARPS * 32, queries, query_order, targets, target_order, boxes, starts,
        source_count, target_count, seeds, squared, index, n, queries.shape[1], blocks, boxes.shape[1],
        len(level_start) - 1, packets,
    )  # fmt: skip
    return squared, index


def _along_curve(
    cloud: torch.Tensor, count: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, their places in the cloud and their codes, in Morton order, padded to whole blocks with far points."""
    n = cloud.shape[1]
    extent = (high - low).amax(2, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    cells = ((cloud - low) / extent * float(1 << CURVE_BITS)).to(torch.int64).clamp(0, (1 << CURVE_BITS) - 1)
    for shift, mask in (
        (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):  # fmt: skip
        cells = (cells | (cells << shift)) & mask
    codes = cells[..., 0] | (cells[..., 1] << 1) | (cells[..., 2] << 2)
    valid = torch.arange(n, device=cloud.device) < count[:, None]
    codes, order = torch.where(valid, codes, torch.iinfo(torch.int64).max).sort(dim=1, stable=True)
    points = torch.where(valid[..., None], cloud.gather(1, order[..., None].expand(-1, -1, 3)), FAR)
    rest = -n % LANES
    points = torch.nn.functional.pad(points, (0, 0, 0, rest), value=FAR)
    return points.contiguous(), torch.nn.functional.pad(order, (0, rest)).contiguous(), codes.contiguous()


def _boxes(points: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Boxes (B, groups, 16, 6) of blocks of 16 points, of 16 of those, and so on, and where each level begins."""
    low = points.unflatten(1, (-1, LANES)).amin(2)
    # A far point only fills up a block, and must not stretch its box.
    high = torch.where(points < FAR, points, -FAR).unflatten(1, (-1, LANES)).amax(2)
    levels, level_start = [], [0]
    while True:
        rest = -low.shape[1] % LANES
        low = torch.nn.functional.pad(low, (0, 0, 0, rest), value=FAR)
        high = torch.nn.functional.pad(high, (0, 0, 0, rest), value=-FAR)
        levels.append(torch.cat((low, high), 2).unflatten(1, (-1, LANES)))
        level_start.append(level_start[-1] + levels[-1].shape[1])
        if levels[-1].shape[1] == 1:
            return torch.cat(levels, 1).contiguous(), level_start
        low, high = levels[-1][..., :3].amin(2), levels[-1][..., 3:].amax(2)
