"""The runtime of the models tells its maker about each session, unless it is told not to; ours never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import stonechat_agent
from stonechat_models import model_path

PACKAGE = Path(stonechat_agent.__file__).parent


@pytest.mark.parametrize(
    "program",
    [
        "import stonechat_agent.demo_engine.model",
        "from pathlib import Path\n"
        "from stonechat_agent.scoring.judging.sessions import Graph\n"
        f"Graph(Path({str(model_path('demo_lm') / 'model.onnx')!r}), 1)",
    ],
)
def test_the_runtime_keeps_no_file_to_tell_from(program: str, tmp_path: Path) -> None:
    environ = {
        k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    told = f"{program}\nimport os, sys\nassert 'onnxruntime' in sys.modules"
    subprocess.run(
        [sys.executable, "-c", told], env=environ | {"HOME": str(tmp_path)}, check=True, timeout=120
    )
    assert not list(tmp_path.iterdir())


def test_every_module_that_loads_the_runtime_says_so_first() -> None:
    loading = [file for file in PACKAGE.rglob("*.py") if "import onnxruntime" in file.read_text()]
    assert loading
    for file in loading:
        text = file.read_text()
        assert text.index('os.environ["ORT_DISABLE_TELEMETRY"] = "1"') < text.index("import onnxruntime"), (
            file
        )
