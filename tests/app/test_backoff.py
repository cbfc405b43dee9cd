import logging
from itertools import islice

import pytest

from app import backoff
from app.errors import Unavailable

log = logging.getLogger(__name__)


def test_waits_double_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_MIN_BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(backoff, "_MAX_BACKOFF_SECONDS", 0.5)
    assert list(islice(backoff.backoff(), 5)) == [0.1, 0.2, 0.4, 0.5, 0.5]


@pytest.mark.usefixtures("impatient")
async def test_retry_logs_each_of_the_errors_and_returns_the_first_result(caplog: pytest.LogCaptureFixture) -> None:
    errors = [OSError("down"), Unavailable("away")]

    async def attempt() -> str:
        if errors:
            raise errors.pop(0)
        return "result"

    with caplog.at_level(logging.WARNING):
        assert await backoff.retry(attempt, (OSError, Unavailable), log, "events wait") == "result"
    messages = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert messages == ["events wait, retrying in 0.0 s: down", "events wait, retrying in 0.0 s: away"]


async def test_retry_raises_other_errors() -> None:
    async def attempt() -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        await backoff.retry(attempt, (OSError,), log, "events wait")
