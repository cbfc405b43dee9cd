"""A replay job, and its directory: the job's state, its dataset and its log."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.replay import dataset

JobState = Literal["waiting", "running", "done", "failed", "interrupted", "gone"]
"""`interrupted`: the API's process ended meanwhile, and the job may be submitted again. `gone`: only the rows are
deleted, because they expired, made room for others, were removed by hand, or contained erased data.
"""

JOB_FILE, DATASET_DIRECTORY, LOG_FILE = "job.json", "dataset", "log.txt"


class ReplayJob(BaseModel):
    """The arguments and the state of a job."""

    model_config = ConfigDict(frozen=True)

    id: str
    task: str
    since: datetime | None
    until: datetime | None
    as_of: datetime
    content: str
    created: datetime
    state: JobState = "waiting"
    reason: str | None = None
    """The reason why it failed or is gone."""
    ended: datetime | None = None

    def with_state(self, state: JobState, reason: str | None = None) -> "ReplayJob":
        """Return the job in another state."""
        ended = self.ended or (None if state in ("waiting", "running") else datetime.now(UTC))
        return self.model_copy(update={"state": state, "reason": reason, "ended": ended})


class JobDirectory:
    """The directory of a job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dataset = path / DATASET_DIRECTORY
        self.log = path / LOG_FILE

    def read(self) -> ReplayJob | None:
        """Return the job; None if there is no readable one."""
        try:
            return ReplayJob.model_validate_json((self.path / JOB_FILE).read_text())
        except (OSError, ValueError):
            return None

    def write(self, job: ReplayJob) -> None:
        """Write the job atomically."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f"{JOB_FILE}.partial"
        partial.write_text(job.model_dump_json())
        partial.replace(self.path / JOB_FILE)

    @property
    def rows_path(self) -> Path:
        """Return the path of the dataset's rows, whether they exist or not."""
        return self.dataset / dataset.ROWS_FILE

    @property
    def download_files(self) -> list[Path]:
        """Return the files that are downloaded."""
        return [self.rows_path, self.dataset / dataset.MANIFEST_FILE]

    def delete_partial(self) -> None:
        """Delete the partial dataset of a killed process."""
        shutil.rmtree(self.dataset.with_name(f".{self.dataset.name}.partial"), ignore_errors=True)

    def manifest(self) -> dict[str, Any] | None:
        """Return the dataset's manifest; None if there is none."""
        try:
            manifest: dict[str, Any] = json.loads((self.dataset / dataset.MANIFEST_FILE).read_text())
        except (OSError, ValueError):
            return None
        return manifest

    def size_bytes(self) -> int:
        """Return the size of all files in bytes; it may be called while they are written."""
        size = 0
        for path in self.path.rglob("*"):
            try:
                size += path.stat().st_size if path.is_file() else 0
            except OSError:  # deleted meanwhile
                continue
        return size
