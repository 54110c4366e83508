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
