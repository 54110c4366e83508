"""How a step says that it cannot go on."""

from __future__ import annotations

BAD_ARGUMENTS = 2
MACHINE_CANNOT = 3
CANCELLED = 130


class StepFailed(Exception):  # noqa: N818 - it says what happened
    """A step cannot go on. The message is one sentence that says what to do; `exit_code` ends build.py."""

    def __init__(self, sentence: str, exit_code: int = MACHINE_CANNOT) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
