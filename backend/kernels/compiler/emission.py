"""Instructions for numbers, arrays and loops: what every kind of expression comes down to."""

import ast
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .values import (
    BOOL,
    FLOAT64,
    INT64,
    WORD,
    Array,
    CompileError,
    Literal,
    Number,
    Scalar,
    convert,
    meeting_type,
    memory_type,
    widened,
)

Operand = Any  # Literal, Scalar, Array, a tuple of these, or a Python object that is none of them

ARITHMETIC: dict[type, tuple[Callable[..., Any], str, str | None]] = {  # in Python, on floats, on whole numbers
    ast.Add: (operator.add, "fadd", "add"),
    ast.Sub: (operator.sub, "fsub", "sub"),
    ast.Mult: (operator.mul, "fmul", "mul"),
    ast.Div: (operator.truediv, "fdiv", None),
    ast.FloorDiv: (operator.floordiv, "", "sdiv"),
    ast.Mod: (operator.mod, "", "srem"),
    ast.BitAnd: (operator.and_, "", "and_"),
    ast.BitOr: (operator.or_, "", "or_"),
    ast.BitXor: (operator.xor, "", "xor"),
    ast.LShift: (operator.lshift, "", "shl"),
    ast.RShift: (operator.rshift, "", "ashr"),
    ast.Pow: (operator.pow, "", None),
}


