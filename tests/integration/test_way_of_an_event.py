"""The whole way of an event on real handwriting: Kafka, Flink, Faust, MLServer, and back."""

import base64
import json
from statistics import mean

import httpx

from app.embedded.readiness import api_url
from app.events import topics
from app.events.cloudevents import Origin
from app.events.ids import prediction_id
from app.kafka.topic_ids import fetch_topic_ids
from models.ocr import Ocr
from models.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("ocr"), topics.predictions("ocr")


async def test_2000_bare_pngs_become_2000_predictions_each_exactly_once(stack: Stack) -> None:
    samples = make_payloads(2000, seed=1)
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        sent = await publish(stack.settings, REQUESTS, [OutgoingRecord(sample.payload) for sample in samples])
        said = await answers.read_answers(2000)
    epoch = (await fetch_topic_ids(stack.settings, [REQUESTS]))[REQUESTS]
    ids = [
        prediction_id("ocr", f"kafka:{REQUESTS}", Origin(epoch, REQUESTS, place.partition, place.offset, 0).id)
        for place in sent
    ]
    assert said.keys() == set(ids)
    scores = [Ocr().score(said[one]["output"], sample.correction) for one, sample in zip(ids, samples, strict=True)]
    assert mean(scores) > 0.9


async def test_an_answer_has_the_wire_format_and_the_requests_key_subject_and_trace(stack: Stack) -> None:
    [sample] = make_payloads(1, seed=2)
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("ce_id", b"order-7"), ("ce_source", b"shop"), ("ce_subject", b"till 3"), ("traceparent", trace)]
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [OutgoingRecord(sample.payload, b"till-3", headers)])
        [record] = await answers.read_until(bool)
    said = json.loads(record.value)
    assert record.key == b"till-3"
    assert (header_text(record, "ce_subject"), header_text(record, "traceparent")) == ("till 3", trace.decode())
    assert header_text(record, "ce_type") == "hindsight.prediction.made.v1"
    assert header_text(record, "content-type") == "application/json"
    assert said["prediction_id"] == event_id(record) == prediction_id("ocr", "shop", "order-7")
    assert (said["request_id"], said["task"], said["role"]) == ("order-7", "ocr", "champion")
    assert said["model"] == {"name": "ocr", "version": "1"}
    assert said["propensity"] == 1.0
    assert 0 <= said["confidence"] <= 1
    assert said["output"].keys() == {"text"}
    times = said["timings_ms"]
    assert times.keys() == {"queued", "preprocess", "inference", "total"}
    assert abs(times["total"] - times["queued"] - times["preprocess"] - times["inference"]) < 0.01


async def test_a_redelivered_request_has_one_prediction_and_same_ids_of_two_clients_have_two(stack: Stack) -> None:
    first, second = make_payloads(2, seed=3)
    here, there = ([("ce_id", b"1"), ("ce_source", source)] for source in (b"client/here", b"client/there"))
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        records = [OutgoingRecord(first.payload, headers=here), OutgoingRecord(second.payload, headers=there)]
        await publish(stack.settings, REQUESTS, [*records, records[0]])
        read = await answers.read_until(lambda read: len(read) >= 3)
    by_source: dict[str, set[str]] = {}
    for record in read:
        by_source.setdefault(header_text(record, "ce_requestsource"), set()).add(event_id(record))
    assert by_source == {
        "client/here": {prediction_id("ocr", "client/here", "1")},
        "client/there": {prediction_id("ocr", "client/there", "1")},
    }


async def test_a_payload_may_come_as_json_or_by_claim_check(stack: Stack) -> None:
    [sample] = make_payloads(1, seed=4)
    async with httpx.AsyncClient(trust_env=False) as http:
        stored = await http.post(f"{api_url(stack.settings)}/v1/blobs", content=sample.payload)
    claim = json.dumps({"uri": stored.json()["uri"]}).encode()
    inline = json.dumps({"data_base64": base64.b64encode(sample.payload).decode()}).encode()
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        typed = [("content-type", b"application/json")]
        await publish(
            stack.settings,
            REQUESTS,
            [OutgoingRecord(sample.payload), OutgoingRecord(claim, headers=typed), OutgoingRecord(inline)],
        )
        said = await answers.read_answers(3)
    assert len({answer["output"]["text"] for answer in said.values()}) == 1


async def test_feedback_is_in_the_log_before_it_is_acknowledged(stack: Stack) -> None:
    unique = prediction_id("ocr", "shop", "order-7")
    body = {"prediction_id": unique, "correction": {"text": "123"}, "actor": "ada"}
    async with (
        open_topic_reader(stack.settings, topics.feedback("ocr")) as said,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        answer = await http.post(f"{api_url(stack.settings)}/v1/feedback", json=body)
        [record] = await said.read_until(bool)
    assert answer.status_code == 202
    assert answer.json()["id"] == event_id(record)
    assert record.key == unique.encode()
    assert json.loads(record.value)["correction"] == {"text": "123"}
