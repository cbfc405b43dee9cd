"""What the processes of one deployment find in their environment."""

import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from app.settings import Settings
from app.system import java


def setting_variables(config: Settings) -> dict[str, str]:
    """These settings as HINDSIGHT_* variables: a process with them has the very same settings."""
    result = {}
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
        result[f"HINDSIGHT_{name.upper()}"] = text
    return result


def process_environment(config: Settings) -> dict[str, str]:
    """The whole environment of a process: this one's, these settings, our Python first and the Java that is ours."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("HINDSIGHT_")}
    return {
        **others,
        **setting_variables(config),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "JAVA_HOME": str(java.home()),
    }
