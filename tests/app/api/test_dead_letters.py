import json
import uuid
from typing import Any

import httpx
import pytest

from app.embedded.api_readiness import api_url
from app.events import topics
from app.events.answers import build_dead_letter
from app.events.cloudevents import Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.types import Failure
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish

PATH = "/v1/dead-letters"
FEEDBACK = topics.feedback("letters")


def dead_letter(topic: str, stage: str, value: bytes) -> tuple[str, OutgoingRecord]:
    """Return the id and the record of a dead letter whose original was never published."""
    event = str(uuid.uuid4())
    origin = Origin(TopicId(event), topic, 0, 7, 0)
    failure = Failure(stage=stage, code="bad", reason="it is bad")
    letter_id, record = build_dead_letter(Record(topic, b"key", value, ()), origin, failure, ("shop", event))
    return letter_id, OutgoingRecord(record.value, record.key, record.headers)


async def test_a_dead_letter_is_listed_read_and_redelivered_once(platform: Settings) -> None:
    stage = str(uuid.uuid4())
    prediction = prediction_id("letters", "shop", stage)
    bodies = [json.dumps({"prediction_id": prediction, "reward": reward, "actor": "ada"}) for reward in (0.1, 0.2, 0.3)]
    letters = [dead_letter(FEEDBACK, stage, body.encode()) for body in bodies]
    await publish(platform, topics.DEAD_LETTERS, [record for _, record in letters])
    first, second, third = [letter_id for letter_id, _ in letters]
    async with (
        httpx.AsyncClient(base_url=api_url(platform), trust_env=False, timeout=30) as http,
        open_topic_reader(platform, FEEDBACK) as feedback,
    ):

        async def page(**filters: Any) -> dict[str, Any]:
            body: dict[str, Any] = (await http.get(PATH, params={"stage": stage, "limit": 2, **filters})).json()
            return body

        newest = await page()
        assert [letter["id"] for letter in newest["dead_letters"]] == [third, second]
        oldest = await page(before=newest["next"])
        assert ([letter["id"] for letter in oldest["dead_letters"]], oldest["next"]) == ([first], None)
        assert (await page(task="sonar"))["dead_letters"] == []

        letter = (await http.get(f"{PATH}/{second}")).json()
        assert (letter["topic"], letter["key"], letter["payload"]) == (FEEDBACK, "key", bodies[1])
        assert letter["replayed"] == 0
        payload = await http.get(f"{PATH}/{second}/payload")
        assert (payload.text, payload.headers["content-type"]) == (bodies[1], "application/octet-stream")
        assert payload.headers["content-disposition"].startswith("attachment")

        redelivery = (await http.post(f"{PATH}/{second}:replay")).json()
        # Feedback on one prediction keeps its order.
        assert redelivery == {"dead_letters": [first, second], "refused": {}}
        redelivered = await feedback.read_until(lambda records: len(records) >= 2)
        assert [header_text(record, "ce_replayof") for record in redelivered] == [first, second]
        refused = await http.post(f"{PATH}/{second}:replay")
        assert (refused.status_code, "was redelivered before" in refused.json()["detail"]) == (409, True)
        assert (await http.post(f"{PATH}/{second}:replay?again=true")).json()["dead_letters"] == [second]
        assert [letter["replayed"] for letter in (await page())["dead_letters"]] == [0, 2]


async def test_a_dead_letter_without_a_topic_is_refused_and_an_unknown_one_is_not_found(platform: Settings) -> None:
    letter_id, record = dead_letter("chess.requests", "preprocess", b"e4")
    await publish(platform, topics.DEAD_LETTERS, [record])
    unknown = str(uuid.uuid4())
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False, timeout=30) as http:
        refused = await http.post(f"{PATH}/{letter_id}:replay")
        assert (refused.status_code, "chess.requests" in refused.json()["detail"]) == (409, True)
        for method, path in (("GET", unknown), ("GET", f"{unknown}/payload"), ("POST", f"{unknown}:replay")):
            response = await http.request(method, f"{PATH}/{path}")
            assert (response.status_code, response.json()) == (404, {"detail": f"there is no dead letter {unknown!r}"})
        assert (await http.get(PATH, params={"before": unknown})).status_code == 404


async def test_without_a_broker_dead_letters_are_unavailable(http: httpx.AsyncClient) -> None:
    assert (await http.get(PATH)).status_code == 503


@pytest.mark.parametrize("filters", [{"limit": 1000}, {"since": "yesterday"}, {"since": "2026-01-31T12:00:00"}])
async def test_invalid_filters_are_refused(http: httpx.AsyncClient, filters: dict[str, Any]) -> None:
    response = await http.get(PATH, params=filters)
    assert response.status_code == 422
    assert next(iter(filters)) in response.json()["detail"], json.dumps(response.json())
