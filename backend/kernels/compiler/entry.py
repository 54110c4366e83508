"""The door through which Python enters machine code: one block of 8-byte words, arguments first, then results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from .expressions import Kernel
from .translation import Program
from .values import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    NUMBERS,
    WORD,
    ArrayType,
    CompileError,
    Number,
    Scalar,
    Type,
    convert,
    memory_type,
)

PACKING = {BOOL: "?7x", INT64: "q", FLOAT32: "f4x", FLOAT64: "d"}  # a word each, as the module struct writes it


def type_of(argument: Any) -> Type:
    """The type that an argument from Python has in compiled code; TypeError where it has none."""
    if isinstance(argument, np.ndarray) and argument.dtype.name in NUMBERS:
        return ArrayType(NUMBERS[argument.dtype.name], argument.ndim)
    if isinstance(argument, bool | np.bool_):
        return BOOL
    if isinstance(argument, int | np.integer):
        return INT64
    if isinstance(argument, np.float32):
        return FLOAT32
    if isinstance(argument, float):
        return FLOAT64
    kind = argument.dtype if isinstance(argument, np.ndarray) else type(argument).__name__
    raise TypeError(f"Compiled functions take numbers and arrays of them, not {kind}.")


def argument_packing(types: Sequence[Type]) -> str:
    """How struct writes the arguments: an array as its address and its shape."""
    return "=" + "".join(PACKING[t] if isinstance(t, Number) else "Q" + "q" * t.dimensions for t in types)


def assembly_of(kernel: Kernel, types: tuple[Type, ...], name: str) -> tuple[str, str]:
    """The program that reads a block of words, calls the kernel and writes the results behind the arguments.

    Returns LLVM assembly with the function `name`, and how struct reads the results ("" where there are none).
    """
    program = Program()
    function, result = program.function(kernel, types)
    entry = ir.Function(program.module, ir.FunctionType(ir.VoidType(), [WORD.as_pointer()]), name)
    entry.attributes.add("nounwind")
    builder = ir.IRBuilder(entry.append_basic_block())
    (words,) = entry.args
    place = 0

    def next_word(kind: Any) -> Any:
        nonlocal place
        place += 1
        return builder.bitcast(builder.gep(words, [ir.Constant(WORD, place - 1)]), kind.as_pointer())

    passed: list[Any] = []
    for kind in types:
        if isinstance(kind, ArrayType):
            address = builder.load(next_word(WORD))
            passed.append(builder.inttoptr(address, memory_type(kind.element).as_pointer()))
            passed += [builder.load(next_word(WORD)) for _ in range(kind.dimensions)]
        elif kind is BOOL:
            passed.append(builder.trunc(builder.load(next_word(memory_type(BOOL))), BOOL.ir))
        else:
            passed.append(builder.load(next_word(kind.ir)))
    returned = builder.call(function, passed)
    kinds = () if result is None else result if isinstance(result, tuple) else (result,)
    formats = ""
    for n, kind in enumerate(kinds):
        wide = FLOAT64 if kind.kind == "f" else kind if kind is BOOL else INT64
        if kind.kind == "v":
            raise CompileError("Lanes exist in compiled functions only, and cannot be returned to Python")
        value = convert(builder, Scalar(kind, builder.extract_value(returned, n)), wide)
        value = builder.zext(value, memory_type(BOOL)) if kind is BOOL else value
        builder.store(value, next_word(memory_type(wide)))
        formats += PACKING[wide]
    builder.ret_void()
    return str(program.module), formats and "=" + formats + ("" if isinstance(result, tuple) else " ")
