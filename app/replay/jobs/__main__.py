"""`python -m app.replay.jobs DIRECTORY`: makes the dataset of the job there, and says on standard output how it goes.

Each line is a JSON object: what is being done, or the `error` with which it ends.
"""

import json
import logging
import os
import sys
from pathlib import Path

from aiokafka.errors import KafkaError

from app.errors import SetupError, Unavailable
from app.replay.jobs.job import JobDirectory
from app.replay.query import ReplayQuery
from app.replay.replay import replay
from app.settings import settings
from app.system.priority import lower_priority
from app.tasks import load_task


def main(directory: str) -> int:
    """The exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    lower_priority()
    folder = JobDirectory(Path(directory))
    job = folder.read()
    if job is None:
        return _failed(f"{directory} holds no replay")
    try:
        task = load_task(settings(), job.task)
        arguments = ReplayQuery(
            task=task,
            task_settings=settings().for_task(job.task),
            as_of=job.as_of,
            since=job.since,
            until=job.until,
            content=job.content,  # type: ignore[arg-type]  # it was checked when it was asked for
        )
        replay(settings(), arguments, folder.dataset, _progress)
    except SetupError as error:
        return _failed(error.one_line)
    except (KafkaError, OSError, Unavailable) as error:
        return _failed(f"{type(error).__name__}: {error}")
    return 0


def _progress(doing: str, done: int, total: int | None) -> None:
    print(json.dumps({"doing": doing, "done": done, "of": total}), flush=True)


def _failed(error: str) -> int:
    print(json.dumps({"error": error}), flush=True)
    return 1


if __name__ == "__main__":
    sys.stdout.flush()
    # At once: threads of Arrow's that still read ahead may abort a process that ends in good order.
    os._exit(main(sys.argv[1]))
