"""`python -m app.retraining TASK RUN_ID`: the steps of a run, one after the other, and on standard output what they do.

Ends with 0 when the candidate is registered or the run is over, with its reason in the log. With `--step STEP` that one
alone; it does nothing, and ends with 0, where the run is past that step, or over.
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence

from app.errors import SetupError
from app.retraining.pipeline.steps import STEPS, load_run, refuse
from app.settings import settings
from app.system.memory_limit import limit_memory
from app.system.priority import lower_priority
from app.tasks import load_task
from models.base import Untrainable

log = logging.getLogger(__name__)

_GIB = 2**30


def main(task_name: str, run_id: str, only: str | None = None) -> None:
    """Run all steps that are left, or one. Raises `SetupError` for a step whose turn hasn't come."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    lower_priority()
    configured = settings()
    task = load_task(configured, task_name)
    most = configured.for_task(task_name).retraining.max_memory_gib
    doing: list[str] = []

    def on_step(what: str, done: int, of: int | None) -> None:
        said = {"step": doing[-1], "doing": what, "done": done, "of": of}
        print(json.dumps(said), flush=True)

    def too_much() -> None:
        status = 1
        try:
            work.end("failed", f"{work.run.step}: it needs more than {most:g} GiB; raise max_memory_gib")
            status = 0
        finally:
            os._exit(status)  # with all threads: some of them may wait for ever

    work = load_run(configured, task, run_id, on_step)
    limit_memory(round(most * _GIB), too_much)
    while True:
        step = work.run.step
        if step not in STEPS or _is_past(only, step):
            return
        if work.run.evaluated is not None and not work.run.evaluated.passed:
            refuse(work, work.run.evaluated)
            return
        if only not in (None, step):
            raise SetupError(f"Run {run_id} of {task_name} is at its step {step}, not yet at {only}.", f"Run {step}.")
        doing.append(step)
        on_step(step, 0, None)
        try:
            STEPS[step](work)
        except (SetupError, Untrainable) as error:  # tried again it would be the same
            work.end("failed", f"{step}: {error}")
        except MemoryError:
            log.exception("out of memory")
            too_much()
        work = load_run(configured, task, run_id, on_step)


def _is_past(only: str | None, step: str) -> bool:
    order = list(STEPS)
    return only is not None and order.index(step) > order.index(only)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m app.retraining", description=__doc__)
    parser.add_argument("task")
    parser.add_argument("run_id")
    parser.add_argument("--step", choices=STEPS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    told = parse_arguments()
    main(told.task, told.run_id, told.step)
