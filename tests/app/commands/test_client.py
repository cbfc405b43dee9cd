"""Commands that use both the broker and the API check that these belong to one platform."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError
from typer.testing import CliRunner

from app.cli import cli
from app.commands import client
from app.errors import SetupError
from app.events import topics
from app.kafka import topic_ids
from app.settings import Settings

HERE, ELSEWHERE = "cluster/topic", "cluster/other topic"
PREDICTION = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of an API whose log is `HERE`."""
    made: list[str] = []

    def call_api(method: str, path: str, body: object = None) -> Any:
        made.append(f"{method} {path}")
        return {"id": HERE}

    monkeypatch.setattr(client, "call_api", call_api)
    return made


def set_broker_log(monkeypatch: pytest.MonkeyPatch, log_id: str | None) -> None:
    async def fetch(settings: Settings, names: Iterable[str]) -> dict[str, str]:
        if log_id is None:
            raise UnknownTopicOrPartitionError("topic 'lifecycle'")
        return {topics.LIFECYCLE: log_id}

    monkeypatch.setattr(topic_ids, "fetch_topic_ids", fetch)


def test_one_log_is_accepted(monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    set_broker_log(monkeypatch, HERE)
    client.check_same_log()


@pytest.mark.parametrize("log_id", [ELSEWHERE, None])
@pytest.mark.parametrize("words", [["retrain", "ocr", "--no-wait"], ["feedback", PREDICTION, "--accepted"]])
def test_the_api_of_another_platform_is_not_acted_on(
    monkeypatch: pytest.MonkeyPatch, calls: list[str], words: list[str], log_id: str | None
) -> None:
    set_broker_log(monkeypatch, log_id)
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, SetupError)
    assert "has another log than the broker" in result.exception.message
    assert "HINDSIGHT_KAFKA_BOOTSTRAP" in result.exception.remedy
    assert calls == ["GET /v1/log"]


def test_a_key_that_may_not_read_the_log_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(method: str, path: str, body: object = None) -> Any:
        raise client.ApiRefusal("the scope read is needed", 403)

    monkeypatch.setattr(client, "call_api", refuse)
    client.check_same_log()
