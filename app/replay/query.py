"""The arguments of a replay. Equal arguments over the same log always make the same dataset."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, get_args

from app.errors import SetupError
from app.settings import Settings, TaskSettings
from app.tasks import load_task
from models.base import Task

Content = Literal["features", "payload", "nothing"]
_DAYS_AGO = {"today": 0, "yesterday": 1}
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_AGO = re.compile(rf"-([0-9]{{1,9}})([{''.join(_UNITS)}])")
_CONTENTS: dict[str, Content] = {content: content for content in get_args(Content)}


@dataclass(frozen=True)
class ReplayQuery:
    """The selection of requests, and the content of the dataset.

    `since` and `until` bound the requests' `ce_time`, the latter exclusively; `as_of` bounds the log append time.
    `where` is an SQL condition on the columns of a row.
    """

    task: Task
    task_settings: TaskSettings
    as_of: datetime
    since: datetime | None = None
    until: datetime | None = None
    where: str | None = None
    content: Content = "features"

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        if self.as_of > now:
            raise SetupError(
                f"--as-of {self.as_of.isoformat()} is in the future.",
                f"Name a time before {now.isoformat(timespec='seconds')}, or leave it out for now.",
            )
        if self.since and self.until and self.since >= self.until:
            raise SetupError("--from is not before --to: the range is empty.", "Exchange them.")

    @classmethod
    def from_options(
        cls,
        settings: Settings,
        task: str,
        *,
        since: str | None = None,
        until: str | None = None,
        as_of: str | None = None,
        where: str | None = None,
        content: str = "features",
    ) -> Self:
        """Return the query of a person's options: times as `parse_time` reads them, `as_of` defaults to now."""
        loaded_task = load_task(settings, task)
        if content not in _CONTENTS:
            raise SetupError(f"--content {content!r} is not known.", f"Name one of: {', '.join(_CONTENTS)}.")
        return cls(
            task=loaded_task,
            task_settings=settings.for_task(task),
            as_of=parse_time(as_of, "--as-of") if as_of else datetime.now(UTC),
            since=parse_time(since, "--from") if since else None,
            until=parse_time(until, "--to") if until else None,
            where=where,
            content=_CONTENTS[content],
        )

    def to_manifest(self, erasures: int) -> dict[str, Any]:
        """Return all arguments that decide the content of the dataset, for its manifest.

        `erasures` is the number of erasures in the log: erased data is gone from every dataset, whatever its `as_of`.
        """
        other_arguments = {"audit_rate", "correction_memory", "execution_providers", "max_wait_seconds", "retraining"}
        if not self.task_settings.rewards:
            other_arguments.add("rewards")  # as in the manifests of older releases
        return {
            "task": self.task.name,
            "from": _isoformat(self.since),
            "to": _isoformat(self.until),
            "as_of": _isoformat(self.as_of),
            "where": self.where,
            "content": self.content,
            "preprocess_version": self.task.preprocess_version,
            "rules": self.task_settings.model_dump(mode="json", by_alias=True, exclude=other_arguments),
            "erasures": erasures,
        }


def parse_time(text: str, option: str, now: datetime | None = None) -> datetime:
    """Return a time from RFC 3339 or a date, in UTC if it has no time zone, or relative to `now`, the clock by default.

    Relative times are `-1d` (also w, h, m, s), and `today` and `yesterday`, which are midnight in UTC. Raises
    `SetupError`.
    """
    now = now or datetime.now(UTC)
    try:
        if text in _DAYS_AGO:
            return datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(_DAYS_AGO[text])
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: in UTC the year is not from 1 to 9999
        raise SetupError(
            f"{option} {text!r} is not a valid time.",
            "Write 2026-01-31, 2026-01-31T12:00:00Z, today, yesterday or -1d (also w, h, m, s).",
        ) from None


def _isoformat(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()
