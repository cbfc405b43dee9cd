"""A replay that was asked for, and the directory in which it is kept: what is known of it, its dataset, its log."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.replay import dataset

JobState = Literal["waiting", "running", "done", "failed", "interrupted", "gone"]
"""`interrupted` is what the end of the API's process ended: it may be asked for again. Of what is `gone` only the rows
are: removed after its days, for others' sake, by hand, or because a person's data was erased."""

JOB_FILE, DATASET_DIRECTORY, LOG_FILE = "job.json", "dataset", "log.txt"


class ReplayJob(BaseModel):
    """What is asked for, and what became of it."""

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
    """Why it failed or is gone."""
    ended: datetime | None = None

    def with_state(self, state: JobState, reason: str | None = None) -> "ReplayJob":
        """The same, in another state."""
        ended = self.ended or (None if state in ("waiting", "running") else datetime.now(UTC))
        return self.model_copy(update={"state": state, "reason": reason, "ended": ended})


class JobDirectory:
    """The directory of a replay."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dataset = path / DATASET_DIRECTORY
        self.log = path / LOG_FILE

    def read(self) -> ReplayJob | None:
        """The job; None where there is none that can be read."""
        try:
            return ReplayJob.model_validate_json((self.path / JOB_FILE).read_text())
        except (OSError, ValueError):
            return None

    def write(self, job: ReplayJob) -> None:
        """Keep the job: whole, or as it was before."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f"{JOB_FILE}.partial"
        partial.write_text(job.model_dump_json())
        partial.replace(self.path / JOB_FILE)

    @property
    def rows_path(self) -> Path:
        """The dataset's rows, if they are there."""
        return self.dataset / dataset.ROWS_FILE

    @property
    def download_files(self) -> list[Path]:
        """What is downloaded of a replay that is done."""
        return [self.rows_path, self.dataset / dataset.MANIFEST_FILE]

    def delete_partial(self) -> None:
        """Remove what a replay that was killed has left."""
        shutil.rmtree(self.dataset.with_name(f".{self.dataset.name}.partial"), ignore_errors=True)

    def manifest(self) -> dict[str, Any] | None:
        """The dataset's manifest; None without one."""
        try:
            found: dict[str, Any] = json.loads((self.dataset / dataset.MANIFEST_FILE).read_text())
        except (OSError, ValueError):
            return None
        return found

    def size_bytes(self) -> int:
        """Bytes of all that is in it, while it is written as well."""
        sizes = 0
        for path in self.path.rglob("*"):
            try:
                sizes += path.stat().st_size if path.is_file() else 0
            except OSError:  # it is gone already
                continue
        return sizes
