"""What the buttons do; each operator hands over to the session and says in one sentence what went wrong."""

from typing import Literal

Answer = set[Literal["RUNNING_MODAL", "CANCELLED", "FINISHED", "PASS_THROUGH", "INTERFACE"]]
"""What Blender expects of an operator."""
