"""The process of a model's trial: a model that hangs, crashes or takes all memory takes only this process with it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from app.errors import SetupError
from app.evaluation.model_trial import try_model
from app.evaluation.shipped_comparison import TrialResult
from app.registry.model_format import OUT_OF_MEMORY, SMALLER
from app.settings import CHECKOUT, MiB, Settings, settings
from app.system.environment import process_environment
from app.system.memory_limit import limit_memory
from app.tasks import load_task
from models.manifest import total_bytes

TRIAL_SECONDS = 600.0
"""Reading pages takes a minute of one core, and others may use it."""
MEMORY_BYTES = 4096 * MiB
_SIZE_FACTOR = 4
"""Memory in addition, per byte of the model's files."""
_OUT_OF_MEMORY = 3


def check_model(config: Settings, task: str, path: Path, seconds: float = TRIAL_SECONDS) -> TrialResult:
    """Try a model in a process of its own; return the result. Raises `SetupError`."""
    command = [sys.executable, "-m", __name__, task, str(path.resolve())]
    try:
        done = subprocess.run(
            command,
            env=process_environment(config),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"The model has not answered the samples of {task} within {seconds:g} s.",
            "Export a faster or smaller model; a request waits for its answer.",
        ) from None
    if done.returncode == _OUT_OF_MEMORY:
        raise SetupError(OUT_OF_MEMORY, SMALLER)
    if done.returncode < 0:
        raise SetupError(
            f"The model ended the process that tried it ({signal.Signals(-done.returncode).name}).",
            "Check it: onnx.checker.check_model(onnx.load('model.onnx'), full_check=True).",
        )
    if done.returncode:
        raise SetupError(
            f"The trial of the model failed: {done.stderr.decode(errors='replace').strip()[-1000:]}",
            "Check it: onnx.checker.check_model(onnx.load('model.onnx'), full_check=True).",
        )
    result = json.loads(done.stdout.splitlines()[-1])
    if "error" in result:
        raise SetupError(result["error"], result["remedy"])
    return TrialResult(**result)


def main(task: str, path: Path) -> None:
    """Try a model, and print the result as JSON."""
    limit_memory(MEMORY_BYTES + _SIZE_FACTOR * total_bytes(path), lambda: os._exit(_OUT_OF_MEMORY))
    try:
        result = asyncio.run(try_model(load_task(settings(), task), path, settings().batch_size))
    except SetupError as error:
        print(json.dumps({"error": error.message, "remedy": error.remedy}))
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)
    else:
        print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
