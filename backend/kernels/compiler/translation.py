"""From the syntax tree of a Python function to LLVM's intermediate representation."""

import ast
import inspect
import textwrap
from typing import Any

import numpy as np
from llvmlite import ir

from .emission import Operand
from .expressions import Expressions, Kernel
from .values import (
    INT64,
    NUMBERS,
    WORD,
    Array,
    ArrayType,
    CompileError,
    Literal,
    Number,
    Scalar,
    Type,
    convert,
    meeting_type,
    memory_type,
)


class Program:
    """The functions that one entry point needs, each translated once for the types of its arguments."""

    def __init__(self) -> None:
        self.module = ir.Module()
        self._done: dict[tuple[Kernel, tuple[Type, ...]], tuple[Any, Any]] = {}

    def function(self, kernel: Kernel, types: tuple[Type, ...]) -> tuple[Any, Any]:
        """The translated function and its result: None, a Number, or a tuple of Numbers."""
        if (kernel, types) not in self._done:
            self._done[kernel, types] = Translation(self, kernel, types).finish()
        return self._done[kernel, types]

    def constant_array(self, values: np.ndarray) -> Array:
        """A global array, copied into the program."""
        number = NUMBERS[values.dtype.name]
        kind = ir.ArrayType(memory_type(number), values.size)
        name = self.module.get_unique_name("table")
        table = ir.GlobalVariable(self.module, kind, name)
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(kind, values.reshape(-1).tolist())
        first = table.gep([ir.Constant(WORD, 0)] * 2)
        return Array(number, first, tuple(ir.Constant(WORD, size) for size in values.shape))


