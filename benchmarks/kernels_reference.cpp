// What a person would write by hand for this processor: the yardstick of `bench kernels`, compiled for it alone.
// Nearest neighbours of clouds (batch, n, 3) in (batch, m, 3), by comparing all pairs or by a uniform grid.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {
constexpr int LANES = 16, VECTORS = 2;
typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
const float INFINITE = std::numeric_limits<float>::infinity();

// 32 queries in registers meet every target.
void all_pairs(const float* source, const float* target, int first, int last, int m, float* squared, int64_t* index)
{
    for (int base = first; base < last; base += LANES * VECTORS) {
        Floats x[VECTORS], y[VECTORS], z[VECTORS], best[VECTORS];
        Ints at[VECTORS];
        for (int v = 0; v < VECTORS; ++v)
            for (int lane = 0; lane < LANES; ++lane) {
                const float* p = source + 3 * (int64_t)std::min(base + v * LANES + lane, last - 1);
                x[v][lane] = p[0]; y[v][lane] = p[1]; z[v][lane] = p[2];
                best[v][lane] = INFINITE; at[v][lane] = 0;
            }
        for (int j = 0; j < m; ++j) {
            const float* t = target + 3 * (int64_t)j;
            for (int v = 0; v < VECTORS; ++v) {
                Floats dx = x[v] - t[0], dy = y[v] - t[1], dz = z[v] - t[2];
                Floats d = dx * dx + dy * dy + dz * dz;
                Ints nearer = d < best[v];
                best[v] = nearer ? d : best[v];
                at[v] = nearer ? j : at[v];
            }
        }
        for (int v = 0; v < VECTORS; ++v)
            for (int lane = 0; lane < LANES; ++lane) {
                int i = base + v * LANES + lane;
                if (i < last) { squared[i] = best[v][lane]; index[i] = at[v][lane]; }
            }
    }
}

// Two points a cell on average; rings of cells are searched until no nearer point can lie further out.
struct Grid {
    float low[3], size, inverse;
    int cells[3];
    std::vector<int> start, order;
    std::vector<float> x, y, z;

    int cell(int axis, float value) const
    {
        return std::min(std::max((int)((value - low[axis]) * inverse), 0), cells[axis] - 1);
    }
    void build(const float* target, int m)
    {
        float high[3];
        for (int a = 0; a < 3; ++a) low[a] = INFINITE, high[a] = -INFINITE;
        for (int j = 0; j < m; ++j)
            for (int a = 0; a < 3; ++a) {
                low[a] = std::min(low[a], target[3 * (int64_t)j + a]);
                high[a] = std::max(high[a], target[3 * (int64_t)j + a]);
            }
        double volume = 1;
        for (int a = 0; a < 3; ++a) volume *= std::max(high[a] - low[a], 1e-6f);
        size = std::cbrt(volume * 2 / m);
        inverse = 1 / size;
        for (int a = 0; a < 3; ++a) cells[a] = std::min((int)((high[a] - low[a]) * inverse) + 1, 1024);
        int total = cells[0] * cells[1] * cells[2];
        start.assign(total + 1, 0);
        std::vector<int> where(m);
        for (int j = 0; j < m; ++j) {
            const float* t = target + 3 * (int64_t)j;
            where[j] = (cell(2, t[2]) * cells[1] + cell(1, t[1])) * cells[0] + cell(0, t[0]);
            ++start[where[j] + 1];
        }
        for (int c = 0; c < total; ++c) start[c + 1] += start[c];
        std::vector<int> next(start.begin(), start.end() - 1);
        order.resize(m); x.resize(m); y.resize(m); z.resize(m);
        for (int j = 0; j < m; ++j) {
            int place = next[where[j]]++;
            order[place] = j;
            x[place] = target[3 * (int64_t)j]; y[place] = target[3 * (int64_t)j + 1]; z[place] = target[3 * (int64_t)j + 2];
        }
    }
    void look(int from, int to, float px, float py, float pz, float& best, int& at) const
    {
        for (int j = from; j < to; ++j) {
            float dx = px - x[j], dy = py - y[j], dz = pz - z[j], d = dx * dx + dy * dy + dz * dz;
            if (d < best) { best = d; at = j; }
        }
    }
    void nearest(const float* p, float& squared, int64_t& index) const
    {
        int cx = cell(0, p[0]), cy = cell(1, p[1]), cz = cell(2, p[2]), at = 0;
        float best = INFINITE;
        int most = std::max(cells[0], std::max(cells[1], cells[2]));
        for (int ring = 0; ring <= most; ++ring) {
            for (int k = std::max(cz - ring, 0); k <= std::min(cz + ring, cells[2] - 1); ++k)
                for (int j = std::max(cy - ring, 0); j <= std::min(cy + ring, cells[1] - 1); ++j) {
                    int row = (k * cells[1] + j) * cells[0];
                    int left = cx - ring, right = cx + ring;
                    if (std::abs(k - cz) == ring || std::abs(j - cy) == ring) {
                        look(start[row + std::max(left, 0)], start[row + std::min(right, cells[0] - 1) + 1], p[0], p[1], p[2], best, at);
                    } else {
                        if (left >= 0) look(start[row + left], start[row + left + 1], p[0], p[1], p[2], best, at);
                        if (right < cells[0]) look(start[row + right], start[row + right + 1], p[0], p[1], p[2], best, at);
                    }
                }
            // Everything outside the searched cells is at least this far away, on whichever side is nearest.
            float reach = INFINITE;
            const int c[3] = {cx, cy, cz};
            for (int a = 0; a < 3; ++a) {
                if (c[a] - ring > 0) reach = std::min(reach, p[a] - (low[a] + (c[a] - ring) * size));
                if (c[a] + ring < cells[a] - 1) reach = std::min(reach, low[a] + (c[a] + ring + 1) * size - p[a]);
            }
            if (reach > 0 && best <= reach * reach) break;
        }
        squared = best;
        index = order[at];
    }
};
}  // namespace

extern "C" void nearest_neighbors(
    const float* source, const float* target, int batch, int n, int m, int grid, int threads, float* squared, int64_t* index)
{
    std::vector<Grid> grids(grid ? batch : 0);
    #pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int b = 0; b < (grid ? batch : 0); ++b) grids[b].build(target + (int64_t)b * m * 3, m);
    const int CHUNK = 1024, chunks = (n + CHUNK - 1) / CHUNK;
    #pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int part = 0; part < batch * chunks; ++part) {
        int64_t b = part / chunks, first = (int64_t)(part % chunks) * CHUNK, last = std::min<int64_t>(first + CHUNK, n);
        if (!grid) {
            all_pairs(source + b * n * 3, target + b * m * 3, first, last, m, squared + b * n, index + b * n);
            continue;
        }
        for (int64_t i = b * n + first; i < b * n + last; ++i) grids[b].nearest(source + i * 3, squared[i], index[i]);
    }
}
