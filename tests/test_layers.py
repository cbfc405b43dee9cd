"""The layers of the code hold: every contract of `[tool.importlinter]` in pyproject.toml is kept."""

import subprocess
import sys
from pathlib import Path

from app.settings import CHECKOUT


def test_every_import_goes_downwards_and_none_in_a_circle() -> None:
    linter = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linter.returncode == 0, linter.stdout
