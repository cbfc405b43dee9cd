"""The tasks of a deployment that names none are those with the real models."""

import json
import subprocess
import sys

from models.small import SMALL_TASKS


def test_the_default_tasks_are_those_of_the_real_models() -> None:
    code = "import json; from app.settings import Settings; print(json.dumps(Settings().tasks))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == {name: path.replace(".small", "") for name, path in SMALL_TASKS.items()}
