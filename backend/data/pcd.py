"""Reading point clouds in PCL's .pcd format, version 0.7: ascii, binary and binary_compressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError

_KINDS = {"F": "f", "I": "i", "U": "u"}
_ALIASES = {"COLUMNS": "FIELDS"}
MOST_POINTS = 100_000_000


@dataclass(frozen=True)
class PointCloudFile:
    """positions (N, 3) float64; normals (N, 3) float32 or None; srgb (N, 3) uint8 or None."""

    positions: np.ndarray
    normals: np.ndarray | None
    srgb: np.ndarray | None


def read_pcd(content: bytes) -> PointCloudFile:
    """The points of a .pcd file's bytes. Raises InputError, with a sentence, when they are not whole."""
    header, start = _header(content)
    dtype = _row_type(header)
    count = _number(header, "POINTS", header.get("WIDTH", ["0"]))
    if not 0 < count <= MOST_POINTS:
        raise InputError(f"The file says that it has {count:,} points; there must be 1 to {MOST_POINTS:,}.")
    body = content[start:]
    match header.get("DATA", [""])[0].lower():
        case "ascii":
            rows = _ascii_rows(body, dtype, count)
        case "binary":
            if len(body) < count * dtype.itemsize:
                raise InputError("The file ends before its last point.")
            rows = np.frombuffer(body, dtype, count)
        case "binary_compressed":
            rows = _compressed_rows(body, dtype, count)
        case other:
            raise InputError(f"The file's data are {other!r}; known are ascii, binary and binary_compressed.")
    return _points(rows)


def _header(content: bytes) -> tuple[dict[str, list[str]], int]:
    entries: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in entries:
        end = content.find(b"\n", start)
        if end < 0:
            raise InputError("The file has no line DATA, with which a .pcd's header ends.")
        name, *values = content[start:end].decode("latin-1").split() or ["#"]
        if not name.startswith("#"):
            entries[_ALIASES.get(name.upper(), name.upper())] = values
        start = end + 1
    return entries, start


def _row_type(header: dict[str, list[str]]) -> np.dtype:
    """One point as a record. Fields of more than one number, and padding ("_"), get names that nobody asks for."""
    names, kinds, sizes = (header.get(key, []) for key in ("FIELDS", "TYPE", "SIZE"))
    counts = header.get("COUNT", ["1"] * len(names))
    try:
        fields = [
            (f"{name}#{place}" if name == "_" else name, f"<{_KINDS[kind]}{int(size)}", (int(count),))
            for place, (name, kind, size, count) in enumerate(zip(names, kinds, sizes, counts, strict=True))
        ]
        dtype = np.dtype(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("The file's header does not describe its points (FIELDS, SIZE, TYPE, COUNT).") from error
    if not {"x", "y", "z"} <= set(names):
        raise InputError("The file's points have no x, y and z.")
    return dtype


def _number(header: dict[str, list[str]], name: str, default: list[str]) -> int:
    text = " ".join(header.get(name, default))
    if not text.isdecimal():
        raise InputError(f"The file's header says {name} {text}, which is no number.")
    return int(text)


def _ascii_rows(body: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    try:
        table = np.loadtxt(body.decode("latin-1").splitlines(), dtype=np.float64, ndmin=2, max_rows=count)
    except ValueError as error:
        raise InputError("The file's points are not rows of numbers.") from error
    widths = [dtype[name].shape[0] for name in dtype.names or ()]
    if table.shape != (count, sum(widths)):
        raise InputError(
            f"The file has {len(table):,} rows of points where its header says {count:,}, or other columns."
        )
    rows = np.empty(count, dtype)
    for name, columns in zip(dtype.names or (), np.split(table, np.cumsum(widths)[:-1], axis=1), strict=True):
        rows[name] = columns
    return rows


def _compressed_rows(body: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    if len(body) < 8:
        raise InputError("The file ends before its first point.")
    packed, unpacked = (int(size) for size in np.frombuffer(body, "<u4", 2))
    if unpacked != count * dtype.itemsize or len(body) < 8 + packed:
        raise InputError("The file's compressed points are cut short or others than its header says.")
    data = _unpack_lzf(body[8 : 8 + packed], unpacked)
    rows = np.empty(count, dtype)
    offset = 0
    for name in dtype.names or ():
        size = count * dtype[name].itemsize  # field after field, not point after point
        rows[name] = np.frombuffer(data[offset : offset + size], dtype[name].base).reshape(rows[name].shape)
        offset += size
    return rows


def _unpack_lzf(data: bytes, size: int) -> bytes:
    """Marc Lehmann's LZF: runs of literal bytes, and copies from up to 8 KiB back."""
    out = bytearray()
    place = 0
    try:
        while place < len(data):
            control = data[place]
            place += 1
            if control < 32:
                out += data[place : place + control + 1]
                place += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[place]
                place += 1
            start = len(out) - ((control & 31) << 8) - data[place] - 1
            place += 1
            if start < 0 or len(out) > size:
                break
            for index in range(start, start + length + 2):  # may read what it has just written
                out.append(out[index])
    except IndexError as error:
        raise InputError("The file's compressed points are damaged.") from error
    if len(out) != size:
        raise InputError("The file's compressed points are damaged.")
    return bytes(out)


def _points(rows: np.ndarray) -> PointCloudFile:
    names = rows.dtype.names or ()

    def columns(wanted: tuple[str, ...]) -> np.ndarray | None:
        return np.concatenate([rows[name] for name in wanted], axis=1) if set(wanted) <= set(names) else None

    positions = columns(("x", "y", "z"))
    assert positions is not None
    seen = np.isfinite(positions).all(axis=1)  # PCL writes NaN where a depth camera saw nothing
    if not seen.any():
        raise InputError("None of the file's points has a place.")
    normals, srgb = columns(("normal_x", "normal_y", "normal_z")), None
    color = next((name for name in ("rgb", "rgba") if name in names and rows.dtype[name].itemsize == 4), None)
    if color is not None:  # blue, green, red, in one float's or integer's bytes
        srgb = np.ascontiguousarray(rows[color]).view(np.uint8).reshape(-1, 4)[seen][:, 2::-1].copy()
    return PointCloudFile(
        positions=positions[seen].astype(np.float64),
        normals=None if normals is None else np.nan_to_num(normals[seen]).astype(np.float32),
        srgb=srgb,
    )