class Translation(Expressions):
    """One function for one set of types. builder: where instructions go; see ir.IRBuilder."""

    def __init__(self, program: Program, kernel: Kernel, types: tuple[Type, ...]) -> None:
        self.program, self.kernel, self.fast_math = program, kernel, kernel.fast_math
        source, self._first_line = inspect.getsourcelines(kernel.function)
        (self._tree,) = ast.parse(textwrap.dedent("".join(source))).body
        self._node: ast.AST = self._tree
        parameters: list[Any] = []
        for kind in types:
            parameters += _parameters(kind)
        name = program.module.get_unique_name(kernel.function.__name__)
        self.function = ir.Function(program.module, ir.FunctionType(ir.VoidType(), parameters), name)
        self.function.linkage = "internal"
        self.function.attributes.add("nounwind")
        self._rooms = ir.IRBuilder(self.function.append_basic_block("rooms"))
        self.builder = ir.IRBuilder(self.function.append_basic_block("start"))
        self._variables: dict[str, Any] = {}
        self.loops = []
        self._result: Any = None
        self._returns = False
        remaining = iter(self.function.args)
        names = [argument.arg for argument in self._tree.args.args]  # type: ignore[attr-defined]
        if len(names) != len(types):
            raise CompileError(f"{kernel.function.__name__} takes {len(names)} arguments, not {len(types)}.")
        for argument, kind in zip(names, types, strict=True):
            self._variables[argument] = self._new_variable(_take(kind, remaining))

    def finish(self) -> tuple[Any, Any]:
        """Translate the body; returns the function and what it gives back."""
        try:
            self._block(self._tree.body)  # type: ignore[attr-defined]
            if not self.builder.block.is_terminated:
                if self._returns and self._result is not None:
                    self.builder.unreachable()
                else:
                    self.builder.ret_void()
        except CompileError as error:
            if str(error).startswith(self.kernel.function.__code__.co_filename):
                raise
            line = self._first_line + getattr(self._node, "lineno", 1) - 1
            raise CompileError(f"{self.kernel.function.__code__.co_filename}:{line}: {error}.") from error
        self._rooms.branch(self.function.blocks[1])
        return self.function, self._result

    # Variables

    def _new_variable(self, value: Operand) -> Any:
        if isinstance(value, tuple):
            return tuple(self._new_variable(part) for part in value)
        if isinstance(value, Literal | Scalar):
            variable: Any = (value.type, self.room(value.type.ir))
        elif isinstance(value, Array):
            rooms = [self.room(part.type) for part in (value.pointer, *value.shape)]
            variable = (value.type, *rooms)
        else:
            raise CompileError(f"{value!r} cannot be kept in a variable")
        self._set(variable, value)
        return variable

    def _set(self, variable: Any, value: Operand) -> None:
        kind, *rooms = variable
        if isinstance(kind, Number) and isinstance(value, Literal | Scalar):
            fits = meeting_type(Scalar(kind, None), value) is kind
            if not fits:
                raise CompileError(f"the variable was {kind.name} before and cannot become {value.type.name}")
            self.builder.store(convert(self.builder, value, kind), rooms[0])
        elif isinstance(kind, ArrayType) and isinstance(value, Array) and value.type == kind:
            for place, part in zip(rooms, (value.pointer, *value.shape), strict=True):
                self.builder.store(part, place)
        else:
            raise CompileError("the variable was something else before")

    # Statements

    def _block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if self.builder.block.is_terminated:
                return
            self._node = statement
            translate = getattr(self, f"_do_{type(statement).__name__.lower()}", None)
            if translate is None:
                raise CompileError(f"{type(statement).__name__} is not part of the language")
            translate(statement)

    def _do_pass(self, _: ast.Pass) -> None: ...

    def _do_expr(self, statement: ast.Expr) -> None:
        if not isinstance(statement.value, ast.Constant):
            self.evaluate(statement.value)

    def _do_assign(self, statement: ast.Assign) -> None:
        value = self.evaluate(statement.value)
        for target in statement.targets:
            self._assign(target, value)

    def _do_augassign(self, statement: ast.AugAssign) -> None:
        if isinstance(statement.target, ast.Name):
            before = self.evaluate(ast.Name(statement.target.id))
            after = self.arithmetic(type(statement.op), before, self.evaluate(statement.value))
            return self._assign(statement.target, after)
        assert isinstance(statement.target, ast.Subscript)
        array, place = self.evaluate(statement.target.value), self.place(statement.target.slice)
        address = self.address(array, place)
        after = self.arithmetic(type(statement.op), self.read(array, address), self.evaluate(statement.value))
        self.write(array, address, after)
        return None

    def _assign(self, target: ast.expr, value: Operand) -> None:
        if isinstance(target, ast.Name):
            if target.id == "_":  # not wanted
                return
            if target.id in self._variables:
                self._set(self._variables[target.id], value)
            else:
                self._variables[target.id] = self._new_variable(value)
        elif isinstance(target, ast.Tuple):
            if not isinstance(value, tuple) or len(value) != len(target.elts):
                raise CompileError(f"{len(target.elts)} values are wanted here")
            for part, own in zip(target.elts, value, strict=True):
                self._assign(part, own)
        elif isinstance(target, ast.Subscript):
            array, place = self.evaluate(target.value), self.place(target.slice)
            if isinstance(place[-1], slice):
                self.fill(self.part(array, place), value)
            else:
                self.write(array, self.address(array, place), value)
        else:
            raise CompileError("this cannot be assigned to")

    def _do_if(self, statement: ast.If) -> None:
        condition = self.truth(statement.test)
        yes, no, after = (self.function.append_basic_block(name) for name in ("then", "else", "after"))
        self.builder.cbranch(condition, yes, no)
        for block, body in ((yes, statement.body), (no, statement.orelse)):
            self.builder.position_at_end(block)
            self._block(body)
            if not self.builder.block.is_terminated:
                self.builder.branch(after)
        self.builder.position_at_end(after)

    def _do_while(self, statement: ast.While) -> None:
        test, body, after = (self.function.append_basic_block(name) for name in ("test", "body", "after"))
        self.builder.branch(test)
        self.builder.position_at_end(test)
        self.builder.cbranch(self.truth(statement.test), body, after)
        self.loops.append((test, after))
        self.builder.position_at_end(body)
        self._block(statement.body)
        if not self.builder.block.is_terminated:
            self.builder.branch(test)
        self.loops.pop()
        self.builder.position_at_end(after)

    def _do_for(self, statement: ast.For) -> None:
        over = statement.iter
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range":
            bounds = [self.evaluate(bound) for bound in over.args]
            start, stop = (Literal(0), bounds[0]) if len(bounds) == 1 else bounds[:2]
            step = bounds[2] if len(bounds) == 3 else Literal(1)
            if not isinstance(step, Literal):
                raise CompileError("the step of a range must be known when compiling")
            with self.counting(start, stop, int(step.value)) as i:
                self._assign(statement.target, i)
                self._block(statement.body)
            return
        array = self.evaluate(over)
        with self.counting(Literal(0), Scalar(INT64, array.shape[0]), 1) as i:
            self._assign(statement.target, self.item(array, (i,)))
            self._block(statement.body)

    def _do_break(self, _: ast.Break) -> None:
        self.builder.branch(self.loops[-1][1])

    def _do_continue(self, _: ast.Continue) -> None:
        self.builder.branch(self.loops[-1][0])

    def _do_return(self, statement: ast.Return) -> None:
        value = () if statement.value is None else self.evaluate(statement.value)
        parts = value if isinstance(value, tuple) else (value,)
        if not self._returns:  # the first return says what the function gives back
            self._returns = True
            self._result = None if not parts else tuple(p.type for p in parts) if parts is value else parts[0].type
            kinds = [part.type.ir for part in parts]
            kind = ir.VoidType() if not kinds else ir.LiteralStructType(kinds)
            self.function.ftype = ir.FunctionType(kind, self.function.ftype.args)
            self.function.type = self.function.ftype.as_pointer()
            self.function.return_value.type = kind
        if not parts:
            self.builder.ret_void()
            return
        wanted = self._result if isinstance(self._result, tuple) else (self._result,)
        together = ir.Constant(self.function.return_value.type, ir.Undefined)
        for place, (part, kind) in enumerate(zip(parts, wanted, strict=True)):
            if meeting_type(Scalar(kind, None), part) is not kind:
                raise CompileError(f"an earlier return gave {kind.name} here, not {part.type.name}")
            together = self.builder.insert_value(together, convert(self.builder, part, kind), place)
        self.builder.ret(together)


def _parameters(kind: Type) -> list[Any]:
    """The IR types that an argument is passed as."""
    if isinstance(kind, Number):
        return [kind.ir]
    return [memory_type(kind.element).as_pointer(), *[WORD] * kind.dimensions]


def _take(kind: Type, given: Any) -> Operand:
    """An argument, made of the next ones of those that were passed."""
    if isinstance(kind, Number):
        return Scalar(kind, next(given))
    return Array(kind.element, next(given), tuple(next(given) for _ in range(kind.dimensions)))
