"""`/v1/replays`: datasets of the log, made beside what serves, and fetched as a zip."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from app.api.errors import http_errors, require_task
from app.auth.scopes import AUTH_RESPONSES, REQUIRE_OPERATE, REQUIRE_READ
from app.errors import SetupError
from app.replay.jobs.download import stream_zip
from app.replay.jobs.job import JobState, ReplayJob
from app.replay.jobs.queue import ReplayQueue, ReplayQueueFull
from app.replay.query import ReplayQuery
from app.settings import Settings
from models.base import Task

RETRY_AFTER = "30"
MAX_LISTED = 100
NOT_FOUND_RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    404: {"description": "There is no such replay, or no such task."},
}
_OPTION = re.compile(r"--[a-z-]+")

TimestampText = Annotated[str, Field(max_length=40, examples=["2026-01-31T12:00:00Z"])]


@dataclass(config=ConfigDict(extra="forbid"))  # of a BaseModel FastAPI would take the aliases for a mistake, and warn
class ReplayRequest:
    """What is asked for, as by `hindsight replay`: times in RFC 3339, or dates."""

    task: Annotated[str, Field(max_length=100, examples=["ocr"])]
    since: Annotated[
        TimestampText | None, Field(alias="from", description="Requests from this time on (`ce_time`).")
    ] = None
    until: Annotated[TimestampText | None, Field(alias="to", description="Requests before this time (`ce_time`).")] = (
        None
    )
    as_of: Annotated[TimestampText | None, Field(description="Only what was in the log by then; null is now.")] = None
    content: Annotated[str, Field(max_length=20, description="features, payload or nothing.")] = "features"


class ReplayProgress(BaseModel):
    """What is being done, how much of it is done, and of how much, where that is known."""

    doing: str
    done: int
    of: int | None


class ReplayResponse(BaseModel):
    """A replay: what was asked for, how far it is, and what came of it."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    task: str
    since: Annotated[datetime | None, Field(alias="from")]
    until: Annotated[datetime | None, Field(alias="to")]
    as_of: datetime
    content: str
    created: datetime
    ended: datetime | None
    state: Annotated[JobState, Field(description="Of what is `gone` the rows were removed; `reason` says why.")]
    reason: str | None
    progress: ReplayProgress | None
    rows: int | None
    splits: dict[str, int] | None
    """Rows of each split."""
    counts: dict[str, Any] | None
    """What became of the records of each topic: those in rows, skipped and rejected, by reason."""
    content_hash: str | None
    bytes: int | None
    """Of the dataset."""
    kept_until: datetime | None
    """When it is removed, unless room is needed before."""


class ReplaysResponse(BaseModel):
    """The replays that are known to this process, the newest first."""

    replays: list[ReplayResponse]


def router(settings: Settings, tasks: Mapping[str, Task], replays: ReplayQueue) -> APIRouter:
    """The routes, to these replays."""
    routes = APIRouter(tags=["replays"])

    def found(replay_id: str) -> ReplayJob:
        if (job := replays.get(replay_id)) is None:
            raise HTTPException(404, f"there is no replay {replay_id!r}")
        return job

    def described(job: ReplayJob) -> ReplayResponse:
        folder = replays.directory(job.id)
        manifest = folder.manifest() if job.state in ("done", "gone") else None
        said: dict[str, Any] = manifest or {}
        return ReplayResponse(
            **job.model_dump(),
            progress=ReplayProgress.model_validate(at) if (at := replays.progress.get(job.id)) else None,
            rows=said.get("rows"),
            splits=said.get("splits"),
            counts=said.get("counts"),
            content_hash=said.get("content_hash"),
            bytes=sum(path.stat().st_size for path in folder.download_files) if job.state == "done" else None,
            kept_until=job.created + timedelta(days=settings.replay_retention_days) if job.state == "done" else None,
        )

    @routes.post(
        "/v1/replays",
        status_code=202,
        dependencies=REQUIRE_OPERATE,
        responses={
            **NOT_FOUND_RESPONSES,
            422: {"description": "The arguments are wrong; the reason says how."},
            429: {"description": "Too many replays wait: try again after Retry-After."},
        },
    )
    async def begin_replay(wanted: ReplayRequest) -> ReplayResponse:
        """Takes a replay on: it is made when those before it are, and is the same as by `hindsight replay`."""
        require_task(tasks, wanted.task)
        try:
            job = replays.submit(ReplayQuery.from_options(settings, **asdict(wanted)))
        except SetupError as error:
            raise HTTPException(422, _OPTION.sub(_field_name, error.one_line)) from None
        except ReplayQueueFull as error:
            raise HTTPException(429, str(error), {"Retry-After": RETRY_AFTER}) from None
        except OSError as error:
            raise HTTPException(507, f"the state directory can't be written: {error}") from None
        return described(job)

    @routes.get("/v1/replays", dependencies=REQUIRE_READ, responses=AUTH_RESPONSES)
    async def list_replays() -> ReplaysResponse:
        """The newest hundred."""
        newest = replays.list_jobs()[:MAX_LISTED]
        return ReplaysResponse(replays=await asyncio.to_thread(lambda: [described(job) for job in newest]))

    @routes.get("/v1/replays/{replay_id}", dependencies=REQUIRE_READ, responses=NOT_FOUND_RESPONSES)
    async def read_replay(replay_id: str) -> ReplayResponse:
        """How far it is, and what came of it."""
        job = found(replay_id)
        return await asyncio.to_thread(described, job)

    @routes.get(
        "/v1/replays/{replay_id}/download",
        dependencies=REQUIRE_READ,
        response_class=StreamingResponse,
        responses={
            **NOT_FOUND_RESPONSES,
            200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
            409: {"description": "It is not done, or its rows are gone; the reason says which."},
        },
    )
    async def download_replay(replay_id: str) -> StreamingResponse:
        """The rows, in Parquet, and the manifest, as a zip."""
        job = found(replay_id)
        if job.state != "done":
            raise HTTPException(409, f"the replay is {job.state}" + (f": {job.reason}" if job.reason else ""))
        name = f"{job.task}-{job.id}"
        return StreamingResponse(
            stream_zip(name, replays.directory(job.id).download_files),
            media_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{name}.zip"', "Cache-Control": "no-store"},
        )

    @routes.delete("/v1/replays/{replay_id}", dependencies=REQUIRE_OPERATE, responses=NOT_FOUND_RESPONSES)
    async def remove_replay(replay_id: str) -> ReplayResponse:
        """Ends it if it runs, and removes its rows."""
        job = found(replay_id)
        with http_errors():
            await replays.remove(job.id)
        return described(found(replay_id))

    return routes


def _field_name(option: "re.Match[str]") -> str:
    """An option of the command, as the body names it."""
    return option[0].removeprefix("--").replace("-", "_")
