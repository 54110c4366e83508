"""Sixteen float32 numbers as one value of a compiled function: what a loop over lanes says, without the loop.

The compiler turns each operation into one AVX-512 instruction, two for AVX2, four for NEON. It neither has to prove
that a loop can be vectorised nor to unroll it, so a kernel written this way also compiles in a fraction of the time.
Lanes support + - * with one another and with a float32, which counts for every lane.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, Signature, infer_global, signature
from numba.extending import lower_builtin, models, register_model

LANES = 16
# Within compiled code an intrinsic is called without the context that its Python function takes first.
intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_PLACES = ir.VectorType(ir.IntType(32), LANES)


class _Lanes(types.Type):
    """The type of sixteen float32 within compiled code; it never leaves it."""


_lanes = _Lanes("float32 in 16 lanes")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _VECTOR)


def _spread(builder: Any, kind: types.Type, value: Any) -> Any:
    """A value as lanes: itself, or the same number in every lane."""
    if kind == _lanes:
        return value
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_PLACES, [0] * LANES))


def _define(operation: Callable[..., Any], instruction: str) -> None:
    @infer_global(operation)
    class _Operation(AbstractTemplate):
        def generic(self, arguments: tuple[types.Type, ...], _: Any) -> Signature | None:
            if len(arguments) != 2 or _lanes not in arguments or not set(arguments) <= {_lanes, types.float32}:
                return None
            return signature(_lanes, *arguments)

    def lower(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        return getattr(builder, instruction)(*map(_spread, [builder] * 2, given.args, arguments))

    for kinds in ((_lanes, _lanes), (_lanes, types.float32), (types.float32, _lanes)):
        lower_builtin(operation, *kinds)(lower)


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _define(_operation, _instruction)


def _pointer(context: Any, builder: Any, array: types.Array, value: Any, kinds: Any, place: Any) -> Any:
    """The address of array[place] as that of lanes; no index is checked or counted from the end."""
    numbers = [
        context.cast(builder, number, kind, types.intp)
        for number, kind in zip(cgutils.unpack_tuple(builder, place), kinds, strict=True)
    ]
    view = context.make_array(array)(context, builder, value)
    address = cgutils.get_item_pointer(context, builder, array, view, numbers, wraparound=False)
    return builder.bitcast(address, ir.PointerType(_VECTOR))


@intrinsic
def load(context: Any, array: types.Type, place: types.Type) -> Any:
    """The sixteen numbers from array[place] on, where place is a tuple; their memory must be contiguous."""

    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        address = _pointer(context, builder, given.args[0], arguments[0], given.args[1], arguments[1])
        return builder.load(address, align=4)

    return _lanes(array, place), generate


@intrinsic
def store(context: Any, array: types.Type, place: types.Type, lanes: types.Type) -> Any:
    """Write sixteen numbers to array[place] and the places after it."""

    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        address = _pointer(context, builder, given.args[0], arguments[0], given.args[1], arguments[1])
        builder.store(arguments[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, place, lanes), generate


@intrinsic
def everywhere(context: Any, number: types.Type) -> Any:
    """The float32 in every lane."""

    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        return _spread(builder, types.float32, arguments[0])

    return _lanes(types.float32), generate


@intrinsic
def lesser(context: Any, a: types.Type, b: types.Type) -> Any:
    """The lesser of a and b in each lane."""
    return _lanes(a, b), _choosing("<")


@intrinsic
def greater(context: Any, a: types.Type, b: types.Type) -> Any:
    """The greater of a and b in each lane."""
    return _lanes(a, b), _choosing(">")


def _choosing(comparison: str) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        a, b = map(_spread, [builder] * 2, given.args, arguments)
        return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)

    return generate


@intrinsic
def where_less(context: Any, a: types.Type, b: types.Type, then: types.Type, otherwise: types.Type) -> Any:
    """In each lane `then` where a < b, else `otherwise`."""

    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        a, b, then, otherwise = (_spread(builder, *pair) for pair in zip(given.args, arguments, strict=True))
        return builder.select(builder.fcmp_ordered("<", a, b), then, otherwise)

    return _lanes(a, b, then, otherwise), generate


@intrinsic
def root_of(context: Any, a: types.Type) -> Any:
    """The square root of each lane."""

    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.sqrt.v16f32"), arguments)

    return _lanes(a), generate


@intrinsic
def least_of(context: Any, a: types.Type) -> Any:
    """The least of the sixteen numbers."""
    return types.float32(a), _reducing("<")


@intrinsic
def greatest_of(context: Any, a: types.Type) -> Any:
    """The greatest of the sixteen numbers."""
    return types.float32(a), _reducing(">")


def _reducing(comparison: str) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        (values,) = arguments
        half = LANES // 2
        while half:
            turned = [ir.Constant(ir.IntType(32), (lane + half) % LANES) for lane in range(LANES)]
            other = builder.shuffle_vector(values, values, ir.Constant(_PLACES, turned))
            values = builder.select(builder.fcmp_ordered(comparison, values, other), values, other)
            half //= 2
        return builder.extract_element(values, ir.Constant(ir.IntType(32), 0))

    return generate


@intrinsic
def bits_below(context: Any, a: types.Type, b: types.Type) -> Any:
    """A whole number whose bit n is set where lane n of a is less than that of b."""
    return types.int64(a, b), _comparing("<")


@intrinsic
def bits_up_to(context: Any, a: types.Type, b: types.Type) -> Any:
    """A whole number whose bit n is set where lane n of a is not greater than that of b."""
    return types.int64(a, b), _comparing("<=")


def _comparing(comparison: str) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        a, b = map(_spread, [builder] * 2, given.args, arguments)
        bits = builder.bitcast(builder.fcmp_ordered(comparison, a, b), ir.IntType(LANES))
        return builder.zext(bits, ir.IntType(64))

    return generate


@intrinsic
def lowest_bit(context: Any, bits: types.Type) -> Any:
    """The place of the lowest bit that is set in a whole number other than 0."""

    def generate(context: Any, builder: Any, given: Signature, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
