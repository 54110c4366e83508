"""A small compiler: functions of numbers and NumPy arrays, written in a part of Python, become machine code.

LLVM does the work; what is here gives it types and reads Python's syntax tree, which takes milliseconds where Numba's
inference takes seconds. The part of Python: numbers, tuples, contiguous arrays and slices of them; for over range or an
array, while, if, return; arithmetic with NumPy's rules for types; calls of other compiled functions.

What differs from Python:
- A variable keeps the type of its first assignment; what would lose precision on the way into it is an error.
- Whole numbers of arrays are 64 bits wide once they are read (unsigned ones keep their width) and may wrap.
- Indices are not checked and never count from the end. Division by zero is not checked either.
- `np.empty` takes a constant shape: it is room on the stack. Larger arrays are arguments.
- Literals and global numbers adapt to the other operand, as Python's numbers do in NumPy 2.
"""
