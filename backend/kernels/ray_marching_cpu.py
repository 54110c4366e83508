"""Rays through grids of values and colours on the CPU: each ray is marched, composited and differentiated in one go.

A ray's samples live in a scratch array and nowhere else, and its way back repeats its way out instead of reading it
from memory: for grids that fit the cache arithmetic is cheaper than storage.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled
from .threads import parallel_for

COPIES = 2
"""Gradients are gathered in so many copies of the grids and then added up, whatever the number of threads, so that sums
always run in the same order."""
GRAIN = 256
LONGEST = 3.5
"""No ray is longer than this within model space: the cube's diagonal."""

TIME, VALUE, ALPHA, PASSING, SLOPE = 0, 1, 2, 3, 4
"""Columns of a ray's scratch: how far along the ray a sample is, the grid's value there, the opacity of the section
that ends there (−1 where none does), the light that reaches that section, and the loss's slope by the value."""
COLUMNS = 5

NOTHING, HALF, ONE, STEEPEST = np.float32(0), np.float32(0.5), np.float32(1), np.float32(60)
PARALLEL = np.float32(1e-9)
FAR = np.float32(1e9)


def march(grids, rays, settings, results) -> None:  # type: ignore[no-untyped-def]
    """Fills results, color (R, 3), opacity (R,) and depth (R,), all zeros, for rays through grids.

    grids: values, colors, occupied. rays: origins, directions, offsets. settings: step, sharpness (0 for densities),
    thinnest, enough. As `ray_marching.march_rays` has them, as contiguous NumPy arrays and float32 numbers.
    """

    def work(first: int, last: int) -> None:
        _march(*grids, *rays, *settings, first, last, *_scratch(settings[0]), *results)

    parallel_for(work, len(rays[0]), GRAIN)


def march_back(grids, rays, settings, upstream):  # type: ignore[no-untyped-def]
    """The gradients by values and by colors, given upstream, those by color (R, 3) and opacity (R,)."""
    values, colors, _ = grids
    count = len(rays[0])
    gathered = [(np.zeros_like(values), np.zeros_like(colors)) for _ in range(COPIES)]

    def work(start: int, stop: int) -> None:
        for copy in range(start, stop):
            first, last = copy * count // COPIES, (copy + 1) * count // COPIES
            _march_back(*grids, *rays, *settings, first, last, *_scratch(settings[0]), *upstream, *gathered[copy])

    parallel_for(work, COPIES)
    for by_values, by_colors in gathered[1:]:
        gathered[0][0].__iadd__(by_values)
        gathered[0][1].__iadd__(by_colors)
    return gathered[0]


