"""What an expression can be while it is compiled, and how numbers turn into one another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

LANES = 16


class CompileError(Exception):
    """A function says something that the compiler does not understand; tells where and what."""


@dataclass(frozen=True)
class Number:
    """A type of number. kind: b(ool), i(nteger), u(nsigned), f(loat) as in NumPy, or v(ector) of 16 float32."""

    name: str
    kind: str
    bits: int
    ir: Any

    @property
    def is_whole(self) -> bool:
        """Whether it counts: a truth value or a whole number."""
        return self.kind in "biu"


BOOL = Number("bool", "b", 1, ir.IntType(1))
INT8, INT32, INT64 = (Number(f"int{bits}", "i", bits, ir.IntType(bits)) for bits in (8, 32, 64))
UINT8, UINT32, UINT64 = (Number(f"uint{bits}", "u", bits, ir.IntType(bits)) for bits in (8, 32, 64))
FLOAT32, FLOAT64 = Number("float32", "f", 32, ir.FloatType()), Number("float64", "f", 64, ir.DoubleType())
LANE_NUMBERS = Number("16 lanes of float32", "v", 512, ir.VectorType(ir.FloatType(), LANES))
NUMBERS = {number.name: number for number in (BOOL, INT8, INT32, INT64, UINT8, UINT32, UINT64, FLOAT32, FLOAT64)}
BYTE, WORD = ir.IntType(8), ir.IntType(64)


@dataclass(frozen=True)
class ArrayType:
    """A contiguous array of numbers."""

    element: Number
    dimensions: int


Type = Number | ArrayType


@dataclass(frozen=True)
class Literal:
    """A number known while compiling, whose type is that of the number it meets."""

    value: bool | int | float

    @property
    def type(self) -> Number:
        """What it is on its own."""
        return BOOL if isinstance(self.value, bool) else INT64 if isinstance(self.value, int) else FLOAT64


@dataclass(frozen=True)
class Scalar:
    """A number, or sixteen, known when running."""

    type: Number
    ir: Any


@dataclass(frozen=True)
class Array:
    """A contiguous array: the address of its first element, and its shape as int64 values."""

    element: Number
    pointer: Any
    shape: tuple[Any, ...]

    @property
    def type(self) -> ArrayType:
        """Its type."""
        return ArrayType(self.element, len(self.shape))


def memory_type(number: Number) -> Any:
    """How a number lies in an array: a truth value takes a byte."""
    return BYTE if number is BOOL else number.ir


def widened(number: Number) -> Number:
    """The type that an array's element has once it is read."""
    return INT64 if number.kind == "i" else number


def common_type(a: Number, b: Number) -> Number:
    """The type that both convert to without loss, by NumPy's rules; CompileError where there is none."""
    if a is b:
        return a
    if "v" in a.kind + b.kind:
        if {a, b} == {LANE_NUMBERS, FLOAT32}:
            return LANE_NUMBERS
    elif a.kind == b.kind:
        return a if a.bits > b.bits else b
    elif "f" in a.kind + b.kind:
        return FLOAT64
    elif "b" in a.kind + b.kind:
        return b if a.kind == "b" else a
    elif UINT64 not in (a, b):
        return INT64
    raise CompileError(f"{a.name} and {b.name} have no type in common")


def meeting_type(a: Literal | Scalar, b: Literal | Scalar) -> Number:
    """The type of an operation on both: a literal adapts to the other's kind where that can hold it."""
    for literal, other in ((a, b), (b, a)):
        if isinstance(literal, Literal) and isinstance(other, Scalar) and _can_hold(other.type, literal):
            return other.type
    return common_type(a.type, b.type)


def _can_hold(number: Number, literal: Literal) -> bool:
    return number.kind in "fv" or (number.kind in "iu" and literal.type.is_whole) or number is literal.type


def convert(builder: Any, value: Literal | Scalar, to: Number) -> Any:
    """The IR value of a number as another type, as a C cast does."""
    if isinstance(value, Literal):
        if to.kind == "v":
            return ir.Constant(to.ir, [ir.Constant(ir.FloatType(), float(value.value))] * LANES)
        return ir.Constant(to.ir, float(value.value) if to.kind == "f" else int(value.value))
    of, given = value.type, value.ir
    if of is to:
        return given
    if to.kind == "v":
        first = builder.insert_element(
            ir.Constant(to.ir, ir.Undefined), convert(builder, value, FLOAT32), ir.Constant(ir.IntType(32), 0)
        )
        places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(to.ir, ir.Undefined), places)
    if of.kind == "v":
        raise CompileError(f"{of.name} are not one {to.name}")
    if to is BOOL:
        nothing = ir.Constant(of.ir, 0)
        return (
            builder.fcmp_unordered("!=", given, nothing)
            if of.kind == "f"
            else builder.icmp_signed("!=", given, nothing)
        )
    if of.kind == "f" and to.kind == "f":
        return builder.fpext(given, to.ir) if to.bits > of.bits else builder.fptrunc(given, to.ir)
    if of.kind == "f":
        return builder.fptosi(given, to.ir) if to.kind == "i" else builder.fptoui(given, to.ir)
    if to.kind == "f":
        return builder.sitofp(given, to.ir) if of.kind == "i" else builder.uitofp(given, to.ir)
    if to.bits < of.bits:
        return builder.trunc(given, to.ir)
    if to.bits == of.bits:
        return given
    return builder.sext(given, to.ir) if of.kind == "i" else builder.zext(given, to.ir)


def constant_of(value: Any) -> Literal | Scalar | None:
    """A global number as it counts in compiled code: Python's adapt, NumPy's keep their type. None if it is none."""
    if isinstance(value, np.generic) and value.dtype.name in NUMBERS:
        number = NUMBERS[value.dtype.name]
        return Scalar(number, convert(None, Literal(value.item()), number))
    return Literal(value) if isinstance(value, bool | int | float) else None
