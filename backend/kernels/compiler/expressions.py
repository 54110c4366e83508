"""From expressions of Python's syntax tree to instructions."""

import ast
import builtins
from collections import ChainMap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from .emission import Emitter, Operand
from .values import BOOL, INT64, Array, ArrayType, CompileError, Literal, Number, Scalar, constant_of, convert

COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


class Kernel:
    """A Python function that is to be compiled, and the liberties that may be taken with its floating-point numbers."""

    def __init__(self, function: Callable[..., Any], fast_math: tuple[str, ...]) -> None:
        self.function = function
        self.fast_math = fast_math


class Operation:
    """Something that compiled code may call and that is emitted in place.

    emit: (where it is called, its arguments) -> Operand.
    """

    def __init__(self, emit: Callable[["Expressions", Sequence[Operand]], Operand]) -> None:
        self.emit = emit
        self.__doc__ = emit.__doc__

    def __call__(self, *arguments: Any) -> Any:
        """Only for the eyes of type checkers."""
        raise TypeError("This operation exists in compiled functions only.")


class Expressions(Emitter):
    """Evaluates expressions; a subclass has the variables."""

    program: Any
    kernel: Kernel
    _variables: dict[str, Any]

    def _get(self, variable: Any) -> Operand:
        kind, *rooms = variable
        if not isinstance(kind, Number | ArrayType):
            return tuple(self._get(part) for part in variable)
        loaded = [self.builder.load(place) for place in rooms]
        return Scalar(kind, loaded[0]) if isinstance(kind, Number) else Array(kind.element, loaded[0], (*loaded[1:],))

    def evaluate(self, node: ast.expr) -> Operand:
        translate = getattr(self, f"_get_{type(node).__name__.lower()}", None)
        if translate is None:
            raise CompileError(f"{type(node).__name__} is not part of the language")
        return translate(node)

    def _get_constant(self, node: ast.Constant) -> Operand:
        return self._known(node.value)

    def _get_name(self, node: ast.Name) -> Operand:
        if node.id in self._variables:
            return self._get(self._variables[node.id])
        known = ChainMap(self.kernel.function.__globals__, vars(builtins)).get(node.id)
        if known is None:
            raise CompileError(f"{node.id} has no value here")
        return self._known(known)

    def _known(self, value: Any) -> Operand:
        if isinstance(value, np.ndarray):
            return self.program.constant_array(value)
        number = constant_of(value)
        return value if number is None else number

    def _get_attribute(self, node: ast.Attribute) -> Operand:
        value = self.evaluate(node.value)
        if isinstance(value, Array):
            if node.attr != "shape":
                raise CompileError(f"arrays have no {node.attr} here")
            return tuple(Scalar(INT64, size) for size in value.shape)
        return self._known(getattr(value, node.attr))

    def _get_tuple(self, node: ast.Tuple) -> Operand:
        return tuple(self.evaluate(part) for part in node.elts)

    def _get_subscript(self, node: ast.Subscript) -> Operand:
        value, place = self.evaluate(node.value), self.place(node.slice)
        if isinstance(value, tuple) and isinstance(place[0], Literal):
            return value[int(place[0].value)]
        if not isinstance(value, Array):
            raise CompileError("only arrays can be indexed")
        return self.part(value, place) if isinstance(place[-1], slice) else self.item(value, place)

    def _get_binop(self, node: ast.BinOp) -> Operand:
        return self.arithmetic(type(node.op), self.evaluate(node.left), self.evaluate(node.right))

    def _get_unaryop(self, node: ast.UnaryOp) -> Operand:
        if isinstance(node.op, ast.Not):
            return Scalar(BOOL, self.builder.not_(self.truth(node.operand)))
        value = self.evaluate(node.operand)
        if not isinstance(node.op, ast.USub):
            raise CompileError("of the signs only - is part of the language")
        if isinstance(value, Literal):
            return Literal(-value.value)
        if value.type.kind in "fv":
            return Scalar(value.type, self.builder.fneg(value.ir, flags=self.fast_math))
        return self.arithmetic(ast.Sub, Literal(0), value)

    def _get_compare(self, node: ast.Compare) -> Operand:
        values = [self.evaluate(part) for part in (node.left, *node.comparators)]
        result: Any = None
        for comparison, a, b in zip(node.ops, values, values[1:], strict=False):
            holds = self.compare(COMPARISONS[type(comparison)], a, b)
            result = holds if result is None else self.builder.and_(result, holds)
        return Scalar(BOOL, result)

    def _get_boolop(self, node: ast.BoolOp) -> Operand:
        """The right side is looked at only where the left one leaves the matter open."""
        decided = isinstance(node.op, ast.Or)
        after = self.function.append_basic_block("decided")
        incoming = []
        for place, part in enumerate(node.values):
            holds = self.truth(part)
            if place == len(node.values) - 1:
                incoming.append((holds, self.builder.block))
                self.builder.branch(after)
                break
            incoming.append((ir.Constant(BOOL.ir, int(decided)), self.builder.block))
            following = self.function.append_basic_block("open")
            self.builder.cbranch(holds, *((after, following) if decided else (following, after)))
            self.builder.position_at_end(following)
        self.builder.position_at_end(after)
        return Scalar(BOOL, self.phi(BOOL.ir, incoming))

    def _get_ifexp(self, node: ast.IfExp) -> Operand:
        condition = self.truth(node.test)
        blocks = [self.function.append_basic_block(name) for name in ("then", "else")]
        after = self.function.append_basic_block("either")
        self.builder.cbranch(condition, *blocks)
        values, ends = [], []
        for block, part in zip(blocks, (node.body, node.orelse), strict=True):
            self.builder.position_at_end(block)
            values.append(self.evaluate(part))
            ends.append(self.builder.block)
        return self.either(values, ends, after)

    def _get_call(self, node: ast.Call) -> Operand:
        called = self.evaluate(node.func)
        arguments = [self.evaluate(argument) for argument in node.args]
        if isinstance(called, Operation):
            return called.emit(self, arguments)
        if isinstance(called, Kernel):
            return self._call(called, arguments)
        from .vocabulary import OPERATIONS

        if called not in OPERATIONS:
            raise CompileError(f"{getattr(called, '__name__', called)} cannot be called here")
        return OPERATIONS[called](self, arguments)

    def _call(self, kernel: Kernel, arguments: list[Operand]) -> Operand:
        function, result = self.program.function(kernel, tuple(argument.type for argument in arguments))
        passed: list[Any] = []
        for argument in arguments:
            if isinstance(argument, Array):
                passed += [argument.pointer, *argument.shape]
            else:
                passed.append(convert(self.builder, argument, argument.type))
        returned = self.builder.call(function, passed)
        if result is None:
            return None
        kinds = result if isinstance(result, tuple) else (result,)
        parts = tuple(Scalar(kind, self.builder.extract_value(returned, n)) for n, kind in enumerate(kinds))
        return parts if isinstance(result, tuple) else parts[0]

    def truth(self, node: ast.expr) -> Any:
        return convert(self.builder, self.evaluate(node), BOOL)

    def place(self, node: ast.expr) -> tuple[Any, ...]:
        """The indices between brackets; only the last one may be a slice."""
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        place: list[Any] = []
        for part in parts:
            if isinstance(part, ast.Slice):
                if part.step is not None:
                    raise CompileError("slices have no step here")
                place.append(slice(*(bound and self.evaluate(bound) for bound in (part.lower, part.upper))))
            else:
                index = self.evaluate(part)
                place += index if isinstance(index, tuple) else [index]
        if any(isinstance(index, slice) for index in place[:-1]):
            raise CompileError("only the last index can be a slice, or the part would not be contiguous")
        if any(isinstance(index, Literal) and index.value < 0 for index in place):
            raise CompileError("indices do not count from the end here")
        return tuple(place)
