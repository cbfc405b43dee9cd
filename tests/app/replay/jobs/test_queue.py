"""The queue of replay jobs, with a fake for the job's process; that one is tested in tests/app/api/test_replays.py."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from app.replay import dataset
from app.replay.jobs import queue as module
from app.replay.jobs.queue import MAX_WAITING, ReplayQueue, ReplayQueueFull
from app.replay.jobs.replay_job import JobDirectory, ReplayJob
from app.replay.query import ReplayQuery
from app.settings import Settings

RunJob = Callable[..., Awaitable[str | None]]


@pytest.fixture
def settings(brokerless: Settings, tmp_path: Any) -> Settings:
    return brokerless.model_copy(update={"home": tmp_path})


@pytest.fixture
def arguments(settings: Settings) -> ReplayQuery:
    return ReplayQuery.from_options(settings, "ocr")


def write_rows(folder: JobDirectory, size: int = 10) -> None:
    folder.dataset.mkdir()
    folder.rows_path.write_bytes(bytes(size))
    (folder.dataset / "manifest.json").write_text(json.dumps({"rows": 1}))


async def finish(settings: Settings, folder: JobDirectory, progress: Any) -> str | None:
    write_rows(folder)
    return None


async def hang(settings: Settings, folder: JobDirectory, progress: Any) -> str | None:
    folder.dataset.with_name(".dataset.partial").mkdir()
    progress({"doing": "Joining the log", "done": 1, "of": 2})
    await asyncio.Event().wait()
    return None


@asynccontextmanager
async def run_queue(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, run_job: RunJob = finish
) -> AsyncIterator[ReplayQueue]:
    """Run the queue as an API's process does, from its start to its end."""
    monkeypatch.setattr(module, "run_job_process", run_job)
    replays = ReplayQueue(settings)
    replays.recover()
    loop = asyncio.create_task(replays.run())
    try:
        yield replays
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def wait_for_state(replays: ReplayQueue, job: ReplayJob, *states: str) -> ReplayJob:
    async with asyncio.timeout(10):
        while (job_now := replays.get(job.id)) is None or job_now.state not in states:
            await asyncio.sleep(0.01)
    return job_now


async def test_a_replay_waits_runs_and_is_done(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_queue(settings, monkeypatch) as replays:
        job = replays.submit(arguments)
        assert (job.state, job.task, job.as_of, job.ended) == ("waiting", "ocr", arguments.as_of, None)
        done = await wait_for_state(replays, job, "done")
        assert done.ended is not None
        assert all(path.exists() for path in replays.directory(job.id).download_files)


async def test_a_failed_replay_has_the_reason(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> str | None:
        return "the archive is damaged"

    async def raise_error(*_: Any) -> str | None:
        raise OSError("no more processes")

    for run_job, reason in ((fail, "the archive is damaged"), (raise_error, "no more processes")):
        async with run_queue(settings, monkeypatch, run_job) as replays:
            assert (await wait_for_state(replays, replays.submit(arguments), "failed")).reason == reason
            monkeypatch.setattr(module, "run_job_process", finish)
            await wait_for_state(replays, replays.submit(arguments), "done")  # and the next one has its turn


async def test_one_replay_runs_at_a_time_and_a_limited_number_waits(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_queue(settings, monkeypatch, hang) as replays:
        first = replays.submit(arguments)
        await wait_for_state(replays, first, "running")
        waiting = [replays.submit(arguments) for _ in range(MAX_WAITING)]
        with pytest.raises(ReplayQueueFull):
            replays.submit(arguments)
        await replays.remove(waiting[0].id)
        replays.submit(arguments)
        assert [job.state for job in replays.list_jobs()].count("running") == 1


async def test_unfinished_replays_are_interrupted_by_the_end_of_the_process_and_finished_ones_stay(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_queue(settings, monkeypatch) as replays:
        done = await wait_for_state(replays, replays.submit(arguments), "done")
        monkeypatch.setattr(module, "run_job_process", hang)
        running_job, waiting_job = replays.submit(arguments), replays.submit(arguments)
        await wait_for_state(replays, running_job, "running")
        assert replays.progress == {running_job.id: {"doing": "Joining the log", "done": 1, "of": 2}}
    async with run_queue(settings, monkeypatch) as replays:
        assert replays.get(done.id) == done
        for job in (running_job, waiting_job):
            interrupted_job = replays.get(job.id)
            assert interrupted_job is not None
            assert (interrupted_job.state, "submit it again" in (interrupted_job.reason or "")) == ("interrupted", True)
        assert not list(settings.home.rglob("*.partial"))


async def test_a_running_replay_can_be_removed(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_queue(settings, monkeypatch, hang) as replays:
        job = await wait_for_state(replays, replays.submit(arguments), "running")
        monkeypatch.setattr(module, "run_job_process", finish)
        await replays.remove(job.id)
        assert (await wait_for_state(replays, job, "gone")).reason == "it was removed by hand"
        await wait_for_state(replays, replays.submit(arguments), "done")
        assert not list(settings.home.rglob("*.partial"))


async def test_a_replay_expires_but_its_manifest_stays(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_queue(settings, monkeypatch) as replays:
        old = await wait_for_state(replays, replays.submit(arguments), "done")
        replays.directory(old.id).write(old.model_copy(update={"created": old.created - timedelta(days=8)}))
        young = await wait_for_state(replays, replays.submit(arguments), "done")
    async with run_queue(settings, monkeypatch) as replays:
        assert "it expired after 7 days" in ((await wait_for_state(replays, old, "gone")).reason or "")
        assert replays.directory(old.id).manifest() is not None
        assert not replays.directory(old.id).rows_path.exists()
        assert replays.get(young.id) == young


async def test_the_oldest_replays_make_room_for_newer_ones(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write_much(settings: Settings, folder: JobDirectory, progress: Any) -> str | None:
        write_rows(folder, size=1000)
        return None

    limited_settings = settings.model_copy(update={"replay_gib": 3000 / 2**30})
    async with run_queue(limited_settings, monkeypatch, write_much) as replays:
        jobs = [await wait_for_state(replays, replays.submit(arguments), "done", "gone") for _ in range(3)]
        await wait_for_state(replays, jobs[0], "gone")
        assert [replays.get(job.id).state for job in jobs[1:]] == ["done"] * 2  # type: ignore[union-attr]


async def test_a_replay_whose_rows_were_erased_is_gone(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_queue(settings, monkeypatch) as replays:
        job = await wait_for_state(replays, replays.submit(arguments), "done")
        dataset.delete_dataset(replays.directory(job.id).dataset.as_uri())
        gone = replays.get(job.id)
        assert gone is not None
        assert (gone.state, "erased" in (gone.reason or "")) == ("gone", True)
