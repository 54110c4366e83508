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


def test_loading_the_bundled_models_leaves_torchs_compiler_alone() -> None:
    """Its import takes seconds of every first call; arithmetic on "meta" tensors in a constructor is enough for it."""
    code = (
        "import sys\nfrom backend.tasks.loaded_models import novel_views, shape_space\n"
        "shape_space('cpu').text_encoder.encode(['a chair'])\nnovel_views('cpu')\n"
        "print('torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
