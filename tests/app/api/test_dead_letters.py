import json
import uuid
from typing import Any

import httpx
import pytest

from app.embedded.readiness import api_url
from app.events import topics
from app.events.answers import build_dead_letter
from app.events.cloudevents import Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.types import Failure
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish

PATH = "/v1/dead-letters"
FEEDBACK = topics.feedback("letters")


def rejected(topic: str, stage: str, value: bytes) -> tuple[str, OutgoingRecord]:
    """A dead letter of a record that never was, and its id."""
    event = str(uuid.uuid4())
    origin = Origin(TopicId(event), topic, 0, 7, 0)
    failure = Failure(stage=stage, code="bad", reason="it is bad")
    letter_id, made = build_dead_letter(Record(topic, b"key", value, ()), origin, failure, ("shop", event))
    return letter_id, OutgoingRecord(made.value, made.key, made.headers)


async def test_a_dead_letter_is_listed_looked_at_and_goes_back_once(platform: Settings) -> None:
    stage = str(uuid.uuid4())
    about = prediction_id("letters", "shop", stage)
    said = [json.dumps({"prediction_id": about, "reward": reward, "actor": "ada"}) for reward in (0.1, 0.2, 0.3)]
    made = [rejected(FEEDBACK, stage, one.encode()) for one in said]
    await publish(platform, topics.DEAD_LETTERS, [sent for _, sent in made])
    first, second, third = [letter_id for letter_id, _ in made]
    async with (
        httpx.AsyncClient(base_url=api_url(platform), trust_env=False, timeout=30) as http,
        open_topic_reader(platform, FEEDBACK) as feedback,
    ):

        async def page(**asked: Any) -> dict[str, Any]:
            found: dict[str, Any] = (await http.get(PATH, params={"stage": stage, "limit": 2, **asked})).json()
            return found

        newest = await page()
        assert [one["id"] for one in newest["dead_letters"]] == [third, second]
        oldest = await page(before=newest["next"])
        assert ([one["id"] for one in oldest["dead_letters"]], oldest["next"]) == ([first], None)
        assert (await page(task="sonar"))["dead_letters"] == []

        shown = (await http.get(f"{PATH}/{second}")).json()
        assert (shown["topic"], shown["key"], shown["payload"], shown["replayed"]) == (FEEDBACK, "key", said[1], 0)
        payload = await http.get(f"{PATH}/{second}/payload")
        assert (payload.text, payload.headers["content-type"]) == (said[1], "application/octet-stream")
        assert payload.headers["content-disposition"].startswith("attachment")

        done = (await http.post(f"{PATH}/{second}:replay")).json()
        assert done == {"dead_letters": [first, second], "refused": {}}  # feedback on one prediction keeps its order
        went = await feedback.read_until(lambda read: len(read) >= 2)
        assert [header_text(one, "ce_replayof") for one in went] == [first, second]
        refused = await http.post(f"{PATH}/{second}:replay")
        assert (refused.status_code, "was redelivered before" in refused.json()["detail"]) == (409, True)
        assert (await http.post(f"{PATH}/{second}:replay?again=true")).json()["dead_letters"] == [second]
        assert [one["replayed"] for one in (await page())["dead_letters"]] == [0, 2]


async def test_what_has_no_way_back_and_what_is_not_there_is_said(platform: Settings) -> None:
    letter_id, sent = rejected("chess.requests", "preprocess", b"e4")
    await publish(platform, topics.DEAD_LETTERS, [sent])
    nobody = str(uuid.uuid4())
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False, timeout=30) as http:
        gone = await http.post(f"{PATH}/{letter_id}:replay")
        assert (gone.status_code, "chess.requests" in gone.json()["detail"]) == (409, True)
        for method, path in (("GET", nobody), ("GET", f"{nobody}/payload"), ("POST", f"{nobody}:replay")):
            answer = await http.request(method, f"{PATH}/{path}")
            assert (answer.status_code, answer.json()) == (404, {"detail": f"there is no dead letter {nobody!r}"})
        assert (await http.get(PATH, params={"before": nobody})).status_code == 404


async def test_without_a_broker_dead_letters_are_away(http: httpx.AsyncClient) -> None:
    assert (await http.get(PATH)).status_code == 503


@pytest.mark.parametrize("asked", [{"limit": 1000}, {"since": "yesterday"}, {"since": "2026-01-31T12:00:00"}])
async def test_what_can_not_be_asked_is_refused(http: httpx.AsyncClient, asked: dict[str, Any]) -> None:
    answer = await http.get(PATH, params=asked)
    assert answer.status_code == 422
    assert next(iter(asked)) in answer.json()["detail"], json.dumps(answer.json())
