"""`/v1/replays`: build datasets from the log in the background and download them as zip files."""

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
from app.replay.jobs.queue import ReplayQueue, ReplayQueueFull
from app.replay.jobs.replay_job import JobState, ReplayJob
from app.replay.query import ReplayQuery
from app.settings import Settings
from models.base import Task

RETRY_AFTER = "30"
MAX_LISTED = 100
NOT_FOUND_RESPONSES: dict[int | str, dict[str, Any]] = {
    **AUTH_RESPONSES,
    404: {"description": "There is no such replay, or no such task."},
}
BEGIN_RESPONSES: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND_RESPONSES,
    422: {"description": "The arguments are not valid; see the reason."},
    429: {"description": "Too many replays are waiting: try again after Retry-After."},
}
DOWNLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND_RESPONSES,
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
    409: {"description": "The replay is not done, or its rows are gone; see the reason."},
}
_OPTION = re.compile(r"--[a-z-]+")

TimestampText = Annotated[str, Field(max_length=40, examples=["2026-01-31T12:00:00Z"])]


@dataclass(config=ConfigDict(extra="forbid"))  # FastAPI would warn of the aliases of a BaseModel
class ReplayRequest:
    """The arguments of `hindsight replay`. Times are in RFC 3339, or dates."""

    task: Annotated[str, Field(max_length=100, examples=["ocr"])]
    since: Annotated[
        TimestampText | None, Field(alias="from", description="Requests from this time on (`ce_time`).")
    ] = None
    until: Annotated[TimestampText | None, Field(alias="to", description="Requests before this time (`ce_time`).")] = (
        None
    )
    as_of: Annotated[TimestampText | None, Field(description="Only records logged by then; null is now.")] = None
    content: Annotated[str, Field(max_length=20, description="features, payload or nothing")] = "features"


class ReplayProgress(BaseModel):
    """The current activity, the amount done, and the total if that is known."""

    doing: str
    done: int
    of: int | None


class ReplayResponse(BaseModel):
    """A replay: its arguments, progress and result."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    task: str
    since: Annotated[datetime | None, Field(alias="from")]
    until: Annotated[datetime | None, Field(alias="to")]
    as_of: datetime
    content: str
    created: datetime
    ended: datetime | None
    state: Annotated[JobState, Field(description="`gone`: the rows were removed; see `reason`.")]
    reason: str | None
    progress: ReplayProgress | None
    rows: int | None
    splits: dict[str, int] | None
    """Rows of each split."""
    counts: dict[str, Any] | None
    """Records of each topic that are in rows, skipped, and rejected, by reason."""
    content_hash: str | None
    bytes: int | None
    """Size of the dataset."""
    kept_until: datetime | None
    """When the rows are removed, unless the disk space is needed earlier."""


class ReplaysResponse(BaseModel):
    """The replays that this process knows, newest first."""

    replays: list[ReplayResponse]


def router(settings: Settings, tasks: Mapping[str, Task], replays: ReplayQueue) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["replays"])

    def describe(job: ReplayJob) -> ReplayResponse:
        return _replay_response(job, replays, settings.replay_retention_days)

    @routes.post("/v1/replays", status_code=202, dependencies=REQUIRE_OPERATE, responses=BEGIN_RESPONSES)
    async def begin_replay(body: ReplayRequest) -> ReplayResponse:
        """Queue a replay, which gives the same dataset as `hindsight replay`."""
        require_task(tasks, body.task)
        try:
            job = replays.submit(ReplayQuery.from_options(settings, **asdict(body)))
        except SetupError as error:
            raise HTTPException(422, _OPTION.sub(_field_name, error.one_line)) from None
        except ReplayQueueFull as error:
            raise HTTPException(429, str(error), {"Retry-After": RETRY_AFTER}) from None
        except OSError as error:
            raise HTTPException(507, f"the state directory can't be written: {error}") from None
        return describe(job)

    @routes.get("/v1/replays", dependencies=REQUIRE_READ, responses=AUTH_RESPONSES)
    async def list_replays() -> ReplaysResponse:
        """Return the newest hundred replays."""
        newest = replays.list_jobs()[:MAX_LISTED]
        return ReplaysResponse(replays=await asyncio.to_thread(lambda: [describe(job) for job in newest]))

    @routes.get("/v1/replays/{replay_id}", dependencies=REQUIRE_READ, responses=NOT_FOUND_RESPONSES)
    async def read_replay(replay_id: str) -> ReplayResponse:
        """Return the progress and the result of a replay."""
        return await asyncio.to_thread(describe, _require_job(replays, replay_id))

    @routes.get(
        "/v1/replays/{replay_id}/download",
        dependencies=REQUIRE_READ,
        response_class=StreamingResponse,
        responses=DOWNLOAD_RESPONSES,
    )
    async def download_replay(replay_id: str) -> StreamingResponse:
        """Return a zip of the rows, in Parquet, and the manifest."""
        job = _require_job(replays, replay_id)
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
        """Stop a replay if it is running, and remove its rows."""
        job = _require_job(replays, replay_id)
        with http_errors():
            await replays.remove(job.id)
        return describe(_require_job(replays, replay_id))

    return routes


def _require_job(replays: ReplayQueue, replay_id: str) -> ReplayJob:
    if (job := replays.get(replay_id)) is None:
        raise HTTPException(404, f"there is no replay {replay_id!r}")
    return job


def _replay_response(job: ReplayJob, replays: ReplayQueue, replay_days: float) -> ReplayResponse:
    directory = replays.directory(job.id)
    manifest: dict[str, Any] = (directory.manifest() if job.state in ("done", "gone") else None) or {}
    progress = replays.progress.get(job.id)
    return ReplayResponse(
        **job.model_dump(),
        progress=ReplayProgress.model_validate(progress) if progress else None,
        rows=manifest.get("rows"),
        splits=manifest.get("splits"),
        counts=manifest.get("counts"),
        content_hash=manifest.get("content_hash"),
        bytes=sum(path.stat().st_size for path in directory.download_files) if job.state == "done" else None,
        kept_until=job.created + timedelta(days=replay_days) if job.state == "done" else None,
    )


def _field_name(option: "re.Match[str]") -> str:
    """Return the body's name of a command's option."""
    return option[0].removeprefix("--").replace("-", "_")
