"""What makes a model must run where only requirements/runtime.txt is installed."""

from __future__ import annotations

import subprocess
import sys


def test_generating_imports_nothing_that_only_training_installs() -> None:
    code = (
        "import sys, backend.worker, backend.__main__, backend.tasks.loaded_models\n"
        "print(sorted({'assimp_py', 'igl', 'open3d', 'matplotlib'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