class Emitter:
    """Writes the instructions of one function. builder: where they go; fast_math: liberties with rounding."""

    function: Any
    builder: Any
    fast_math: tuple[str, ...]
    _rooms: Any
    loops: list[tuple[Any, Any]]  # where continue and break go

    def room(self, kind: Any) -> Any:
        """Room on the stack, made once when the function is entered."""
        return self._rooms.alloca(kind)

    # Numbers

    def compare(self, comparison: str, a: Operand, b: Operand) -> Any:
        """Whether a < b and so on, as an IR truth value, or one for each lane."""
        kind = meeting_type(a, b)
        values = [convert(self.builder, value, kind) for value in (a, b)]
        if kind.kind in "fv":
            compare = self.builder.fcmp_unordered if comparison == "!=" else self.builder.fcmp_ordered
            return compare(comparison, *values, flags=self.fast_math)
        return (self.builder.icmp_signed if kind.kind == "i" else self.builder.icmp_unsigned)(comparison, *values)

    def arithmetic(self, operation: type, a: Operand, b: Operand) -> Operand:
        in_python, on_floats, on_whole = ARITHMETIC[operation]
        if isinstance(a, Literal) and isinstance(b, Literal):
            return Literal(in_python(a.value, b.value))
        if operation is ast.Pow:
            if not (isinstance(b, Literal) and b.value == 2):
                raise CompileError("of the powers only squares are part of the language")
            return self.arithmetic(ast.Mult, a, a)
        kind = meeting_type(a, b)
        if operation is ast.Div and kind.is_whole:
            kind = FLOAT64
        left, right = (convert(self.builder, value, kind) for value in (a, b))
        if kind.kind in "fv":
            if not on_floats:
                raise CompileError(f"{operation.__name__} is for whole numbers only")
            return Scalar(kind, getattr(self.builder, on_floats)(left, right, flags=self.fast_math))
        if kind is BOOL and operation not in (ast.BitAnd, ast.BitOr, ast.BitXor):
            raise CompileError("truth values cannot be calculated with")
        if operation in (ast.FloorDiv, ast.Mod):
            return Scalar(kind, self._divide(operation, kind, left, right, b))
        if operation is ast.RShift and kind.kind == "u":
            on_whole = "lshr"
        flags = ("nsw",) if kind.kind == "i" and on_whole in ("add", "sub", "mul") else ()
        return Scalar(kind, getattr(self.builder, str(on_whole))(left, right, flags=flags))

    def _divide(self, operation: type, kind: Number, left: Any, right: Any, divisor: Operand) -> Any:
        """Whole quotient, rounded down, or what is left over."""
        quotient = operation is ast.FloorDiv
        if kind.kind == "u":
            return (self.builder.udiv if quotient else self.builder.urem)(left, right)
        if isinstance(divisor, Literal) and divisor.value > 0 and (int(divisor.value) & int(divisor.value) - 1) == 0:
            if quotient:
                return self.builder.ashr(left, ir.Constant(kind.ir, int(divisor.value).bit_length() - 1))
            return self.builder.and_(left, ir.Constant(kind.ir, int(divisor.value) - 1))
        rest = self.builder.srem(left, right)
        nothing = ir.Constant(kind.ir, 0)
        signs_differ = self.builder.icmp_signed("<", self.builder.xor(rest, right), nothing)
        below = self.builder.and_(self.builder.icmp_signed("!=", rest, nothing), signs_differ)
        if not quotient:
            return self.builder.select(below, self.builder.add(rest, right), rest)
        whole = self.builder.sdiv(left, right)
        return self.builder.sub(whole, self.builder.zext(below, kind.ir))

    def either(self, values: list[Operand], ends: list[Any], after: Any) -> Operand:
        """The value of whichever of two blocks was passed."""
        pairs = list(zip(*values, strict=True)) if isinstance(values[0], tuple) else [tuple(values)]
        if any(isinstance(value, Array) for pair in pairs for value in pair):
            raise CompileError("a choice between arrays is not part of the language")
        kinds = [meeting_type(*pair) for pair in pairs]
        results: list[list[tuple[Any, Any]]] = [[] for _ in pairs]
        for side, end in enumerate(ends):
            self.builder.position_at_end(end)
            for pair, kind, incoming in zip(pairs, kinds, results, strict=True):
                incoming.append((convert(self.builder, pair[side], kind), end))
            self.builder.branch(after)
        self.builder.position_at_end(after)
        chosen = tuple(Scalar(kind, self.phi(kind.ir, way)) for kind, way in zip(kinds, results, strict=True))
        return chosen if isinstance(values[0], tuple) else chosen[0]

    def phi(self, kind: Any, incoming: list[tuple[Any, Any]]) -> Any:
        phi = self.builder.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    # Arrays

    def address(self, array: Array, place: tuple[Any, ...]) -> Any:
        """Where the part of an array with these leading indices begins."""
        if len(place) > len(array.shape):
            raise CompileError(f"{len(place)} indices are too many for {len(array.shape)} dimensions")
        offset: Any = None
        for axis, size in enumerate(array.shape):
            index = place[axis] if axis < len(place) else Literal(0)
            if not isinstance(index, Literal | Scalar) or not index.type.is_whole:
                raise CompileError("an index must be a whole number")
            number = convert(self.builder, index, INT64)
            if offset is None:
                offset = number
            else:
                offset = self.builder.add(self.builder.mul(offset, size, flags=("nsw",)), number, flags=("nsw",))
        return self.builder.gep(array.pointer, [offset], inbounds=True)

    def item(self, array: Array, place: tuple[Any, ...]) -> Operand:
        address = self.address(array, place)
        if len(place) < len(array.shape):
            return Array(array.element, address, array.shape[len(place) :])
        return self.read(array, address)

    def part(self, array: Array, place: tuple[Any, ...]) -> Array:
        *leading, last = place
        axis = len(leading)
        low = last.start or Literal(0)
        high = convert(self.builder, last.stop, INT64) if last.stop is not None else array.shape[axis]
        size = self.builder.sub(high, convert(self.builder, low, INT64), flags=("nsw",))
        return Array(array.element, self.address(array, (*leading, low)), (size, *array.shape[axis + 1 :]))

    def read(self, array: Array, address: Any) -> Scalar:
        loaded = self.builder.load(address)
        if array.element is BOOL:
            return Scalar(BOOL, self.builder.trunc(loaded, BOOL.ir))
        wide = widened(array.element)
        return Scalar(wide, convert(self.builder, Scalar(array.element, loaded), wide))

    def write(self, array: Array, address: Any, value: Operand) -> None:
        if not isinstance(value, Literal | Scalar):
            raise CompileError("only numbers can be written into an array")
        if value.type.kind == "f" and array.element.is_whole:
            raise CompileError(f"a {value.type.name} must be rounded to be written among {array.element.name}")
        stored = convert(self.builder, value, array.element)
        if array.element is BOOL:
            stored = self.builder.zext(stored, memory_type(BOOL))
        self.builder.store(stored, address)

    def fill(self, array: Array, value: Operand) -> None:
        count: Any = ir.Constant(WORD, 1)
        for size in array.shape:
            count = self.builder.mul(count, size)
        stored = convert(self.builder, value, array.element)
        flat = Array(array.element, array.pointer, (count,))
        with self.counting(Literal(0), Scalar(INT64, count), 1) as i:
            self.write(flat, self.address(flat, (i,)), Scalar(array.element, stored))

    def counting(self, start: Operand, stop: Operand, step: int) -> "_Counting":
        return _Counting(self, convert(self.builder, start, INT64), convert(self.builder, stop, INT64), step)


class _Counting:
    """The frame of a loop: with it the counter is at hand, after it the loop is closed."""

    def __init__(self, emitter: Emitter, start: Any, stop: Any, step: int) -> None:
        self._of, self._stop, self._step = emitter, stop, step
        self._counter = emitter.room(WORD)
        emitter.builder.store(start, self._counter)
        names = ("test", "body", "next", "after")
        self._test, self._body, self._next, self._after = (emitter.function.append_basic_block(name) for name in names)

    def __enter__(self) -> Scalar:
        builder = self._of.builder
        builder.branch(self._test)
        builder.position_at_end(self._test)
        inside = builder.icmp_signed("<" if self._step > 0 else ">", builder.load(self._counter), self._stop)
        builder.cbranch(inside, self._body, self._after)
        builder.position_at_end(self._body)
        self._of.loops.append((self._next, self._after))
        return Scalar(INT64, builder.load(self._counter))

    def __exit__(self, *_: object) -> None:
        builder = self._of.builder
        self._of.loops.pop()
        if not builder.block.is_terminated:
            builder.branch(self._next)
        builder.position_at_end(self._next)
        following = builder.add(builder.load(self._counter), ir.Constant(WORD, self._step), flags=("nsw",))
        builder.store(following, self._counter)
        builder.branch(self._test)
        builder.position_at_end(self._after)
