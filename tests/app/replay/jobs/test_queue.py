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
from app.replay.jobs.job import Folder, Job
from app.replay.jobs.queue import MOST_WAITING, Busy, Replays
from app.replay.query import Arguments
from app.settings import Settings

Make = Callable[..., Awaitable[str | None]]


@pytest.fixture
def settings(brokerless: Settings, tmp_path: Any) -> Settings:
    return brokerless.model_copy(update={"home": tmp_path})


@pytest.fixture
def arguments(settings: Settings) -> Arguments:
    return Arguments.of(settings, "ocr")


def written(folder: Folder, size: int = 10) -> None:
    folder.dataset.mkdir()
    folder.rows.write_bytes(bytes(size))
    (folder.dataset / "manifest.json").write_text(json.dumps({"rows": 1}))


async def at_once(settings: Settings, folder: Folder, progress: Any) -> str | None:
    written(folder)
    return None


async def never(settings: Settings, folder: Folder, progress: Any) -> str | None:
    folder.dataset.with_name(".dataset.partial").mkdir()
    progress({"doing": "Joining the log", "done": 1, "of": 2})
    await asyncio.Event().wait()
    return None


@asynccontextmanager
async def running(settings: Settings, monkeypatch: pytest.MonkeyPatch, make: Make = at_once) -> AsyncIterator[Replays]:
    """The replays as an API's process has them, from its start to its end."""
    monkeypatch.setattr(module, "run_job_process", make)
    replays = Replays(settings)
    replays.recover()
    loop = asyncio.create_task(replays.run())
    try:
        yield replays
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def until(replays: Replays, job: Job, *states: str) -> Job:
    async with asyncio.timeout(10):
        while (found := replays.get(job.id)) is None or found.state not in states:
            await asyncio.sleep(0.01)
    return found


async def test_a_replay_waits_runs_and_is_there(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        job = replays.begin(arguments)
        assert (job.state, job.task, job.as_of, job.ended) == ("waiting", "ocr", arguments.as_of, None)
        done = await until(replays, job, "done")
        assert done.ended is not None
        assert all(path.exists() for path in replays.folder(job.id).files)


async def test_what_goes_wrong_is_said(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> str | None:
        return "the archive is damaged"

    async def impossible(*_: Any) -> str | None:
        raise OSError("no more processes")

    for make, reason in ((refused, "the archive is damaged"), (impossible, "no more processes")):
        async with running(settings, monkeypatch, make) as replays:
            assert (await until(replays, replays.begin(arguments), "failed")).reason == reason
            monkeypatch.setattr(module, "run_job_process", at_once)
            await until(replays, replays.begin(arguments), "done")  # and the next one has its turn


async def test_one_at_a_time_and_no_more_wait_than_may(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch, never) as replays:
        first = replays.begin(arguments)
        await until(replays, first, "running")
        waiting = [replays.begin(arguments) for _ in range(MOST_WAITING)]
        with pytest.raises(Busy):
            replays.begin(arguments)
        await replays.remove(waiting[0].id)
        replays.begin(arguments)
        assert [job.state for job in replays.all()].count("running") == 1


async def test_what_the_end_of_the_process_ended_is_interrupted_and_what_was_done_is_kept(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        done = await until(replays, replays.begin(arguments), "done")
        monkeypatch.setattr(module, "run_job_process", never)
        ran, waited = replays.begin(arguments), replays.begin(arguments)
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
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch, never) as replays:
        job = await until(replays, replays.begin(arguments), "running")
        monkeypatch.setattr(module, "run_job_process", at_once)
        await replays.remove(job.id)
        assert (await until(replays, job, "gone")).reason == "it was removed by hand"
        await until(replays, replays.begin(arguments), "done")
        assert not list(settings.home.rglob("*.partial"))


async def test_a_replay_is_kept_its_days_and_its_manifest_longer(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        old = await until(replays, replays.begin(arguments), "done")
        replays.folder(old.id).write(old.model_copy(update={"created": old.created - timedelta(days=8)}))
        young = await until(replays, replays.begin(arguments), "done")
    async with running(settings, monkeypatch) as replays:
        assert "days are over" in ((await until(replays, old, "gone")).reason or "")
        assert replays.folder(old.id).manifest() is not None
        assert not replays.folder(old.id).rows.exists()
        assert replays.get(young.id) == young


async def test_the_oldest_make_room_for_the_others(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def large(settings: Settings, folder: Folder, progress: Any) -> str | None:
        written(folder, size=1000)
        return None

    bounded = settings.model_copy(update={"replay_gib": 3000 / 2**30})
    async with running(bounded, monkeypatch, large) as replays:
        made = [await until(replays, replays.begin(arguments), "done", "gone") for _ in range(3)]
        await until(replays, made[0], "gone")
        assert [replays.get(job.id).state for job in made[1:]] == ["done"] * 2  # type: ignore[union-attr]


async def test_rows_that_an_erasure_has_taken_are_said_to_be_gone(
    settings: Settings, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, monkeypatch) as replays:
        job = await until(replays, replays.begin(arguments), "done")
        dataset.delete_dataset(replays.folder(job.id).dataset.as_uri())
        gone = replays.get(job.id)
        assert gone is not None
        assert (gone.state, "erased" in (gone.reason or "")) == ("gone", True)
