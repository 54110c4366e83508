"""The one door for people: python3 build.py demo|test|build|train|bench. See build_steps/."""

# This file must parse on any Python, so that a wrong one gets a sentence and not a syntax error.
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write(
        "Gen3D needs Python 3.11, 3.12 or 3.13, and this is Python %d.%d: install one of them and run this again "  # noqa: UP031
        "with it, for example `python3.13 build.py`.\n" % sys.version_info[:2]
    )
    sys.exit(3)

from build_steps.command_line import main

sys.exit(main(sys.argv[1:]))
