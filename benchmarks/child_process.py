"""Runs a function in a process of its own: what is measured there shares no interpreter with whoever asks."""

import asyncio
import logging
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from app.settings import CHECKOUT

P = ParamSpec("P")
T = TypeVar("T")


class BenchmarkError(Exception):
    """What went wrong, in words for whoever runs the benchmark."""


async def run_in_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns. It is one of a module's top level; arguments and result can be pickled."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.child_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches the benchmark alone, which ends this in its own time
        cwd=CHECKOUT,
    )
    try:
        said, _ = await child.communicate(pickle.dumps((function, args, kwargs)))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise BenchmarkError(f"{function.__module__}.{function.__name__} ended with exit code {child.returncode}")
    result: T = pickle.loads(said)
    return result


def main() -> None:
    """The other side."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says hundreds of times a second that a broker is away
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed here must not end up in the answer
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    result: Any = function(*args, **kwargs)
    with os.fdopen(answer, "wb") as file:
        pickle.dump(result, file)


if __name__ == "__main__":
    main()
