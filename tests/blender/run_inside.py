"""Run the tests of this folder in a real Blender: what test_in_blender.py starts.

    blender -b --factory-startup --python run_inside.py -- PACKAGES PYTHON [arguments for pytest …]

PACKAGES is a folder with pytest and nothing else: an environment's whole site-packages would bring compiled packages of
another Python. PYTHON is the interpreter for worker processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(packages: str, python: str, *arguments: str) -> int:
    sys.path.insert(0, packages)
    os.environ["GEN3D_PYTHON"] = python
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = True
    import pytest

    here = Path(__file__).resolve().parent
    root = here.parents[1]
    options = ["-p", "no:cacheprovider", "--rootdir", str(root), "-c", str(root / "pyproject.toml")]
    outside = [f"--ignore={here / name}" for name in ("test_in_blender.py", "test_extension_in_blender.py")]
    return int(pytest.main([*options, *outside, str(here), *arguments]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[sys.argv.index("--") + 1 :]))
