"""Environment variables of the processes of a deployment."""

import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from app.settings import Settings
from app.system import java


def setting_variables(config: Settings) -> dict[str, str]:
    """Return these settings as HINDSIGHT_* variables, from which a process reads exactly the same settings."""
    variables = {}
    for name, value in config:
        match value:
            case None:
                continue
            case SecretStr():
                text = value.get_secret_value()
            case Path():
                text = str(value.resolve())  # the processes may run in another directory
            case str():
                text = value
            case _:
                text = json.dumps(config.model_dump(mode="json", include={name})[name])
        variables[f"HINDSIGHT_{name.upper()}"] = text
    return variables


def process_environment(config: Settings) -> dict[str, str]:
    """Return the environment of a process: this process's, these settings, our Python first on PATH, and our Java."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HINDSIGHT_")}
    return {
        **inherited,
        **setting_variables(config),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "JAVA_HOME": str(java.home()),
    }
