"""`python -m app.replay.jobs DIRECTORY`: make the dataset of the job in this directory, and report progress.

Each line on standard output is a JSON object: the current step, or the `error` with which the job ends.
"""

import json
import logging
import os
import sys
from pathlib import Path

from aiokafka.errors import KafkaError

from app.errors import SetupError, Unavailable
from app.replay.jobs.replay_job import JobDirectory
from app.replay.query import ReplayQuery
from app.replay.replay import replay
from app.settings import settings
from app.system.priority import lower_priority
from app.tasks import load_task


def main(directory: str) -> int:
    """Run the job; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    lower_priority()
    job_directory = JobDirectory(Path(directory))
    job = job_directory.read()
    if job is None:
        return _fail(f"{directory} contains no replay job")
    try:
        task = load_task(settings(), job.task)
        arguments = ReplayQuery(
            task=task,
            task_settings=settings().for_task(job.task),
            as_of=job.as_of,
            since=job.since,
            until=job.until,
            content=job.content,  # type: ignore[arg-type]  # it was checked when the job was submitted
        )
        replay(settings(), arguments, job_directory.dataset, _progress)
    except SetupError as error:
        return _fail(error.one_line)
    except (KafkaError, OSError, Unavailable) as error:
        return _fail(f"{type(error).__name__}: {error}")
    return 0


def _progress(doing: str, done: int, total: int | None) -> None:
    print(json.dumps({"doing": doing, "done": done, "of": total}), flush=True)


def _fail(error: str) -> int:
    print(json.dumps({"error": error}), flush=True)
    return 1


if __name__ == "__main__":
    sys.stdout.flush()
    # Exit immediately: Arrow's read-ahead threads may abort a process that exits normally.
    os._exit(main(sys.argv[1]))