def _scratch(step: np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    samples = np.empty((int(LONGEST / float(step)) + 2, COLUMNS), np.float32)
    return samples, np.empty(3, np.int64), np.empty(6, np.float32)


@compiled
def _logistic(x):  # type: ignore[no-untyped-def]
    return ONE / (ONE + np.exp(-min(max(x, -STEEPEST), STEEPEST)))


@compiled
def _softplus(x):  # type: ignore[no-untyped-def]
    return max(x, NOTHING) + np.log(ONE + np.exp(-abs(x)))


@compiled
def _locate(origins, directions, ray, time, cells, cell, place):  # type: ignore[no-untyped-def]
    """The cell in which a point of a ray is, and where in the cell, to place[:3]."""
    for axis in range(3):
        x = (origins[ray, axis] + time * directions[ray, axis] + ONE) * (np.float32(cells) * HALF)
        cell[axis] = min(max(int(x), 0), cells - 1)
        place[axis] = x - np.float32(cell[axis])


@compiled
def _share(place, corner):  # type: ignore[no-untyped-def]
    """How much corner 0 … 7 of a cell counts at a place; the corner's bits are its steps along x, y and z."""
    along_x = place[0] if corner & 4 else ONE - place[0]
    along_y = place[1] if corner & 2 else ONE - place[1]
    along_z = place[2] if corner & 1 else ONE - place[2]
    return along_x * along_y * along_z


@compiled
def _sample(  # type: ignore[no-untyped-def]
    values, occupied, origins, directions, offsets, ray, step, sharpness, thinnest, enough, samples, cell, place,
):  # fmt: skip
    """The samples of one ray within occupied cells, from front to back, to `samples`; returns their number."""
    cells = values.shape[0] - 1
    near, far = NOTHING, FAR
    for axis in range(3):
        origin, direction = origins[ray, axis], directions[ray, axis]
        if abs(direction) < PARALLEL:
            if abs(origin) > ONE:
                return 0
        else:
            near = max(near, (-ONE - origin) / direction if direction > NOTHING else (ONE - origin) / direction)
            far = min(far, (ONE - origin) / direction if direction > NOTHING else (-ONE - origin) / direction)
    count, joined, passing, steps = 0, False, ONE, 0
    while count < samples.shape[0] and passing > enough:
        time = near + (offsets[ray] + np.float32(steps)) * step
        steps += 1
        if time >= far:
            break
        _locate(origins, directions, ray, time, cells, cell, place)
        if occupied[cell[0], cell[1], cell[2]] == 0:
            joined = False
            continue
        value = NOTHING
        for corner in range(8):
            value += (
                _share(place, corner)
                * values[cell[0] + (corner >> 2), cell[1] + (corner >> 1 & 1), cell[2] + (corner & 1)]
            )
        alpha = -ONE
        if joined:
            before = samples[count - 1, VALUE]
            if sharpness > NOTHING:
                alpha = ONE - _logistic(sharpness * value) / _logistic(sharpness * before)
            else:
                alpha = ONE - np.exp(-step * _softplus(HALF * (before + value)))
            if alpha < thinnest:
                alpha = NOTHING
        samples[count, TIME], samples[count, VALUE] = time, value
        samples[count, ALPHA], samples[count, PASSING] = alpha, passing
        passing *= ONE - max(alpha, NOTHING)
        count += 1
        joined = True
    return count


@compiled
def _mix(colors, origins, directions, ray, samples, section, cell, place):  # type: ignore[no-untyped-def]
    """The colour in the middle of a section, to place[3:]."""
    middle = HALF * (samples[section, TIME] + samples[section - 1, TIME])
    _locate(origins, directions, ray, middle, colors.shape[0] - 1, cell, place)
    for channel in range(3):
        place[3 + channel] = NOTHING
    for corner in range(8):
        share = _share(place, corner)
        x, y, z = cell[0] + (corner >> 2), cell[1] + (corner >> 1 & 1), cell[2] + (corner & 1)
        for channel in range(3):
            place[3 + channel] += share * colors[x, y, z, channel]


@compiled
def _march(  # type: ignore[no-untyped-def]
    values, colors, occupied, origins, directions, offsets, step, sharpness, thinnest, enough, first, last, samples,
    cell, place, color, opacity, depth,
):  # fmt: skip
    """Composites rays first … last − 1 into color, opacity and depth."""
    for ray in range(first, last):
        count = _sample(
            values, occupied, origins, directions, offsets, ray, step, sharpness, thinnest, enough, samples, cell, place
        )
        for section in range(1, count):
            weight = samples[section, PASSING] * samples[section, ALPHA]
            if weight > NOTHING:
                _mix(colors, origins, directions, ray, samples, section, cell, place)
                for channel in range(3):
                    color[ray, channel] += weight * place[3 + channel]
                opacity[ray] += weight
                depth[ray] += weight * HALF * (samples[section, TIME] + samples[section - 1, TIME])


@compiled
def _march_back(  # type: ignore[no-untyped-def]
    values, colors, occupied, origins, directions, offsets, step, sharpness, thinnest, enough, first, last, samples,
    cell, place, color_slope, opacity_slope, values_slope, colors_slope,
):  # fmt: skip
    """Adds what rays first … last − 1 say of the grids to values_slope and colors_slope."""
    for ray in range(first, last):
        count = _sample(
            values, occupied, origins, directions, offsets, ray, step, sharpness, thinnest, enough, samples, cell, place
        )
        for section in range(count):
            samples[section, SLOPE] = NOTHING
        behind = NOTHING  # what the loss sees of the later sections, as if nothing stood before them
        for backwards in range(1, count):
            section = count - backwards
            alpha, passing = samples[section, ALPHA], samples[section, PASSING]
            if alpha <= NOTHING:
                continue
            _mix(colors, origins, directions, ray, samples, section, cell, place)
            seen = opacity_slope[ray]
            for channel in range(3):
                seen += color_slope[ray, channel] * place[3 + channel]
            for corner in range(8):
                share = _share(place, corner) * passing * alpha
                x, y, z = cell[0] + (corner >> 2), cell[1] + (corner >> 1 & 1), cell[2] + (corner & 1)
                for channel in range(3):
                    colors_slope[x, y, z, channel] += share * color_slope[ray, channel]
            slope = passing * (seen - behind) * (ONE - alpha)
            behind = alpha * seen + (ONE - alpha) * behind
            before, value = samples[section - 1, VALUE], samples[section, VALUE]
            if sharpness > NOTHING:
                samples[section - 1, SLOPE] += slope * sharpness * (ONE - _logistic(sharpness * before))
                samples[section, SLOPE] -= slope * sharpness * (ONE - _logistic(sharpness * value))
            else:
                slope *= HALF * step * _logistic(HALF * (before + value))
                samples[section - 1, SLOPE] += slope
                samples[section, SLOPE] += slope
        for sample in range(count):
            slope = samples[sample, SLOPE]
            if slope != NOTHING:
                _locate(origins, directions, ray, samples[sample, TIME], values.shape[0] - 1, cell, place)
                for corner in range(8):
                    x, y, z = cell[0] + (corner >> 2), cell[1] + (corner >> 1 & 1), cell[2] + (corner & 1)
                    values_slope[x, y, z] += slope * _share(place, corner)
