// Runs a CUDA kernel on the CPU, one block after another, each thread of a block as a fibre that gives way to the others
// at every point where CUDA threads wait for each other. Slow, but it computes what the GPU would.
#include <ucontext.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

struct Dimensions { unsigned x, y, z; };
struct float4 { float x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __shared__ static
using std::max;
using std::min;

struct Fibre { ucontext_t context; std::vector<char> stack; bool ended; unsigned waits[2]; };
static std::vector<Fibre> fibres;
static ucontext_t home;
static unsigned running, threads;
static Dimensions blockIdx;
struct ThreadIndex {
    struct X { operator unsigned() const { return running; } } x;
};
static ThreadIndex threadIdx;
static void (*body)();

static void give_way() { swapcontext(&fibres[running].context, &home); }

// Everyone of the group waits until all that have not ended have come to as many barriers of this kind.
static void wait_for(unsigned first, unsigned last, int kind)
{
    unsigned mine = ++fibres[running].waits[kind];
    while (true) {
        bool all = true;
        for (unsigned t = first; t < last; ++t) all = all && (fibres[t].ended || fibres[t].waits[kind] >= mine);
        if (all) return;
        give_way();
    }
}
static void __syncthreads() { wait_for(0, threads, 0); }
static void __syncwarp() { wait_for(running / 32 * 32, std::min(threads, running / 32 * 32 + 32), 1); }

static char exchanged[1024][8];
template <typename T> static T __shfl_xor_sync(unsigned, T value, int mask)
{
    std::memcpy(exchanged[running], &value, sizeof(T));
    __syncwarp();
    T other;
    std::memcpy(&other, exchanged[running ^ mask], sizeof(T));
    __syncwarp();
    return other;
}
static unsigned __float_as_uint(float value) { unsigned bits; std::memcpy(&bits, &value, 4); return bits; }
static float __uint_as_float(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static unsigned long long atomicMin(unsigned long long* at, unsigned long long value)
{
    unsigned long long old = *at; *at = std::min(old, value); return old;
}
static unsigned long long atomicMax(unsigned long long* at, unsigned long long value)
{
    unsigned long long old = *at; *at = std::max(old, value); return old;
}
static int atomicAdd(int* at, int value) { int old = *at; *at += value; return old; }

static void start_fibre()
{
    body();
    fibres[running].ended = true;
    give_way();
}

static void run_grid(Dimensions grid, unsigned count)
{
    threads = count;
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
        fibres.assign(count, Fibre());
        for (Fibre& fibre : fibres) {
            fibre.stack.resize(32768);
            fibre.ended = false;
            fibre.waits[0] = fibre.waits[1] = 0;
            getcontext(&fibre.context);
            fibre.context.uc_stack.ss_sp = fibre.stack.data();
            fibre.context.uc_stack.ss_size = fibre.stack.size();
            fibre.context.uc_link = &home;
            makecontext(&fibre.context, start_fibre, 0);
        }
        for (bool any = true; any;) {
            any = false;
            for (running = 0; running < count; ++running)
                if (!fibres[running].ended) { any = true; swapcontext(&home, &fibres[running].context); }
        }
    }
}
