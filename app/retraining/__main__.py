"""`python -m app.retraining TASK RUN_ID`: run the steps of a run in order, and print their progress.

Exits with 0 when the candidate is registered or the run has ended, with its reason in the log. `--step STEP` runs that
step only, and does nothing, with exit status 0, if the run is past it or has ended.
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence

from app.errors import SetupError
from app.retraining.pipeline.steps import STEPS, load_run
from app.settings import settings
from app.system.memory_limit import limit_memory
from app.system.priority import lower_priority
from app.tasks import load_task
from models.base import Untrainable

log = logging.getLogger(__name__)

_GIB = 2**30


def main(task_name: str, run_id: str, only: str | None = None) -> None:
    """Run all remaining steps, or one. Raises `SetupError` if the run has not reached that step."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    lower_priority()
    configured = settings()
    task = load_task(configured, task_name)
    max_gib = configured.for_task(task_name).retraining.max_memory_gib
    current_step = ""

    def on_step(what: str, done: int, of: int | None) -> None:
        print(json.dumps({"step": current_step, "doing": what, "done": done, "of": of}), flush=True)

    def end_out_of_memory() -> None:
        status = 1
        try:
            work.end("failed", f"{work.run.step}: it needs more than {max_gib:g} GiB; raise max_memory_gib")
            status = 0
        finally:
            os._exit(status)  # a normal exit would join threads that may be blocked forever

    work = load_run(configured, task, run_id, on_step)
    limit_memory(round(max_gib * _GIB), end_out_of_memory)
    while True:
        step = work.run.step
        if step not in STEPS or _is_past(only, step):
            return
        if work.run.refusal is not None:
            work.end("refused", work.run.refusal)
            return
        if only not in (None, step):
            raise SetupError(f"Run {run_id} of {task_name} is at its step {step}, not yet at {only}.", f"Run {step}.")
        current_step = step
        on_step(step, 0, None)
        try:
            STEPS[step](work)
        except (SetupError, Untrainable) as error:  # a retry would fail in the same way
            work.end("failed", f"{step}: {error}")
        except MemoryError:
            log.exception("out of memory")
            end_out_of_memory()
        work = load_run(configured, task, run_id, on_step)


def _is_past(only: str | None, step: str) -> bool:
    order = list(STEPS)
    return only is not None and order.index(step) > order.index(only)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m app.retraining", description=__doc__)
    parser.add_argument("task")
    parser.add_argument("run_id")
    parser.add_argument("--step", choices=STEPS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    parsed = parse_arguments()
    main(parsed.task, parsed.run_id, parsed.step)
