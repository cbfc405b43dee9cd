"""What a replay is asked for. The same arguments over the same log make the same dataset, for ever."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self, get_args

from app.errors import SetupError
from app.settings import Settings, TaskSettings
from app.tasks import load_task
from models.base import Task

Content = Literal["features", "payload", "nothing"]
_CONTENTS: dict[str, Content] = {content: content for content in get_args(Content)}


@dataclass(frozen=True)
class ReplayQuery:
    """`since` and `until` bound the requests' `ce_time`, the latter exclusively; `as_of` bounds the log append time.

    `where` is a condition in SQL on the columns of a row. `erasures` counts those that the log knows of: what they
    erased is gone from every dataset, whatever its `as_of`.
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
                f"--as-of {self.as_of.isoformat()} has not come yet: what will be known then, nobody knows.",
                f"Name a moment before {now.isoformat(timespec='seconds')}, or leave it out for now.",
            )
        if self.since and self.until and self.since >= self.until:
            raise SetupError("--from is not before --to: there is nothing in between.", "Exchange them.")

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
        """The arguments as a person writes them: times as `moment` reads them, `as_of` by default now."""
        found = load_task(settings, task)
        if content not in _CONTENTS:
            raise SetupError(f"--content {content!r} is not known.", f"Name one of: {', '.join(_CONTENTS)}.")
        return cls(
            task=found,
            task_settings=settings.for_task(task),
            as_of=parse_time(as_of, "--as-of") if as_of else datetime.now(UTC),
            since=parse_time(since, "--from") if since else None,
            until=parse_time(until, "--to") if until else None,
            where=where,
            content=_CONTENTS[content],
        )

    def to_manifest(self, erasures: int) -> dict[str, Any]:
        """All that decides what is in the dataset, for its manifest."""
        return {
            "task": self.task.name,
            "from": _isoformat(self.since),
            "to": _isoformat(self.until),
            "as_of": _isoformat(self.as_of),
            "where": self.where,
            "content": self.content,
            "preprocess_version": self.task.preprocess_version,
            "rules": self.task_settings.model_dump(mode="json", by_alias=True, exclude={"audit_rate", "retraining"}),
            "erasures": erasures,
        }


def parse_time(text: str, option: str) -> datetime:
    """A time as a person writes it: RFC 3339, or a date; without a zone, UTC. Raises `SetupError`."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter of a zone that leads out of the years 1 to 9999
        raise SetupError(f"{option} {text!r} is no time.", "Write 2026-01-31 or 2026-01-31T12:00:00Z.") from None


def _isoformat(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()
