"""`python -m app.retraining TASK RUN_ID`: the steps of a run, one after the other, and on standard output what they do.

Ends with 0 when the candidate is registered or the run is over, with its reason in the log.
"""

import json
import logging
import resource
import sys
import traceback

from app.embedded.errors import SetupError
from app.retraining.steps import STEPS, refuse, work_of
from app.settings import settings
from app.tasks import named
from models.base import Untrainable

_GIB = 2**30


def main(task_name: str, run_id: str) -> None:
    """Run all steps that are left."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    configured = settings()
    task = named(configured, task_name)
    most = round(configured.of_task(task_name).retraining.memory_gib * _GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    doing: list[str] = []

    def on_step(what: str, done: int, of: int | None) -> None:
        said = {"step": doing[-1], "doing": what, "done": done, "of": of}
        print(json.dumps(said), flush=True)

    while True:
        work = work_of(configured, task, run_id, on_step)
        if work.run.step not in STEPS:
            return
        if work.run.evaluated is not None and not work.run.evaluated.passed:
            refuse(work, work.run.evaluated)
            return
        doing.append(work.run.step)
        on_step(work.run.step, 0, None)
        try:
            STEPS[work.run.step](work)
        except (SetupError, Untrainable) as error:  # tried again it would be the same
            work.end("failed", f"{work.run.step}: {error}")
        except MemoryError:
            traceback.print_exc()
            work.end("failed", f"{work.run.step}: it needs more than {most / _GIB:g} GiB; raise memory_gib")


if __name__ == "__main__":
    main(*sys.argv[1:])
