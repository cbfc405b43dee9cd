"""The replays of this process's home: one at a time, some that wait, and those of the last days to be fetched."""

import asyncio
import logging
import shutil
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.replay import dataset
from app.replay.jobs.job import JobDirectory, ReplayJob
from app.replay.jobs.job_process import GiB, run_job_process
from app.replay.query import ReplayQuery
from app.settings import Settings

log = logging.getLogger(__name__)

MAX_WAITING = 10
MAINTENANCE_SECONDS = 600.0
_INTERRUPTED = "the API's process ended meanwhile: ask for it again"


class ReplayQueueFull(Exception):
    """So many replays wait that no more is taken."""


class ReplayQueue:
    """The replays, by id. `run` makes them, one after the other. Threads may look at them meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.home / "replays"
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._jobs: dict[str, ReplayJob] = {}
        self._running: dict[str, asyncio.Task[str | None]] = {}
        self.progress: dict[str, dict[str, Any]] = {}
        """What the one that runs is doing, how much of it is done, and of how much."""

    def submit(self, arguments: ReplayQuery) -> ReplayJob:
        """Take a replay on. Raises `Busy`, and OSError where the home can't be written."""
        if sum(job.state == "waiting" for job in list(self._jobs.values())) >= MAX_WAITING:
            raise ReplayQueueFull(f"{MAX_WAITING} replays wait already: try again when some of them are done")
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
        """The replays that are known, the newest first."""
        return sorted(
            (self._current_state(job) for job in list(self._jobs.values())), key=lambda job: job.created, reverse=True
        )

    def get(self, job_id: str) -> ReplayJob | None:
        """A replay as it is now; None for one that is not known."""
        job = self._jobs.get(job_id)
        return None if job is None else self._current_state(job)

    def directory(self, job_id: str) -> JobDirectory:
        """Where a replay that is known is kept."""
        return JobDirectory(self._root / job_id)

    async def remove(self, job_id: str) -> None:
        """End it if it runs, and remove its rows. Raises OSError where the home can't be written."""
        if (making := self._running.get(job_id)) is not None:
            making.cancel()
            await asyncio.wait({making})
        await asyncio.to_thread(self._delete_rows, job_id, "it was removed by hand")

    async def run(self) -> None:
        """Make what is wanted, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._delete_expired)
            except OSError as error:
                log.warning("replays can't be tidied up: %s", error)
            try:
                async with asyncio.timeout(MAINTENANCE_SECONDS):
                    job = self._jobs.get(await self._queue.get())
            except TimeoutError:
                continue
            if job is not None and job.state == "waiting":
                await self._run_job(job)

    async def _run_job(self, job: ReplayJob) -> None:
        self._save(job.with_state("running"))
        folder = self.directory(job.id)
        making = asyncio.create_task(
            run_job_process(self._settings, folder, lambda said: self.progress.update({job.id: said}))
        )
        self._running[job.id] = making
        try:
            await asyncio.wait({making})
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
            del self._running[job.id]
            self.progress.pop(job.id, None)
            folder.delete_partial()
        if making.cancelled():  # removed
            return
        error = str(making.exception() or making.result() or "")
        if error:
            log.warning("replay %s of %s failed: %s", job.id, job.task, error)
        self._save(job.with_state("failed", error) if error else job.with_state("done"))

    def recover(self) -> None:
        """Know again what an earlier process has made, before anything else; what it left undone is interrupted."""
        for path in self._root.glob("*/job.json"):
            folder = JobDirectory(path.parent)
            if (job := folder.read()) is None or job.id != path.parent.name:
                continue
            self._jobs[job.id] = job
            if job.state in ("waiting", "running"):
                folder.delete_partial()
                self._save(job.with_state("interrupted", _INTERRUPTED))

    def _delete_expired(self) -> None:
        """Remove what is over its days; then the oldest, until all fit into what they may take."""
        before = datetime.now(UTC) - timedelta(days=self._settings.replay_retention_days)
        ended = sorted((job for job in list(self._jobs.values()) if job.ended is not None), key=lambda job: job.created)
        for job in ended:
            if job.created < before and job.state == "done":
                self._delete_rows(job.id, f"its {self._settings.replay_retention_days:g} days are over")
            elif job.created < before and self.directory(job.id).manifest() is None:
                shutil.rmtree(self.directory(job.id).path, ignore_errors=True)
                del self._jobs[job.id]
        sizes = {job.id: self.directory(job.id).size_bytes() for job in ended if self._is_done(job.id)}
        for job_id, size in list(sizes.items()):
            if sum(sizes.values()) <= self._settings.replay_gib * GiB:
                break
            self._delete_rows(job_id, f"room was needed for later ones: it had {size:,} bytes")
            del sizes[job_id]

    def _is_done(self, job_id: str) -> bool:
        return job_id in self._jobs and self._jobs[job_id].state == "done"

    def _delete_rows(self, job_id: str, reason: str) -> None:
        """Remove the rows; the manifest stays, as it does after an erasure, which will look for it."""
        self._save(self._jobs[job_id].with_state("gone", reason))
        folder = self.directory(job_id)
        if folder.rows_path.exists():
            dataset.delete_dataset(folder.dataset.resolve().as_uri())

    def _current_state(self, job: ReplayJob) -> ReplayJob:
        """The job as it is, should an erasure have taken its rows."""
        if job.state == "done" and not self.directory(job.id).rows_path.exists():
            return job.with_state("gone", "a person's data was erased, and was in it: ask for it again")
        return job

    def _save(self, job: ReplayJob) -> None:
        self.directory(job.id).write(job)
        self._jobs[job.id] = job
