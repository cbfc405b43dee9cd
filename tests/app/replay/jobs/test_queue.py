"""The replays of a home, with a stand-in for the process that makes each; that is in tests/app/api/test_replays.py."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from app.replay import dataset
from app.replay.jobs import queue as module
from app.replay.jobs.job import JobDirectory, ReplayJob
from app.replay.jobs.queue import MAX_WAITING, ReplayQueue, ReplayQueueFull
from app.replay.query import ReplayQuery
from app.settings import Settings

Make = Callable[..., Awaitable[str | None]]


@pytest.fixture
def settings(brokerless: Settings, tmp_path: Any) -> Settings:
    return brokerless.model_copy(update={"home": tmp_path})


@pytest.fixture
def arguments(settings: Settings) -> ReplayQuery:
    return ReplayQuery.from_options(settings, "ocr")


def written(folder: JobDirectory, size: int = 10) -> None:
    folder.dataset.mkdir()
    folder.rows_path.write_bytes(bytes(size))
    (folder.dataset / "manifest.json").write_text(json.dumps({"rows": 1}))


async def at_once(settings: Settings, folder: JobDirectory, progress: Any) -> str | None:
    written(folder)
    return None


async def never(settings: Settings, folder: JobDirectory, progress: Any) -> str | None:
    folder.dataset.with_name(".dataset.partial").mkdir()
    progress({"doing": "Joining the log", "done": 1, "of": 2})
    await asyncio.Event().wait()
    return None


@asynccontextmanager
async def running(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, make: Make = at_once
) -> AsyncIterator[ReplayQueue]:
    """The replays as an API's process has them, from its start to its end."""
    monkeypatch.setattr(module, "run_job_process", make)
    replays = ReplayQueue(settings)
    replays.recover()
    loop = asyncio.create_task(replays.run())
    try:
        yield replays
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def until(replays: ReplayQueue, job: ReplayJob, *states: str) -> ReplayJob:
    async with asyncio.timeout(10):
        while (found := replays.get(job.id)) is None or found.state not in states:
            await asyncio.sleep(0.01)
    return found


async def test_a_replay_waits_runs_and_is_there(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        job = replays.submit(arguments)
        assert (job.state, job.task, job.as_of, job.ended) == ("waiting", "ocr", arguments.as_of, None)
        done = await until(replays, job, "done")
        assert done.ended is not None
        assert all(path.exists() for path in replays.directory(job.id).download_files)


async def test_what_goes_wrong_is_said(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> str | None:
        return "the archive is damaged"

    async def impossible(*_: Any) -> str | None:
        raise OSError("no more processes")

    for make, reason in ((refused, "the archive is damaged"), (impossible, "no more processes")):
        async with running(settings, monkeypatch, make) as replays:
            assert (await until(replays, replays.submit(arguments), "failed")).reason == reason
            monkeypatch.setattr(module, "run_job_process", at_once)
            await until(replays, replays.submit(arguments), "done")  # and the next one has its turn


async def test_one_at_a_time_and_no_more_wait_than_may(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch, never) as replays:
        first = replays.submit(arguments)
        await until(replays, first, "running")
        waiting = [replays.submit(arguments) for _ in range(MAX_WAITING)]
        with pytest.raises(ReplayQueueFull):
            replays.submit(arguments)
        await replays.remove(waiting[0].id)
        replays.submit(arguments)
        assert [job.state for job in replays.list_jobs()].count("running") == 1


async def test_what_the_end_of_the_process_ended_is_interrupted_and_what_was_done_is_kept(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        done = await until(replays, replays.submit(arguments), "done")
        monkeypatch.setattr(module, "run_job_process", never)
        ran, waited = replays.submit(arguments), replays.submit(arguments)
        await until(replays, ran, "running")
        assert replays.progress == {ran.id: {"doing": "Joining the log", "done": 1, "of": 2}}
    async with running(settings, monkeypatch) as replays:
        assert replays.get(done.id) == done
        for job in (ran, waited):
            found = replays.get(job.id)
            assert found is not None
            assert (found.state, "ask for it again" in (found.reason or "")) == ("interrupted", True)
        assert not list(settings.home.rglob("*.partial"))


async def test_a_replay_that_runs_can_be_removed(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch, never) as replays:
        job = await until(replays, replays.submit(arguments), "running")
        monkeypatch.setattr(module, "run_job_process", at_once)
        await replays.remove(job.id)
        assert (await until(replays, job, "gone")).reason == "it was removed by hand"
        await until(replays, replays.submit(arguments), "done")
        assert not list(settings.home.rglob("*.partial"))


async def test_a_replay_is_kept_its_days_and_its_manifest_longer(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        old = await until(replays, replays.submit(arguments), "done")
        replays.directory(old.id).write(old.model_copy(update={"created": old.created - timedelta(days=8)}))
        young = await until(replays, replays.submit(arguments), "done")
    async with running(settings, monkeypatch) as replays:
        assert "days are over" in ((await until(replays, old, "gone")).reason or "")
        assert replays.directory(old.id).manifest() is not None
        assert not replays.directory(old.id).rows_path.exists()
        assert replays.get(young.id) == young


async def test_the_oldest_make_room_for_the_others(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def large(settings: Settings, folder: JobDirectory, progress: Any) -> str | None:
        written(folder, size=1000)
        return None

    bounded = settings.model_copy(update={"replay_gib": 3000 / 2**30})
    async with running(bounded, monkeypatch, large) as replays:
        made = [await until(replays, replays.submit(arguments), "done", "gone") for _ in range(3)]
        await until(replays, made[0], "gone")
        assert [replays.get(job.id).state for job in made[1:]] == ["done"] * 2  # type: ignore[union-attr]


async def test_rows_that_an_erasure_has_taken_are_said_to_be_gone(
    settings: Settings, arguments: ReplayQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        job = await until(replays, replays.submit(arguments), "done")
        dataset.delete_dataset(replays.directory(job.id).dataset.as_uri())
        gone = replays.get(job.id)
        assert gone is not None
        assert (gone.state, "erased" in (gone.reason or "")) == ("gone", True)
