"""The API, whose replays fail at once: each takes a core for seconds. `python -m tests.support.api_without_replays`."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from app.api.__main__ import main
from app.replay.jobs.replay_job import JobDirectory
from app.settings import Settings


async def fail(settings: Settings, directory: JobDirectory, progress: Callable[[dict[str, Any]], None]) -> str | None:
    return "it does not run here"


if __name__ == "__main__":
    with patch("app.replay.jobs.queue.run_job_process", fail):
        main()
