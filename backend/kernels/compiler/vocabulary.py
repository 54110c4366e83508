"""What compiled code can call of Python and NumPy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from .emission import Operand
from .expressions import Expressions
from .values import (
    BOOL,
    FLOAT64,
    INT64,
    LANES,
    NUMBERS,
    WORD,
    Array,
    CompileError,
    Literal,
    Number,
    Scalar,
    convert,
    meeting_type,
    memory_type,
)


def _cast(number: Number) -> Callable[[Expressions, Sequence[Operand]], Operand]:
    def emit(at: Expressions, arguments: Sequence[Operand]) -> Operand:
        (value,) = arguments
        return Scalar(number, convert(at.builder, value, number))

    return emit


def _extreme(comparison: str, of_literals: Callable[..., Any]) -> Callable[[Expressions, Sequence[Operand]], Operand]:
    def emit(at: Expressions, arguments: Sequence[Operand]) -> Operand:
        best, *rest = arguments
        for value in rest:
            if isinstance(best, Literal) and isinstance(value, Literal):
                best = Literal(of_literals(best.value, value.value))
                continue
            kind = meeting_type(best, value)
            a, b = (Scalar(kind, convert(at.builder, part, kind)) for part in (best, value))
            best = Scalar(kind, at.builder.select(at.compare(comparison, a, b), a.ir, b.ir))
        return best

    return emit


def llvm_function(at: Expressions, name: str, value: Operand) -> Scalar:
    """One of LLVM's own functions of one floating-point number, or of lanes."""
    kind = value.type if value.type.kind in "fv" else FLOAT64
    suffix = f"v{LANES}f32" if kind.kind == "v" else f"f{kind.bits}"
    function = _declared(at, f"llvm.{name}.{suffix}", kind, 1)
    called = at.builder.call(function, [convert(at.builder, value, kind)], fastmath=at.fast_math)
    return Scalar(kind, called)


def _declared(at: Expressions, name: str, kind: Number, arguments: int) -> Any:
    known = at.program.module.globals.get(name)
    return known or ir.Function(at.program.module, ir.FunctionType(kind.ir, [kind.ir] * arguments), name)


def _named(name: str) -> Callable[[Expressions, Sequence[Operand]], Operand]:
    return lambda at, arguments: llvm_function(at, name, arguments[0])


def _absolute(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    (value,) = arguments
    if value.type.kind == "f":
        return llvm_function(at, "fabs", value)
    nothing = Literal(0)
    negative = at.builder.neg(value.ir)
    return Scalar(value.type, at.builder.select(at.compare("<", value, nothing), negative, value.ir))


def _arctan2(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    function = _declared(at, "atan2", FLOAT64, 2)
    return Scalar(FLOAT64, at.builder.call(function, [convert(at.builder, value, FLOAT64) for value in arguments]))


def _length(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    (value,) = arguments
    return Literal(len(value)) if isinstance(value, tuple) else Scalar(INT64, value.shape[0])


def _empty(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    shape, dtype = (*arguments, np.float64)[:2]
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(size, Literal) for size in sizes):
        raise CompileError("the shape of np.empty must be known when compiling: take larger arrays as arguments")
    number = NUMBERS[np.dtype(dtype).name]
    count = int(np.prod([int(size.value) for size in sizes]))
    room = at.room(ir.ArrayType(memory_type(number), count))
    room.align = 64
    first = at.builder.gep(room, [ir.Constant(WORD, 0)] * 2, inbounds=True)
    return Array(number, first, tuple(ir.Constant(WORD, int(size.value)) for size in sizes))


OPERATIONS: dict[Any, Callable[[Expressions, Sequence[Operand]], Operand]] = {
    **{getattr(np, "bool_" if name == "bool" else name): _cast(number) for name, number in NUMBERS.items()},
    bool: _cast(BOOL),
    int: _cast(INT64),
    float: _cast(FLOAT64),
    min: _extreme("<", min),
    max: _extreme(">", max),
    abs: _absolute,
    len: _length,
    np.empty: _empty,
    np.sqrt: _named("sqrt"),
    np.floor: _named("floor"),
    np.ceil: _named("ceil"),
    np.rint: _named("rint"),
    np.exp: _named("exp"),
    np.log: _named("log"),
    np.abs: _absolute,
    np.arctan2: _arctan2,
}
