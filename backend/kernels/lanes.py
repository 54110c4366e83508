"""Sixteen float32 numbers as one value of a compiled function: what a loop over lanes says, without the loop.

LLVM turns each operation into one AVX-512 instruction, two for AVX2, four for NEON. It neither has to prove that a loop
can be vectorised nor to unroll it. Lanes support + - * / with one another and with a number, which counts for every
lane.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from .compiler.emission import Operand
from .compiler.expressions import Expressions, Operation
from .compiler.values import FLOAT32, INT64, LANE_NUMBERS, LANES, Scalar, convert
from .compiler.vocabulary import llvm_function

__all__ = [
    "LANES", "bits_below", "bits_up_to", "everywhere", "greater", "greatest_of", "least_of", "lesser",
    "load", "lowest_bit", "root_of", "store", "two_to_the", "where_less",
]  # fmt: skip
INT32 = ir.IntType(32)
PLACES = ir.VectorType(INT32, LANES)
# Minimax coefficients, highest power first, of 2^(m - 1) for 1 ≤ m < 2: relative error 7.5e-8.
TWO_TO_M_MINUS_1 = (
    0.0018775766454339508, -0.0003985430646452348, 0.03864472379708403, 0.1078349376070821, 0.3537553156237962,
    0.4982859144548166,
)  # fmt: skip


def _as_lanes(at: Expressions, value: Operand) -> Scalar:
    return Scalar(LANE_NUMBERS, convert(at.builder, value, LANE_NUMBERS))


def _address(at: Expressions, array: Operand, place: Operand) -> Any:
    return at.builder.bitcast(at.address(array, place), LANE_NUMBERS.ir.as_pointer())


@Operation
def load(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """load(array, place): the sixteen numbers from array[place] on, where place is a tuple."""
    return Scalar(LANE_NUMBERS, at.builder.load(_address(at, *arguments), align=4))


@Operation
def store(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """store(array, place, lanes): write sixteen numbers to array[place] and the places after it."""
    *where, lanes = arguments
    at.builder.store(_as_lanes(at, lanes).ir, _address(at, *where), align=4)


@Operation
def everywhere(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """everywhere(number): the float32 in every lane."""
    return _as_lanes(at, arguments[0])


def _select(at: Expressions, comparison: str, a: Operand, b: Operand, then: Operand, otherwise: Operand) -> Scalar:
    a, b, then, otherwise = (_as_lanes(at, value) for value in (a, b, then, otherwise))
    return Scalar(LANE_NUMBERS, at.builder.select(at.compare(comparison, a, b), then.ir, otherwise.ir))


@Operation
def lesser(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """lesser(a, b): the lesser of a and b in each lane."""
    return _select(at, "<", *arguments, *arguments)


@Operation
def greater(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """greater(a, b): the greater of a and b in each lane."""
    return _select(at, ">", *arguments, *arguments)


@Operation
def where_less(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """where_less(a, b, then, otherwise): in each lane `then` where a < b, else `otherwise`."""
    return _select(at, "<", *arguments)


@Operation
def root_of(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """root_of(a): the square root of each lane."""
    return llvm_function(at, "sqrt", arguments[0])


@Operation
def two_to_the(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """two_to_the(a): 2 to the power of each lane, which must lie between -126 and 127; error below 2e-7 of it.

    A number's bits, taken as a whole one, are 2^23 times its logarithm to base 2, but for what a polynomial of the bits
    of the fraction mends (N. N. Schraudolph, 1999).
    """
    build = at.builder
    bits = build.fptosi(build.fmul(_as_lanes(at, arguments[0]).ir, _constant(LANE_NUMBERS.ir, 2.0**23)), PLACES)
    fraction = build.or_(build.and_(bits, _constant(PLACES, 0x7FFFFF)), _constant(PLACES, 0x3F800000))
    m = build.bitcast(fraction, LANE_NUMBERS.ir)  # 1 ≤ m < 2
    power = _constant(LANE_NUMBERS.ir, TWO_TO_M_MINUS_1[0])
    for coefficient in TWO_TO_M_MINUS_1[1:]:
        product = build.fmul(power, m, flags=("contract",))
        power = build.fadd(product, _constant(LANE_NUMBERS.ir, coefficient), flags=("contract",))
    whole = build.and_(bits, _constant(PLACES, -0x800000))
    return Scalar(LANE_NUMBERS, build.bitcast(build.add(build.bitcast(power, PLACES), whole), LANE_NUMBERS.ir))


def _constant(kind: Any, number: float) -> Any:
    return ir.Constant(kind, [number] * LANES)


def _reduce(at: Expressions, comparison: str, lanes: Scalar) -> Scalar:
    half = LANES // 2
    while half:
        turned = ir.Constant(PLACES, [(lane + half) % LANES for lane in range(LANES)])
        other = Scalar(LANE_NUMBERS, at.builder.shuffle_vector(lanes.ir, lanes.ir, turned))
        lanes = _select(at, comparison, lanes, other, lanes, other)
        half //= 2
    return Scalar(FLOAT32, at.builder.extract_element(lanes.ir, ir.Constant(INT32, 0)))


@Operation
def least_of(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """least_of(a): the least of the sixteen numbers."""
    return _reduce(at, "<", arguments[0])


@Operation
def greatest_of(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """greatest_of(a): the greatest of the sixteen numbers."""
    return _reduce(at, ">", arguments[0])


def _bits(at: Expressions, comparison: str, a: Operand, b: Operand) -> Scalar:
    holds = at.compare(comparison, _as_lanes(at, a), _as_lanes(at, b))
    return Scalar(INT64, at.builder.zext(at.builder.bitcast(holds, ir.IntType(LANES)), INT64.ir))


@Operation
def bits_below(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """bits_below(a, b): a whole number whose bit n is set where lane n of a is less than that of b."""
    return _bits(at, "<", *arguments)


@Operation
def bits_up_to(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """bits_up_to(a, b): a whole number whose bit n is set where lane n of a is not greater than that of b."""
    return _bits(at, "<=", *arguments)


@Operation
def lowest_bit(at: Expressions, arguments: Sequence[Operand]) -> Operand:
    """lowest_bit(bits): the place of the lowest bit that is set in a whole number other than 0."""
    bits = convert(at.builder, arguments[0], INT64)
    return Scalar(INT64, at.builder.cttz(bits, ir.Constant(ir.IntType(1), 1)))
