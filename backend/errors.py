"""The three ways in which a generation can end without a mesh, each with the exit code of the command lines."""


class InputError(ValueError):
    """What was asked for cannot be made; the message is one sentence that says what to change."""

    exit_code = 2


class MachineError(RuntimeError):
    """This machine cannot do it (weights, memory, disk, device); the message is one sentence that says what to do."""

    exit_code = 3


class Cancelled(Exception):  # noqa: N818 - a cancel is an answer, not an error
    """The user asked to stop."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether main memory or that of a graphics card ran out.

    torch and the libraries below it say so in words, each in their own; torch.OutOfMemoryError is a RuntimeError too.
    """
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("out of memory", "allocate memory", "defaultcpuallocator", "bad_alloc")
