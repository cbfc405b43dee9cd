"""Run a function in a process of its own, so that the measurement shares no interpreter with the benchmark."""

import asyncio
import logging
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from app.settings import CHECKOUT

P = ParamSpec("P")
T = TypeVar("T")


class BenchmarkError(Exception):
    """A measurement failed; the message is shown without a traceback."""


def read_tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])


async def run_in_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the function returns. It must be at the top level of a module; arguments and result are pickled."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.child_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches only the benchmark, which ends this process itself
        cwd=CHECKOUT,
    )
    try:
        output, _ = await child.communicate(pickle.dumps((function, args, kwargs)))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise BenchmarkError(f"{function.__module__}.{function.__name__} ended with exit code {child.returncode}")
    result: T = pickle.loads(output)
    return result


def main() -> None:
    """Read a function and its arguments from stdin, and write the result to stdout."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # logs a missing broker hundreds of times a second
    result_output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keeps what the function prints out of the result
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    result: Any = function(*args, **kwargs)
    with os.fdopen(result_output, "wb") as file:
        pickle.dump(result, file)


if __name__ == "__main__":
    main()
