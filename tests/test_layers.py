"""The layers of the code: every contract of `[tool.importlinter]` in pyproject.toml is kept."""

import subprocess
import sys
from pathlib import Path

from app.settings import CHECKOUT


def test_every_import_is_of_a_lower_layer_and_none_is_circular() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
