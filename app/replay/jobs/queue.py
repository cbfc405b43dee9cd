"""The queue of replay jobs: one runs at a time, a limited number waits, finished ones are kept for some days."""

import asyncio
import logging
import shutil
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.replay import dataset
from app.replay.jobs.job_process import GiB, run_job_process
from app.replay.jobs.replay_job import JobDirectory, ReplayJob
from app.replay.query import ReplayQuery
from app.settings import Settings

log = logging.getLogger(__name__)

MAX_WAITING = 10
MAINTENANCE_SECONDS = 600.0
_INTERRUPTED = "the API's process ended meanwhile: submit it again"


class ReplayQueueFull(Exception):
    """The maximum number of replays is waiting."""


class ReplayQueue:
    """The replay jobs of this home by id. `run` executes them one after the other. Other threads may read them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.home / "replays"
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._jobs: dict[str, ReplayJob] = {}
        self._running: dict[str, asyncio.Task[str | None]] = {}
        self.progress: dict[str, dict[str, Any]] = {}
        """The current step of the running job, the amount done, and the total."""

    def submit(self, arguments: ReplayQuery) -> ReplayJob:
        """Queue a replay. Raises `ReplayQueueFull`, and OSError if the home can't be written."""
        if sum(job.state == "waiting" for job in list(self._jobs.values())) >= MAX_WAITING:
            raise ReplayQueueFull(f"{MAX_WAITING} replays are waiting: try again when some of them are done")
        job = ReplayJob(
            id=str(uuid.uuid4()),
            task=arguments.task.name,
            since=arguments.since,
            until=arguments.until,
            as_of=arguments.as_of,
            content=arguments.content,
            created=datetime.now(UTC),
        )
        self._save(job)
        self._queue.put_nowait(job.id)
        return job

    def list_jobs(self) -> Sequence[ReplayJob]:
        """Return the known jobs, the newest first."""
        return sorted(
            (self._current_state(job) for job in list(self._jobs.values())), key=lambda job: job.created, reverse=True
        )

    def get(self, job_id: str) -> ReplayJob | None:
        """Return a job in its current state; None if it is unknown."""
        job = self._jobs.get(job_id)
        return None if job is None else self._current_state(job)

    def directory(self, job_id: str) -> JobDirectory:
        """Return the directory of a job."""
        return JobDirectory(self._root / job_id)

    async def remove(self, job_id: str) -> None:
        """Stop the job if it runs, and delete its rows. Raises OSError if the home can't be written."""
        if (job_task := self._running.get(job_id)) is not None:
            job_task.cancel()
            await asyncio.wait({job_task})
        await asyncio.to_thread(self._delete_rows, job_id, "it was removed by hand")

    async def run(self) -> None:
        """Run the queued jobs until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._delete_expired)
            except OSError as error:
                log.warning("expired replays can't be deleted: %s", error)
            try:
                async with asyncio.timeout(MAINTENANCE_SECONDS):
                    job = self._jobs.get(await self._queue.get())
            except TimeoutError:
                continue
            if job is not None and job.state == "waiting":
                await self._run_job(job)

    async def _run_job(self, job: ReplayJob) -> None:
        self._save(job.with_state("running"))
        directory = self.directory(job.id)
        job_task = asyncio.create_task(
            run_job_process(self._settings, directory, lambda message: self.progress.update({job.id: message}))
        )
        self._running[job.id] = job_task
        try:
            await asyncio.wait({job_task})
        finally:
            job_task.cancel()
            await asyncio.gather(job_task, return_exceptions=True)
            del self._running[job.id]
            self.progress.pop(job.id, None)
            directory.delete_partial()
        if job_task.cancelled():  # removed
            return
        error = str(job_task.exception() or job_task.result() or "")
        if error:
            log.warning("replay %s of %s failed: %s", job.id, job.task, error)
        self._save(job.with_state("failed", error) if error else job.with_state("done"))

    def recover(self) -> None:
        """Load the jobs of earlier processes; unfinished ones are interrupted. Call it first."""
        for path in self._root.glob("*/job.json"):
            directory = JobDirectory(path.parent)
            if (job := directory.read()) is None or job.id != path.parent.name:
                continue
            self._jobs[job.id] = job
            if job.state in ("waiting", "running"):
                directory.delete_partial()
                self._save(job.with_state("interrupted", _INTERRUPTED))

    def _delete_expired(self) -> None:
        """Delete the rows of expired jobs, then those of the oldest until the rest fits into the size limit."""
        expiry = datetime.now(UTC) - timedelta(days=self._settings.replay_retention_days)
        ended = sorted((job for job in list(self._jobs.values()) if job.ended is not None), key=lambda job: job.created)
        for job in ended:
            if job.created < expiry and job.state == "done":
                self._delete_rows(job.id, f"it expired after {self._settings.replay_retention_days:g} days")
            elif job.created < expiry and self.directory(job.id).manifest() is None:
                shutil.rmtree(self.directory(job.id).path, ignore_errors=True)
                del self._jobs[job.id]
        sizes = {job.id: self.directory(job.id).size_bytes() for job in ended if self._is_done(job.id)}
        for job_id, size in list(sizes.items()):
            if sum(sizes.values()) <= self._settings.replay_gib * GiB:
                break
            self._delete_rows(job_id, f"it made room for newer replays: it had {size:,} bytes")
            del sizes[job_id]

    def _is_done(self, job_id: str) -> bool:
        return job_id in self._jobs and self._jobs[job_id].state == "done"

    def _delete_rows(self, job_id: str, reason: str) -> None:
        """Delete the rows. The manifest stays, as after an erasure, which searches for it."""
        self._save(self._jobs[job_id].with_state("gone", reason))
        directory = self.directory(job_id)
        if directory.rows_path.exists():
            dataset.delete_dataset(directory.dataset.resolve().as_uri())

    def _current_state(self, job: ReplayJob) -> ReplayJob:
        """Return the job's current state: an erasure may have deleted its rows."""
        if job.state == "done" and not self.directory(job.id).rows_path.exists():
            return job.with_state("gone", "it contained a person's erased data: submit it again")
        return job

    def _save(self, job: ReplayJob) -> None:
        self.directory(job.id).write(job)
        self._jobs[job.id] = job
